"""Evaluation runs every task that the model's modalities allow, and names its metrics."""

from dataclasses import replace

import pytest
import torch
from conftest import SMALL

from mot_lightning.codecs import Bytes, Patches
from mot_lightning.evaluation.evaluate import evaluate_tasks
from mot_lightning.evaluation.metrics import FrechetDistance, JudgedAccuracy
from mot_lightning.evaluation.run import run_task
from mot_lightning.evaluation.tasks import Task
from mot_lightning.generation import GenerationLimits
from mot_lightning.modality import Modality, assemble
from mot_lightning.objectives import FlowMatching, NextToken
from mot_lightning.pipeline import MoTPipeline


class Means(torch.nn.Module):
    """Features of an image: the means of its quarters."""

    num_features = 4

    def forward(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images.float().mean(1, keepdim=True), 2).flatten(1)


def pipeline(unconditional=("image",)):
    modalities = {
        "text": Modality(Bytes(), NextToken()),
        "image": Modality(Patches((1, 4, 4), 2), FlowMatching(steps=2)),
    }
    torch.manual_seed(0)
    model = assemble(modalities, "text", SMALL)
    for parameter in model.parameters():  # zero-initialised outputs would predict zero
        parameter.data += 0.1 * torch.randn(parameter.shape)
    codecs = {name: modality.codec for name, modality in modalities.items()}
    return MoTPipeline(codecs, model.eval(), GenerationLimits(64, unconditional))


def bright(images):
    return [bool(image.mean() > 0.5) for image in images]


def tasks():
    """Two tasks for a model of text and images, and one that needs speech."""
    generator = torch.Generator().manual_seed(0)
    reference = list(torch.rand(8, 1, 4, 4, generator=generator))
    words = [[("text", f"number {i}")] for i in range(6)]
    labels = [True] * 6
    return [
        Task(
            "text -> image",
            words,
            "image",
            labels,
            {"brightness": JudgedAccuracy(bright), "fid[means]": FrechetDistance(Means(), reference)},
            real=(reference, bright(reference)),
            guided=True,
        ),
        Task(
            "image -> text",
            [[("image", image)] for image in reference],
            "text",
            [0] * 8,
            {"length": JudgedAccuracy(lambda texts: [0 * len(text) for text in texts])},
            max_length=4,
        ),
        Task("text -> speech", words, "speech", labels, {"loudness": JudgedAccuracy(bright)}),
    ]


def test_tasks_are_evaluated_unguided_guided_and_on_real_media():
    values = evaluate_tasks(pipeline(), tasks(), guidance=2.0, seed=0)
    assert values.keys() == {
        "test/image/brightness",
        "test/image/brightness_samples",
        "test/image/brightness_guided",
        "test/image/brightness_real",
        "test/image/fid[means]",
        "test/image/fid[means]_samples",
        "test/image/fid[means]_guided",  # no _real, as the FID already compares with real media
        "test/text/length",
        "test/text/length_samples",
        "test/image/steps",
        "test/image/guidance",
    }
    assert values["test/image/brightness_real"] == 1  # labelled by the judge itself
    assert values["test/image/brightness_samples"] == values["test/image/fid[means]_samples"] == 6
    assert values["test/text/length"] == 1
    assert values["test/text/length_samples"] == 8
    assert (values["test/image/steps"], values["test/image/guidance"]) == (2, 2.0)
    assert values["test/image/fid[means]"] != values["test/image/fid[means]_guided"]


@pytest.mark.parametrize(
    ("model", "guidance"), [(pipeline(), 1.0), (pipeline(unconditional=()), 2.0)], ids=["no scale", "not trained for"]
)
def test_no_guided_metrics_without_a_scale_or_unconditional_training(model, guidance):
    values = evaluate_tasks(model, tasks(), guidance, seed=0)
    assert "test/image/brightness" in values
    assert not [name for name in values if "guid" in name]


def test_metrics_are_reset_between_tasks_and_evaluations():
    """A metric that two tasks share, or that is evaluated twice, does not accumulate."""
    shared, (_, written, _) = JudgedAccuracy(lambda texts: [0] * len(texts)), tasks()
    first = Task("a", written.prompts[:2], "text", [0, 0], {"first": shared}, max_length=2)
    second = Task("b", written.prompts[:2], "text", [1, 1], {"second": shared}, max_length=2)
    for _ in range(2):
        values = evaluate_tasks(pipeline(), [first, second], 1.0, seed=0)
        assert (values["test/text/first"], values["test/text/second"]) == (1, 0)


def test_metric_with_too_few_samples_is_omitted():
    few = tasks()[0].subset(1)
    values = evaluate_tasks(pipeline(), [few], 1.0, seed=0)
    assert "test/image/brightness" in values
    assert "test/image/fid[means]" not in values


def test_run_task_gives_one_sample_per_prompt_for_any_batch_size(monkeypatch):
    model, (task, _, _) = pipeline(), tasks()
    done = []
    together = run_task(model, task, 2.0, seed=3, progress=done.append)
    monkeypatch.setattr("mot_lightning.evaluation.run.BATCH_SIZE", 4)
    apart = run_task(model, task, 2.0, seed=3, progress=done.append)
    assert done == [6, 4, 2]
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)
    assert all(image.shape == (1, 4, 4) for image in together)
    assert not torch.equal(together[0], run_task(model, task, 2.0, seed=4)[0])


def test_run_task_follows_temperature_and_max_length():
    to_text = tasks()[1]
    greedy = [run_task(pipeline(), to_text, 1.0, seed) for seed in (0, 1)]
    assert greedy[0] == greedy[1]
    sampled = [run_task(pipeline(), to_text.with_temperature(1.0), 1.0, seed) for seed in (0, 1)]
    assert sampled == greedy[:1] * 2  # a greedy task stays greedy
    random = replace(to_text, temperature=1.0)
    one, other = (run_task(pipeline(), random, 1.0, seed) for seed in (0, 1))
    assert one != other
    ids = [len(text.encode()) for text in (*one, *other)]
    assert max(ids) <= 4 * len("\ufffd".encode())  # at most four bytes, each possibly a replacement character
    longer = run_task(pipeline(), replace(random, max_length=40), 1.0, seed=0)
    assert max(len(text) for text in longer) > 4


def test_unguided_task_has_no_guided_metrics():
    values = evaluate_tasks(pipeline(("image", "text")), tasks(), guidance=2.0, seed=0)
    assert "test/image/brightness_guided" in values
    assert "test/text/length" in values
    assert "test/text/length_guided" not in values


class Broken(JudgedAccuracy):
    """Takes no labels."""

    def update(self, media):
        pass


def test_a_metric_that_fails_is_said_and_the_others_are_measured(capsys):
    task = tasks()[0]
    broken = {"broken": Broken(bright), **task.metrics}
    values = evaluate_tasks(pipeline(), [replace(task, metrics=broken)], guidance=1.0, seed=0, progress_bar=False)
    assert "test/image/brightness" in values
    assert "test/image/broken" not in values
    (line, *_) = capsys.readouterr().err.splitlines()
    assert line.startswith("the metric broken failed: TypeError: Broken.update() takes")

"""Training on two ranks, with DDP and FSDP2, equals training on one with the same documents."""

import json
from pathlib import Path

import pytest
import torch
from runs import TINY, rows, run, run_in_subprocess, weights

from datamodules.sampler import ResumableSampler
from mot_lightning.cli.arguments import find_command, parse
from mot_lightning.experiment.build import build
from mot_lightning.experiment.resolve import resolve

# dropout is seeded by rank, so the compared runs have none
NIGHTLY = [pytest.mark.slow, pytest.mark.nightly]
QUIET = [*TINY, "--model.modalities.image=null", "--model.backbone.dropout=0", "--trainer.max_steps=3"]
PARTS = ["--model.optimizer.towers={text: {freeze: true}, speech: {learning_rate: 1.0e-3}}"]
OBSERVED = ["--model.modalities.speech.objective=Observed"]
UNEQUAL = ["--model.backbone.towers={text: [text], speech: {modalities: [speech], dim: 16}}"]
KINDS = ("text+image+speech", "text+image", "text+speech", "image+speech", "image", "text", "speech")
ALONE = {kind: 0.5 if kind in ("text", "speech") else 0 for kind in KINDS}


def run_two_ranks(folder: Path, strategy: str, *arguments: str) -> None:
    ranks = ["--trainer.devices=2", "--trainer.accelerator=cpu", f"--trainer.strategy={strategy}"]
    run_in_subprocess("-m", "mot_lightning", "fit", *arguments, *ranks, f"--runs={folder}", cwd=folder.parent)
    assert [path.name for path in (folder / "default").iterdir()] == ["0"]


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("strategy", "documents", "learn"),
    [
        pytest.param("ddp", 4, [], id="ddp-uneven batches", marks=NIGHTLY),
        pytest.param("ddp", 1, [], id="ddp-a rank without a modality", marks=NIGHTLY),
        pytest.param("ddp", 1, PARTS, id="ddp-a frozen tower", marks=NIGHTLY),
        pytest.param("ddp", 1, OBSERVED, id="ddp-an observed modality", marks=NIGHTLY),
        pytest.param("ddp", 4, UNEQUAL, id="ddp-a narrow tower", marks=NIGHTLY),
        pytest.param("fsdp2", 4, [], id="fsdp2-uneven batches", marks=pytest.mark.slow),
        pytest.param("fsdp2", 1, [], id="fsdp2-a rank without a modality"),
        pytest.param("fsdp2", 1, PARTS, id="fsdp2-a frozen tower", marks=NIGHTLY),
        pytest.param("fsdp2", 4, UNEQUAL, id="fsdp2-a narrow tower", marks=NIGHTLY),
    ],
)
def test_two_ranks_equal_one_with_the_same_global_batch(tmp_path, strategy, documents, learn):
    arguments = [*QUIET, *learn, *([f"--data.documents={json.dumps(ALONE)}"] if documents == 1 else [])]
    assert run(tmp_path / "one", "fit", *arguments, f"--data.batch_size={2 * documents}") == 0
    run_two_ranks(tmp_path / "two", strategy, *arguments, f"--data.batch_size={documents}")
    one, two = tmp_path / "one/default/0", tmp_path / "two/default/0"
    assert [row["step"] for row in rows(one)] == [row["step"] for row in rows(two)]
    for a, b in zip(rows(one), rows(two), strict=True):
        assert a.keys() == b.keys()
        for name in ("train/text/loss", "train/speech/loss"):
            if name in a:
                assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-4)
    ours, theirs = weights(one), weights(two)
    assert ours.keys() == theirs.keys()
    frozen = [name for name in ours if "objectives.text." in name] if learn is PARTS else []
    assert all(torch.equal(ours[name], theirs[name]) for name in frozen)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)


THREE = ["--model.modalities.speech.objective=MaskedToken", "--model.backbone.dropout=0", "--trainer.precision=64-true"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A run of noisy images, masked speech and text, on one rank."""
    folder = tmp_path_factory.mktemp("alone")
    assert run(folder, "fit", *TINY, *THREE, "--data.batch_size=12") == 0
    return folder / "default/0"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("ranks", [2, *(pytest.param(ranks, marks=NIGHTLY) for ranks in (3, 4))])
def test_losses_are_the_same_on_any_number_of_ranks(alone, tmp_path, ranks):
    """Of training, also after its noise has been learned from, and of validation, in batches of other sizes."""
    on_ranks = [f"--trainer.devices={ranks}", "--trainer.accelerator=cpu", f"--data.batch_size={12 // ranks}"]
    arguments = [*TINY, *THREE, *on_ranks, f"--runs={tmp_path}"]
    run_in_subprocess("-m", "mot_lightning", "fit", *arguments, cwd=tmp_path)
    assert_equal_losses(alone, tmp_path / "default/0")


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(240)
def test_losses_are_the_same_on_two_ranks_with_half_the_tokens_each(tmp_path):
    arguments = [*TINY, *THREE, "--trainer.accelerator=cpu", "--trainer.accumulate_grad_batches=2"]
    assert run(tmp_path / "one", "fit", *arguments, "--data.tokens=512") == 0
    two = ["--trainer.devices=2", "--data.tokens=256", f"--runs={tmp_path / 'two'}"]
    run_in_subprocess("-m", "mot_lightning", "fit", *arguments, *two, cwd=tmp_path)
    assert_equal_losses(tmp_path / "one/default/0", tmp_path / "two/default/0")


def assert_equal_losses(one: Path, two: Path) -> None:
    """Of six steps and two validations."""
    expected, actual = rows(one), rows(two)
    assert sum("train/image/loss" in row for row in actual) == 6
    assert sum("val/image/loss" in row for row in actual) == 2
    for one, two in zip(expected, actual, strict=True):
        assert one.keys() == two.keys()
        for name in (name for name in one if "loss" in name):
            assert float(one[name]) == pytest.approx(float(two[name]), rel=1e-6), name


def learned_by_one_process(arguments: list[str]) -> dict[str, torch.Tensor]:
    """Expected weights of two ranks: one process sums both ranks' losses; noise does not depend on the rank."""
    config = resolve([], parse(find_command("fit"), arguments).settings)
    experiment = build(config, [])
    module, data, trainer = experiment.module, experiment.data, experiment.trainer
    module.prepare(data)
    documents = data.documents("train")
    indices = [iter(ResumableSampler(len(documents), data.seed, rank=rank, world=2)) for rank in range(2)]
    optimizer, schedule = module.optimizer.build(module.model, trainer.max_steps, fused=True)
    for _ in range(trainer.max_steps):
        batches = [documents.collate([documents[next(of_rank)] for _ in range(data.batch_size)]) for of_rank in indices]
        first, second = (module.sums(module.model(batch, module.seed), batch) for batch in batches)
        optimizer.zero_grad()
        module.loss_weights.total(first.loss + second.loss, first.targets + second.targets).backward()
        torch.nn.utils.clip_grad_norm_(module.model.parameters(), trainer.gradient_clip_val)
        optimizer.step()
        schedule.step()
    return module.state_dict()


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(240)
@pytest.mark.parametrize("reduction", ["segment", "batch"])
def test_two_ranks_sum_reductions(tmp_path, reduction):
    """Compared with one process that learns from both ranks' batches."""
    arguments = [
        *TINY, "--model.backbone.dropout=0", "--trainer.max_steps=3", f"--model.reduction={reduction}",
        "--model.modalities.speech.objective=MaskedToken",
    ]  # fmt: skip
    expected = learned_by_one_process(arguments)
    run_two_ranks(tmp_path / "two", "ddp", *arguments)
    actual = weights(tmp_path / "two/default/0")
    for name in (name for name in actual if name.startswith("model.")):
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_sharded_tower_without_tokens_yet_resumes_as_an_unsharded_one(tmp_path):
    first = {kind: float(kind == "text") for kind in KINDS}
    more = [f"--data.documents={json.dumps(ALONE)}", "--trainer.max_steps=5"]
    last = "default/0/checkpoints/last.ckpt"
    arguments = [*QUIET, f"--data.documents={json.dumps(first)}"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert run(one, "fit", *arguments, "--data.batch_size=4") == 0
    assert run(one / "more", "fit", f"--ckpt_path={one / last}", *more) == 0
    run_two_ranks(two, "fsdp2", *arguments, "--data.batch_size=2")
    run_two_ranks(two / "more", "fsdp2", f"--ckpt_path={two / last}", *more)
    ours, theirs = (weights(folder / "more/default/0") for folder in (one, two))
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(240)
def test_sharded_model_samples_tests_saves_and_resumes(tmp_path):
    by_codebook = "--model.modalities.speech.objective={class_path: NextToken, init_args: {lookup: codebook}}"
    arguments = [*TINY, "--samples.prompts=1", "--report.prompts=1", by_codebook]
    run_two_ranks(tmp_path / "two", "fsdp2", *arguments)
    folder = tmp_path / "two/default/0"
    assert (folder / "samples/step_000006/text_to_image.png").is_file()
    metrics = json.loads((folder / "metrics.json").read_text())
    last = f"--ckpt_path={folder / 'checkpoints/last.ckpt'}"
    assert run(tmp_path / "one", "test", last, "--trainer.devices=1", "--trainer.strategy=auto") == 0
    again = json.loads((tmp_path / "one/default/0/metrics.json").read_text())
    for name in ("test/image/judge_accuracy_samples", "model/parameters", "model/image/active_parameters"):
        assert metrics[name] == again[name]
    run_two_ranks(tmp_path / "more", "fsdp2", last, "--trainer.max_steps=8")
    assert [int(row["step"]) for row in rows(tmp_path / "more/default/0")][-1] == 8


def test_other_model_parallel_strategies_are_rejected(tmp_path, capsys):
    strategy = "lightning.pytorch.strategies.ModelParallelStrategy"
    assert run(tmp_path, "fit", *TINY, f"--trainer.strategy.class_path={strategy}", "--trainer.accelerator=cpu") == 2
    assert "wanted fsdp2" in capsys.readouterr().err

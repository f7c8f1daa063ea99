"""What a training took: tokens of the batches that were learned from, and seconds without validations."""

import json
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from runs import TINY, failing, run, run_in_subprocess

from mot_lightning.callbacks import totals
from mot_lightning.cli.arguments import find_command, parse
from mot_lightning.experiment.build import build
from mot_lightning.experiment.resolve import resolve

NAMES = ("image", "speech", "text")


def tokens(folder):
    """The training tokens by modality in metrics.json."""
    metrics = json.loads((folder / "metrics.json").read_text())
    return {name: metrics[f"fit/{name}/tokens"] for name in NAMES}


def test_tokens_are_those_of_the_batches(trained):
    experiment = build(resolve([], parse(find_command("fit"), TINY).settings), [])
    experiment.module.prepare(experiment.data)
    documents = experiment.data.documents("train")
    counts = Counter()
    for index in experiment.data.first("train", 6 * 4):
        layout = documents.collate([documents[index]]).layout
        counts.update(dict(zip(experiment.module.model.grammar.groups, layout.counts, strict=True)))
    assert tokens(trained) == counts


@pytest.mark.parametrize(
    ("hook", "step"), [("on_before_optimizer_step", 2), ("on_validation_end", 3), ("on_train_batch_end", 4)]
)
def test_a_resumed_run_counts_as_one_that_was_not_stopped(tmp_path, trained, hook, step):
    """Steps are of two batches here, so that one of 2 is repeated; there are as many documents as in `trained`."""
    halves = [*TINY, "--data.batch_size=2", "--trainer.accumulate_grad_batches=2"]
    with pytest.raises(RuntimeError, match="planned failure"):
        run(tmp_path, "fit", *halves, *failing((hook, step)))
    last = tmp_path / "default/0/checkpoints/last.ckpt"
    assert run(tmp_path, "fit", f"--ckpt_path={last}", "--trainer.callbacks=null") == 0
    assert tokens(tmp_path / "default/1") == tokens(trained)


@pytest.mark.slow
def test_tokens_are_of_all_ranks(tmp_path, trained):
    ranks = ["--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=ddp", "--data.batch_size=2"]
    run_in_subprocess("-m", "mot_lightning", "fit", *TINY, *ranks, f"--runs={tmp_path}", cwd=tmp_path)
    assert tokens(tmp_path / "default/0") == tokens(trained)


def test_the_clock_of_training_stops_for_validations_and_checkpoints(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(totals.time, "monotonic", lambda: now[0])
    trainer, module = SimpleNamespace(global_step=0), SimpleNamespace(device=torch.device("cpu"))

    def train(callback, *hooks):
        """Run hooks, each after some seconds."""
        callback.on_train_start(trainer, module)
        for seconds, hook, *arguments in hooks:
            now[0] += seconds
            getattr(callback, hook)(trainer, module, *arguments)
        return callback

    batch, checkpoint = ("on_train_batch_start", None, 0), ("on_save_checkpoint", {"callbacks": {}})
    first = train(totals.Totals(), (1, *batch), (2, *batch), (4, "on_validation_start"), (8, *checkpoint), (16, *batch))
    now[0] += 32
    first.on_save_checkpoint(trainer, module, state := {"callbacks": {}})
    assert first.fit["fit/training_seconds"] == 1 + 2 + 4 + 32
    assert first.fit["fit/seconds"] == 1 + 2 + 4 + 8 + 16 + 32
    resumed = totals.Totals()
    resumed.load_state_dict(state["callbacks"][first.state_key])
    train(resumed, (64, *batch), (128, "on_train_end"), (256, *checkpoint))
    assert resumed.fit["fit/training_seconds"] == 39 + 64 + 128
    assert resumed.fit["fit/seconds"] == 63 + 64 + 128 + 256

"""Many small batches of a step give the gradient of one large batch, whatever modalities each of them has."""

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from runs import EXACT, TINY, rows, run, weights
from torch.utils.data import DataLoader

from datamodules import Digits
from mot_lightning import BackboneSettings, Bytes, Modality, MoTModule, NextToken, Patches, Regression
from mot_lightning.training.optimizer import OptimizerSettings


@pytest.mark.parametrize("reduction", ["token", "segment", "batch"])
def test_accumulated_batches_are_one_large_batch(tmp_path, reduction):
    shared = [*TINY, *EXACT, f"--model.reduction={reduction}"]
    for size, count in ((8, 1), (2, 4), (1, 8)):
        sizes = [f"--data.batch_size={size}", f"--trainer.accumulate_grad_batches={count}"]
        assert run(tmp_path, "fit", *shared, *sizes) == 0
    large, *others = (weights(tmp_path / f"default/{number}") for number in range(3))
    for small in others:
        for name, weight in large.items():
            if weight.is_floating_point() and not name.startswith("codecs"):
                torch.testing.assert_close(small[name], weight, rtol=1e-9, atol=1e-9)
    first, *rest = ([row for row in rows(tmp_path / f"default/{n}") if "train/loss" in row] for n in range(3))
    for logged in rest:  # one row a step, of all its batches
        for name in ("train/image/loss", "train/text/loss", "train/speech/loss", "train/text/bits_per_byte"):
            assert [float(row[name]) for row in logged] == pytest.approx([float(row[name]) for row in first])


def plain_trainer(**settings):
    return lightning.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0, **settings)  # fmt: skip


def trained(**settings):
    """The weights after training without noise, in steps that are the gradient; documents consumed, and steps."""
    modalities = {"text": Modality(Bytes(), NextToken()), "image": Modality(Patches((1, 8, 8), 2), Regression())}
    optimizer = OptimizerSettings(algorithm="SGD", learning_rate=1, warmup_steps=0, schedule="constant")
    backbone = BackboneSettings(dim=16, depth=1, heads=1)
    module = MoTModule(modalities, "text", backbone=backbone, optimizer=optimizer)
    data = Digits(batch_size=2, documents={"text+image": 1})
    trainer = plain_trainer(use_distributed_sampler=False, precision="64-true", **settings)
    trainer.fit(module, data)
    return module.model.state_dict(), data.consumed, trainer.global_step


@pytest.mark.filterwarnings("ignore")
def test_a_last_step_with_fewer_batches_weighs_no_less():
    """Epochs of three batches in steps of two: the second step has one batch, and its gradient is that batch's."""
    three, consumed, steps = trained(max_epochs=1, limit_train_batches=3, accumulate_grad_batches=2)
    assert (consumed, steps) == (6, 2)
    _, consumed, steps = trained(max_epochs=2, limit_train_batches=3, accumulate_grad_batches=2)
    assert (consumed, steps) == (12, 4)  # no document is left out between epochs
    scheduler = GradientAccumulationScheduler({0: 2, 1: 1})  # a step of two batches, then one of one batch
    same, *_ = trained(max_epochs=2, max_steps=2, limit_train_batches=2, callbacks=[scheduler])
    for name, weight in three.items():
        torch.testing.assert_close(same[name], weight, rtol=1e-9, atol=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_accumulation_needs_batches_that_know_their_step():
    module = MoTModule({"text": Modality(Bytes(), NextToken())}, "text", backbone=BackboneSettings(dim=16, depth=1))
    data = Digits(batch_size=2, documents={"text+image": 1})
    module.prepare(data)
    batch = next(iter(data.train_dataloader()))
    with pytest.raises(ValueError, match="accumulate_grad_batches is 2, wanted 1 with dataloaders"):
        plain_trainer(max_steps=1, accumulate_grad_batches=2).fit(
            module, DataLoader([batch._replace(step=None)] * 2, batch_size=None, collate_fn=lambda batch: batch)
        )

"""On CUDA a run waits once a step for the device, samples, judges, and goes on from its checkpoint."""

import math

import pytest
import torch
from conftest import needs_cuda
from runs import TINY, rows, run

GPU = ["--trainer.accelerator=gpu", "--trainer.devices=1"]
pytestmark = [needs_cuda, pytest.mark.filterwarnings("ignore")]  # of compiling, and of the mode that refuses to wait


@pytest.mark.parametrize(("precision", "compile"), [("32-true", False), ("bf16-mixed", False), ("bf16-mixed", True)])
def test_a_run_waits_for_the_gradient_norm_alone_and_goes_on(tmp_path, precision, compile):
    never = '[{"class_path": "waiting.NeverWait", "init_args": {"first": 3, "last": 6}}]'
    rare = ["--trainer.log_every_n_steps=100", "--trainer.val_check_interval=8"]
    settings = [*TINY, *GPU, *rare, f"--trainer.precision={precision}", f"--model.backbone.compile={compile}".lower()]
    try:
        callbacks = ["--allow=waiting", f"--trainer.callbacks={never}"]
        assert run(tmp_path, "fit", *settings, *callbacks, "--trainer.max_steps=8") == 0
    finally:
        torch.cuda.set_sync_debug_mode("default")
    last = tmp_path / "default/0/checkpoints/last.ckpt"
    assert run(tmp_path, "fit", f"--ckpt_path={last}", "--trainer.callbacks=null", "--trainer.max_steps=10") == 0
    resumed = torch.load(tmp_path / "default/1/checkpoints/last.ckpt", weights_only=True)
    assert resumed["global_step"] == 10
    losses = [float(row["train/loss"]) for row in rows(tmp_path / "default/1") if "train/loss" in row]
    assert len(losses) >= 2
    assert all(map(math.isfinite, losses))


def test_a_run_samples_and_is_tested(tmp_path, capsys):
    prompts = ["--samples.prompts=2", "--report.prompts=2"]
    assert run(tmp_path, "fit", *TINY, *GPU, "--trainer.precision=bf16-mixed", *prompts) == 0
    assert "text -> image" in capsys.readouterr().out
    assert any((tmp_path / "default/0/samples").iterdir())

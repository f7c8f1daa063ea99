"""A step with NaN or infinite gradients changes nothing but the count of steps; the run goes on."""

import os
import re
import subprocess
import sys

import pytest
import torch
from runs import ROOT, TINY, failing, rows, run, weights


def numbers(path):
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize(("hook", "how", "cause"), [
    ("on_train_batch_start", "nan_data", "the loss of image in document 1"),
    ("on_before_optimizer_step", "huge_gradient", "all losses are finite"),
])  # fmt: skip
def test_a_step_that_is_not_finite_is_skipped(tmp_path, capsys, hook, how, cause):
    assert run(tmp_path, "fit", *TINY, *failing((hook, 3, how))) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "skipped" in line]
    assert "the gradient norm of step 4 is " in line
    assert cause in line
    checkpoint = numbers(tmp_path / "default/0/checkpoints/last.ckpt")
    assert checkpoint["global_step"] == 6
    tensors = [*checkpoint["state_dict"].values(), *(
        value for state in checkpoint["optimizer_states"][0]["state"].values() for value in state.values()
    )]  # fmt: skip
    assert all(tensor.isfinite().all() for tensor in tensors)
    steps = {float(state["step"]) for state in checkpoint["optimizer_states"][0]["state"].values()}
    assert max(steps) == 5  # of 6
    logged = [row for row in rows(tmp_path / "default/0") if "train/loss" in row]
    assert [row.get("train/skipped_steps") for row in logged] == [None] * 4 + ["1"] * 2


def test_a_run_ends_after_many_skipped_steps_in_a_row(tmp_path, capsys):
    limit = "--model.optimizer.max_skipped_steps=1"
    fails = failing(*(("on_before_optimizer_step", step, "huge_gradient") for step in (1, 3, 4)))
    assert run(tmp_path, "fit", *TINY, limit, *fails) == 1
    *skipped, last = [line for line in capsys.readouterr().err.splitlines() if "gradient norm" in line]
    assert ["step 2" in line or "step 4" in line for line in skipped] == [True, True]
    assert "error: the gradient norm of step 5 is inf" in last
    assert "wanted a finite one after 1 skipped steps" in last
    assert numbers(tmp_path / "default/0/checkpoints/last.ckpt")["global_step"] == 3


def test_a_resumed_run_gets_past_the_batch(tmp_path):
    fails = failing(("on_train_batch_start", 3, "nan_data"), ("on_train_batch_start", 4, "exception"))
    with pytest.raises(RuntimeError, match="planned failure"):
        run(tmp_path, "fit", *TINY, *fails)
    last = tmp_path / "default/0/checkpoints/last.ckpt"
    assert run(tmp_path, "fit", f"--ckpt_path={last}", "--trainer.callbacks=null") == 0
    assert numbers(tmp_path / "default/1/checkpoints/last.ckpt")["global_step"] == 6
    assert all(w.isfinite().all() for name, w in weights(tmp_path / "default/1").items() if "codecs" not in name)


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(120)
def test_all_ranks_skip_the_step_of_one_together(tmp_path):
    fails = failing(("on_train_batch_start", 3, "nan_data", 1))
    ranks = ["--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=ddp"]
    command = [sys.executable, "-W", "ignore", "-m", "mot_lightning", "fit", *TINY, *fails, *ranks, "--runs=runs"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/helpers'}"}
    finished = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert finished.returncode == 0, finished.stderr[-2000:]
    (line,) = [line for line in finished.stderr.splitlines() if "skipped" in line]
    (number,) = re.findall(r"the loss of image in document (\d+)", line)
    assert int(number) in range(3 * 8 + 1, 4 * 8, 2)  # one of the four documents of rank 1 in step 4
    assert numbers(tmp_path / "runs/default/0/checkpoints/last.ckpt")["global_step"] == 6
    assert all(w.isfinite().all() for name, w in weights(tmp_path / "runs/default/0").items() if "codecs" not in name)

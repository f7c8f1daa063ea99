"""A NaN loss ends the run without overwriting a checkpoint."""

import pytest
import torch
from runs import TINY, failing, rows, run


@pytest.mark.parametrize(
    ("every", "step", "message"),
    [
        (1, 4, "the norm of all weights is nan at step 5, wanted a finite number"),
        (8, 4, "the norm of all weights is nan at step 5"),
        (1, 0, "nan at step 1, wanted a finite number; it had no checkpoint yet"),
    ],
)
def test_nan_loss_stops_the_run_and_keeps_the_last_checkpoint(tmp_path, capsys, every, step, message):
    options = ["--trainer.max_steps=9", f"--trainer.log_every_n_steps={every}"]
    assert run(tmp_path, "fit", *TINY, *options, *failing(("on_train_batch_start", step, "nan"))) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    last = tmp_path / "default/0/checkpoints/last.ckpt"
    assert last.is_file() == bool(step)
    if step:
        assert str(last) in line
        checkpoint = torch.load(last, weights_only=True)
        assert checkpoint["global_step"] == 3
        assert all(w.isfinite().all() for name, w in checkpoint["state_dict"].items() if "codecs" not in name)
    assert rows(tmp_path / "default/0")  # logged rows are kept

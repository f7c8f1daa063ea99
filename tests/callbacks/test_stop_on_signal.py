"""SIGINT and SIGTERM end training after the current step, and other commands at once."""

import pytest
import torch
from runs import TINY, failing, run


@pytest.mark.parametrize(("how", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize(
    ("command", "hook"),
    [("test", "on_test_batch_end"), ("test", "on_test_end"), ("validate", "on_validation_batch_end"), ("fit", "setup")],
)
def test_signal_ends_test_validate_and_fit_setup_at_once(tmp_path, capsys, trained, command, hook, how, code):
    options = TINY if command == "fit" else [f"--ckpt_path={trained / 'checkpoints/last.ckpt'}", "--report.prompts=0"]
    assert run(tmp_path, command, *options, *failing((hook, 0, how))) == code
    error = capsys.readouterr().err
    assert error.endswith(f"\nstopped by {how}\n")
    assert "Traceback" not in error


def test_signal_in_the_final_test_prints_the_test_command(tmp_path, capsys):
    assert run(tmp_path, "fit", *TINY, *failing(("on_test_batch_end", 6, "SIGINT"))) == 130
    last = tmp_path / "default/0/checkpoints/last.ckpt"
    assert f"stopped by SIGINT; test with: python -m mot_lightning test --ckpt_path {last}" in capsys.readouterr().err
    assert last.is_file()


def test_stopped_run_prints_the_resume_command(tmp_path, capsys):
    assert run(tmp_path, "fit", *TINY, *failing(("on_train_batch_end", 2, "SIGTERM"))) == 143
    last = tmp_path / "default/0/checkpoints/last.ckpt"
    assert f"stopped by SIGTERM; resume with: python -m mot_lightning fit --ckpt_path {last}" in capsys.readouterr().err
    assert torch.load(last, weights_only=True)["global_step"] == 2

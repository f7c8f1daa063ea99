"""What ends a run before its end: a signal, or a loss that is no number."""

import json
import signal

import pytest
import torch
from test_resume import TINY, rows, run

from mot_lightning.callbacks.checkpoint import AtomicCheckpointIO
from mot_lightning.callbacks.stop import Stopped, stoppable, unstoppable
from mot_lightning.generation import command


def failing(hook, step, how):
    """Options that let a run fail."""
    callback = [{"class_path": "failing.FailAt", "init_args": {"hook": hook, "step": step, "how": how}}]
    return ["--allow=failing", f"--trainer.callbacks={json.dumps(callback)}"]


@pytest.fixture(scope="module")
def last(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    assert run(folder, "fit", *TINY) == 0
    return folder / "default/0/checkpoints/last.ckpt"


@pytest.mark.parametrize(("how", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize(
    ("command", "hook"),
    [("test", "on_test_batch_end"), ("test", "on_test_end"), ("validate", "on_validation_batch_end"), ("fit", "setup")],
)
def test_where_nothing_is_to_be_finished_a_signal_ends_a_command_at_once(
    tmp_path, capsys, last, command, hook, how, code
):
    options = TINY if command == "fit" else [f"--ckpt_path={last}"]
    assert run(tmp_path, command, *options, *failing(hook, 0, how)) == code
    said = capsys.readouterr().err
    assert said.endswith(f"\nstopped by {how}\n")
    assert "Traceback" not in said


def test_a_signal_that_ends_the_judging_of_a_run_says_how_to_judge_it(tmp_path, capsys):
    assert run(tmp_path, "fit", *TINY, *failing("on_test_batch_end", 6, "SIGINT")) == 130
    kept = tmp_path / "default/0/checkpoints/last.ckpt"
    assert f"stopped by SIGINT; judge with: python -m mot_lightning test --ckpt_path {kept}" in capsys.readouterr().err
    assert kept.is_file()


@pytest.mark.parametrize(
    ("every", "step", "said"),
    [
        (1, 4, "train/image/loss is nan, train/speech/loss is nan, train/text/loss is nan at step 5"),
        (8, 4, "val/image/loss is nan, val/speech/loss is nan, val/text/loss is nan at step 6"),
        (1, 0, "nan at step 1, wanted a number; it had no checkpoint yet"),
    ],
)
def test_a_loss_that_is_no_number_ends_a_run_and_spoils_no_checkpoint(tmp_path, capsys, every, step, said):
    options = ["--trainer.max_steps=9", f"--metrics.every_n_steps={every}"]
    assert run(tmp_path, "fit", *TINY, *options, *failing("on_train_batch_start", step, "nan")) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    kept = tmp_path / "default/0/checkpoints/last.ckpt"
    assert kept.is_file() == bool(step)
    if step:
        assert str(kept) in line
        found = torch.load(kept, weights_only=True)
        assert found["global_step"] == 3
        assert all(weight.isfinite().all() for name, weight in found["state_dict"].items() if "codecs" not in name)
    assert rows(tmp_path / "default/0")  # what was logged is kept


def test_a_signal_that_comes_before_anyone_saw_the_loss_spoils_no_checkpoint(tmp_path, capsys):
    callbacks = [json.loads(failing(*how)[1].partition("=")[2])[0] for how in (
        ("on_train_batch_start", 4, "nan"), ("on_train_batch_end", 5, "SIGTERM"))]  # fmt: skip
    options = ["--metrics.every_n_steps=8", "--allow=failing", f"--trainer.callbacks={json.dumps(callbacks)}"]
    assert run(tmp_path, "fit", *TINY, *options) == 143
    said = capsys.readouterr().err
    assert "last.ckpt is not written: the norm of all weights is nan at step 5" in said
    assert "stopped by SIGTERM" in said
    assert torch.load(tmp_path / "default/0/checkpoints/last.ckpt", weights_only=True)["global_step"] == 3


def test_a_signal_amid_generating_loses_no_sample_that_was_made(tmp_path, capsys, monkeypatch, last):
    real, calls = command.generate, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(command, "generate", interrupted)
    options = ["--num_samples=4", "--batch_size=1", "--modalities=image", f"--out={tmp_path / 'out'}"]
    assert run(tmp_path, "generate", f"--ckpt_path={last}", *options) == 143
    said = capsys.readouterr()
    assert said.err.endswith("\nstopped by SIGTERM\n")
    assert f"page: {tmp_path / 'out/index.html'}" in said.out
    assert "\n2 of 4 samples were finished\n" in said.out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "00_0_image.png", "01_0_image.png", "index.html", "page.md", "request.json"}  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_has_to_be_whole_is_written_before_a_signal_is_heard(number):
    with stoppable():
        with unstoppable():
            signal.raise_signal(number)
        with pytest.raises(Stopped):
            signal.raise_signal(number)


def test_a_second_signal_amid_the_last_checkpoint_does_not_spoil_it(tmp_path, monkeypatch):
    def write(self, checkpoint, path, storage_options):
        signal.raise_signal(signal.SIGINT)
        real(self, checkpoint, path, storage_options)

    real = AtomicCheckpointIO.save_checkpoint
    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", write)
    assert run(tmp_path, "fit", *TINY, *failing("on_train_batch_end", 2, "SIGINT")) == 130
    assert torch.load(tmp_path / "default/0/checkpoints/last.ckpt", weights_only=True)["global_step"] == 2

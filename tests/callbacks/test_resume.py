"""A resumed run is bitwise equal to an uninterrupted one, wherever it stopped."""

import pytest
import torch
from runs import TINY, failing, rows, run, weights

POINTS = [
    ("on_train_batch_start", 0, "exception"),
    ("on_train_batch_end", 1, "SIGTERM"),
    ("on_before_optimizer_step", 1, "exception"),
    ("on_train_batch_end", 2, "exception"),
    ("on_train_batch_end", 3, "exception"),
    ("on_train_batch_end", 3, "SIGTERM"),
    ("on_validation_start", 3, "exception"),
    ("on_validation_batch_end", 3, "SIGINT"),
    ("on_validation_end", 3, "exception"),
    ("on_validation_end", 3, "SIGINT"),
    ("on_train_batch_start", 4, "SIGINT"),
    ("on_train_batch_end", 6, "exception"),
    ("on_validation_batch_end", 6, "exception"),
]


@pytest.mark.parametrize(("hook", "step", "how"), POINTS)
def test_resumed_run_is_bitwise_equal_to_uninterrupted(trained, tmp_path, hook, step, how):
    arguments = ["fit", *TINY, *failing((hook, step, how))]
    if how == "exception":
        with pytest.raises(RuntimeError, match="planned failure"):
            run(tmp_path, *arguments)
    else:
        assert run(tmp_path, *arguments) == 128 + {"SIGINT": 2, "SIGTERM": 15}[how]
    last = tmp_path / "default/0/checkpoints/last.ckpt"
    assert last.is_file()

    assert run(tmp_path, "fit", f"--ckpt_path={last}", "--trainer.callbacks=null") == 0
    resumed = tmp_path / "default/1"
    assert rows(resumed) == rows(trained)
    ours, theirs = weights(resumed), weights(trained)
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_runs_with_the_same_seed_log_equal_metrics(trained, tmp_path):
    assert run(tmp_path, "fit", *TINY) == 0
    assert rows(tmp_path / "default/0") == rows(trained)

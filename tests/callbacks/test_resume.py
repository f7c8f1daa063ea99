"""A resumed run is bitwise equal to an uninterrupted one, wherever it stopped."""

import pytest
import torch
from runs import EXACT, TINY, failing, rows, run, weights

TOKENS = ["--data.tokens=256", "--trainer.accumulate_grad_batches=2", "--data.num_workers=1"]
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
    assert_equal_once_resumed(trained, tmp_path, ["fit", *TINY], (hook, step, how))


def assert_equal_once_resumed(trained, tmp_path, arguments, failure):
    """With a run that was never stopped."""
    arguments, how = [*arguments, *failing(failure)], failure[-1]
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


@pytest.fixture(scope="module")
def trained_by_tokens(tmp_path_factory):
    folder = tmp_path_factory.mktemp("by_tokens")
    assert run(folder, "fit", *TINY, *TOKENS) == 0
    return folder / "default/0"


@pytest.mark.parametrize(
    ("hook", "step", "how"),
    [("on_train_batch_end", 1, "SIGTERM"), ("on_before_optimizer_step", 2, "exception"),
     ("on_train_batch_start", 4, "SIGINT"), ("on_validation_start", 3, "exception")],
)  # fmt: skip
def test_resumed_run_by_tokens_is_bitwise_equal(trained_by_tokens, tmp_path, hook, step, how):
    assert_equal_once_resumed(trained_by_tokens, tmp_path, ["fit", *TINY, *TOKENS], (hook, step, how))


@pytest.mark.slow
@pytest.mark.nightly
def test_resumed_run_with_frozen_and_slow_parts_is_bitwise_equal(tmp_path):
    parts = "{text: {freeze: true}, image: {learning_rate: 1.0e-3}}"
    arguments = ["fit", *TINY, "--model.optimizer.algorithm=Muon", f"--model.optimizer.towers={parts}"]
    assert run(tmp_path / "whole", *arguments) == 0
    assert_equal_once_resumed(tmp_path / "whole/default/0", tmp_path, arguments, ("on_train_batch_end", 3, "exception"))


def test_runs_with_the_same_seed_log_equal_metrics(trained, tmp_path):
    assert run(tmp_path, "fit", *TINY) == 0
    assert rows(tmp_path / "default/0") == rows(trained)


@pytest.mark.parametrize(("size", "count"), [(4, 2), (2, 4), (8, 1)])
def test_accumulation_may_change_on_resume(tmp_path, size, count):
    """As when a run goes on with fewer ranks: every document is learned once, in steps of as many documents."""
    arguments = [*TINY, *EXACT, "--trainer.max_steps=5"]
    assert run(tmp_path, "fit", *arguments, "--data.batch_size=8") == 0
    half = [*arguments, "--data.batch_size=4", "--trainer.accumulate_grad_batches=2"]
    assert run(tmp_path, "fit", *half, *failing(("on_train_batch_end", 3, "SIGTERM"))) == 143
    last = f"--ckpt_path={tmp_path / 'default/1/checkpoints/last.ckpt'}"
    sizes = [f"--data.batch_size={size}", f"--trainer.accumulate_grad_batches={count}", "--trainer.callbacks=null"]
    assert run(tmp_path, "fit", last, *sizes) == 0
    whole, resumed = tmp_path / "default/0", tmp_path / "default/2"
    steps = [[(row["step"], "val/loss" in row) for row in rows(folder)] for folder in (whole, resumed)]
    assert steps[0] == steps[1]
    ours = weights(resumed)
    for name, weight in weights(whole).items():
        if weight.is_floating_point() and not name.startswith("codecs"):
            torch.testing.assert_close(ours[name], weight, rtol=1e-9, atol=1e-9)

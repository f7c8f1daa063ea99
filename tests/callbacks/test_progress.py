"""The progress bar of training: its total and its rate, also of a resumed run."""

from types import SimpleNamespace

from mot_lightning.callbacks import StepProgress


def test_a_run_resumed_inside_an_epoch_knows_its_total_and_where_it_began():
    """Lightning calls no `on_train_epoch_start` then."""
    done = SimpleNamespace(current=SimpleNamespace(ready=60))
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=done))
    progress = StepProgress()
    progress._trainer = SimpleNamespace(max_steps=100, accumulate_grad_batches=1, fit_loop=loop)
    progress.on_train_start(progress.trainer)
    shown = progress.train_progress_bar.format_dict
    assert (shown["total"], shown["initial"], shown["n"]) == (100, 60, 60)

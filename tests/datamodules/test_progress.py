"""Which documents count as consumed: those of finished optimizer steps."""

from types import SimpleNamespace

import pytest

from datamodules.progress import Progress


def consumed(progress, step):
    return progress.consumed(SimpleNamespace(global_step=step))


def test_documents_of_a_step_count_once_it_is_finished():
    progress = Progress(100)
    for step, documents in ((0, 7), (0, 5), (1, 3), (1, 9)):
        progress.begin_batch(step, documents)
    assert consumed(progress, 1) == 100 + 7 + 5  # inside a step, none of its batches count
    progress.begin_batch(2, 4)
    assert consumed(progress, 2) == 100 + 7 + 5 + 3 + 9
    assert consumed(progress, 3) == 100 + 7 + 5 + 3 + 9 + 4
    progress.begin_batch(3, 6)
    assert consumed(progress, 3) == 100 + 28
    assert progress.consumed(None) == 100  # without a trainer there are no steps


@pytest.mark.parametrize("counted", [False, True])
def test_a_state_goes_on_where_it_was(counted):
    progress = Progress(2)
    progress.begin_batch(0, 7)
    assert Progress.of_state(progress.state(SimpleNamespace(global_step=0), counted)).resumed_at == 2
    assert Progress.of_state(progress.state(SimpleNamespace(global_step=1), counted)).resumed_at == 9
    assert Progress.of_state(progress.state(None, counted)).resumed_at == 2

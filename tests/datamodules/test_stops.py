"""Every training document is learned once and in order, wherever a run stops and however many ranks and workers go on.

A trainer's counters are played by hand, so that many stops are tried; tests/training/test_sharding.py has real ranks.
"""

import copy
from functools import cache
from types import SimpleNamespace

import pytest
from digit_documents import digits

EVERY = 2  # batches of a step
EPOCH = 5  # batches of an epoch: its last step has one


@cache
def connected(tokens=None):
    """Batches of one document, or of those that have some tokens."""
    return digits(batch_size=1, tokens=tokens)


class Ranks:
    """Runs of one stream of documents on changing numbers of ranks and workers."""

    def __init__(self, epochs, tokens=None):
        self.data = connected(tokens)
        self.documents, self.order = self.data.documents("train"), self.data._order()
        self.learned, self.state, self.step, self.current = set(), {"consumed": 0}, 0, 0
        self.epoch = EPOCH if epochs else 1.0  # Lightning's value for no end

    def train(self, world, workers, batches, validate=False):
        """Train some batches on each rank, which may end within a step, and save: only finished steps count."""
        states, ends = [], []
        for rank in range(world):
            data = copy.copy(self.data)
            data.num_workers = workers
            data.load_state_dict(self.state)
            states.append(self._rank(data, rank, world, batches, validate))
            ends.append((self.step_of_rank, self.current_of_rank))
        assert len({str(state) for state in states}) == len({*ends}) == 1
        self.state, (self.step, self.current) = states[0], ends[0]

    def _rank(self, data, rank, world, batches, validate):
        progress = SimpleNamespace(total=SimpleNamespace(ready=1), current=SimpleNamespace(ready=self.current))
        trainer = SimpleNamespace(
            world_size=world, global_rank=rank, global_step=self.step, training=True, overfit_batches=0,
            accumulate_grad_batches=EVERY, limit_train_batches=self.epoch,
            fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress)),
            _accelerator_connector=SimpleNamespace(use_distributed_sampler=False),
        )  # fmt: skip
        data.trainer = trainer
        finished, pending, loader = self.current, [], data.train_dataloader()
        iterator = iter(loader)
        for _ in range(batches):
            if progress.current.ready == self.epoch:
                progress.current.ready, iterator = 0, iter(loader)
            batch = data.on_before_batch_transfer(next(iterator), 0)
            pending.append(batch)
            progress.current.ready += 1
            if batch.step.position + 1 == batch.step.batches:
                trainer.global_step += 1
                for one in pending:
                    self._learn(one)
                pending, finished = [], progress.current.ready
        if validate:
            trainer.training = False
            data.on_before_batch_transfer(next(iter(data.val_dataloader())), 0)
        self.step_of_rank, self.current_of_rank = trainer.global_step, finished
        return data.state_dict()

    def _learn(self, batch):
        numbers = batch.step.numbers.tolist()
        assert not self.learned & {*numbers}
        self.learned |= {*numbers}
        documents = [self.documents[self.order.at(number)] for number in numbers]
        assert fingerprint(batch) == fingerprint(self.documents.collate(documents))

    def assert_each_was_learned_once(self):
        assert self.learned == {*range(len(self.learned))}
        assert self.state == {"consumed": len(self.learned)}


def fingerprint(batch):
    """Tokens and noise of documents."""
    return [(part.tokens.tolist(), part.segment_seed.tolist()) for part in batch.by_modality.values()]


@pytest.mark.parametrize("tokens", [None, 200])
@pytest.mark.parametrize("epochs", [False, True])
@pytest.mark.parametrize("batches", range(1, 13))  # also within a step, and at and beyond the end of an epoch
def test_documents_are_learned_once_after_a_stop(batches, epochs, tokens):
    runs = Ranks(epochs, tokens)
    for world, more in ((1, batches), (2, 3), (2, 0), (4, 4), (3, 2)):  # a run may end before its first step
        runs.train(world, 0, more, validate=more % 2 == 0)
    runs.assert_each_was_learned_once()


@pytest.mark.filterwarnings("ignore:This DataLoader will create 5 worker processes")
@pytest.mark.parametrize("tokens", [None, 200])
def test_documents_are_learned_once_on_changing_workers(tokens):
    """Workers read ahead, beyond the batches that are learned from."""
    runs = Ranks(epochs=True, tokens=tokens)
    for world, workers, batches in ((1, 0, 3), (2, 2, 4), (4, 5, 3), (3, 0, 4)):
        runs.train(world, workers, batches)
    runs.assert_each_was_learned_once()


def test_the_tokens_of_a_batch_may_change_at_a_stop():
    runs = Ranks(epochs=False)
    for tokens, world in ((None, 2), (200, 1), (150, 3), (None, 1)):
        runs.data = connected(tokens)
        runs.train(world, 0, 5)
    runs.assert_each_was_learned_once()

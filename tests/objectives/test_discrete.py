"""Cross-entropy of ids: chunks, label smoothing and z-loss."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from mot_lightning.objectives import MaskedToken, NextToken
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Tokens

ROWS, VOCAB, DIM = 60, 1000, 16
every_objective = pytest.mark.parametrize("objective", [NextToken, MaskedToken])


class Largest(TorchDispatchMode):
    """Records the size of the largest tensor created inside."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return out


def measured(objective, **settings):
    """Loss, gradients, the elements saved for the backward pass, and those of the largest tensor."""
    torch.manual_seed(0)
    built = objective(**settings)
    built.build(DIM, Tokens(vocab_size=VOCAB, length=ROWS))
    hidden = torch.randn(ROWS, DIM, generator=generator_for(1), requires_grad=True)
    target = torch.randint(VOCAB, (ROWS,), generator=generator_for(2))
    kept = []

    def keep(tensor):
        kept.append(tensor.numel())
        return tensor

    with Largest() as largest:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = built.cross_entropy(hidden, target)
        (loss * torch.linspace(0, 1, ROWS)).sum().backward()
    return loss.detach(), hidden.grad, built.head.weight.grad, sum(kept), largest.numbers


@every_objective
@pytest.mark.parametrize("settings", [{}, {"label_smoothing": 0.1, "z_loss": 1e-3, "tie": True}])
def test_chunked_cross_entropy_is_equal_and_saves_memory(objective, settings):
    *whole, kept, largest = measured(objective, **settings)
    *chunked, kept_in_chunks, largest_in_chunks = measured(objective, **settings, max_logits=7 * VOCAB)
    for one, other in zip(whole, chunked, strict=True):
        torch.testing.assert_close(one, other)
    assert largest >= ROWS * VOCAB
    assert kept >= ROWS * VOCAB
    assert largest_in_chunks == VOCAB * DIM  # the gradient of the table; at most 7 rows of logits exist
    assert kept_in_chunks < 0.1 * ROWS * VOCAB  # hidden states and targets


def test_full_logits_are_never_allocated_without_gradients():
    text = NextToken(max_logits=7 * VOCAB)
    text.build(DIM, Tokens(vocab_size=VOCAB))
    hidden, target = torch.randn(3 * ROWS, DIM), torch.zeros(3 * ROWS, dtype=torch.long)
    with torch.no_grad(), Largest() as largest:
        loss = text.cross_entropy(hidden, target)
    assert largest.numbers == VOCAB * DIM  # the table itself
    torch.testing.assert_close(loss, F.cross_entropy(text.head(hidden), target, reduction="none"))


def scored(training, **settings):
    text = NextToken(**settings).train(training)
    text.build(4, Tokens(vocab_size=6))
    hidden = torch.randn(5, 4, generator=generator_for(0))
    with torch.no_grad():
        text.head.weight.normal_(generator=generator_for(1))
        return text.cross_entropy(hidden, torch.arange(5)), text.head(hidden)


def test_label_smoothing_is_uniform():
    loss, logits = scored(True, label_smoothing=0.3)
    target = 0.7 * torch.eye(6)[:5] + 0.3 / 6
    torch.testing.assert_close(loss, -(target * logits.log_softmax(-1)).sum(-1))


def test_z_loss_is_the_squared_log_normaliser():
    loss, logits = scored(True, z_loss=0.01)
    z = logits.exp().sum(-1)
    torch.testing.assert_close(loss, (z.log() - logits[torch.arange(5), torch.arange(5)]) + 0.01 * z.log() ** 2)


def test_evaluation_uses_plain_cross_entropy():
    loss, logits = scored(False, z_loss=0.5, label_smoothing=0.5)
    torch.testing.assert_close(loss, -logits.log_softmax(-1)[torch.arange(5), torch.arange(5)])


@pytest.mark.parametrize("settings", [{"z_loss": -1.0}, {"label_smoothing": -0.1}, {"max_logits": 0}])
def test_invalid_settings_raise(settings):
    ((name, value),) = settings.items()
    with pytest.raises(ValueError, match=f"{name} is {value}, wanted"):
        NextToken(**settings)

import pytest
import torch
from conftest import TOKENS, make_model

from mot_lightning.callbacks.telemetry.separability import hidden_states, linear_accuracy
from mot_lightning.sequence import Segment, pack


def test_classes_apart_are_told_and_equal_ones_are_not():
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.randn(2000, 8, generator=generator), torch.arange(2).repeat_interleave(1000)
    assert linear_accuracy(x, labels) == pytest.approx(0.5, abs=0.05)
    x[labels == 1, 3] += 10
    assert linear_accuracy(x, labels) > 0.99


def test_small_class_counts_as_much_as_a_large_one():
    x, labels = torch.randn(1000, 4), (torch.arange(1000) >= 980).long()
    assert linear_accuracy(x, labels) == pytest.approx(0.5, abs=0.1)  # all are said to be of the large one


def test_states_are_those_between_layers():
    model = make_model()
    document = [Segment("text", torch.arange(4)), Segment("image", torch.randn(4, TOKENS["image"].latent_dim))]
    batch = pack([document], model.grammar, 16)
    states = hidden_states(model, batch)
    assert [state.shape for state in states] == [(len(batch.layout.slot), 32)] * (1 + len(model.backbone.layers))
    last = []
    handle = model.backbone.register_forward_hook(lambda _, __, output: last.append(output))
    with torch.no_grad():
        model(batch, 0)
    handle.remove()
    counts = [n for n in batch.layout.counts if n]
    norms = [norm for norm, n in zip(model.backbone.norms, batch.layout.counts, strict=True) if n]
    normed = [norm(x) for norm, x in zip(norms, states[-1].split(counts), strict=True)]
    assert torch.allclose(torch.cat(normed), last[0], atol=1e-6)

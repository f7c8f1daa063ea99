"""Padding a batch to few sizes changes neither hidden states nor gradients."""

import numpy as np
import pytest
import torch
from conftest import make_document, make_model
from hypothesis import given
from hypothesis import strategies as st

from mot_lightning.backbone import Condition
from mot_lightning.backbone.attention.flex import VisibleRanges
from mot_lightning.backbone.padding import STEPS, UNIT, PaddedBatch, padded_size
from mot_lightning.sequence import pack

DOCUMENTS = [["text", "image", "speech"], ["image", "image", "text"], ["speech"]]


def attention_of(ranges):
    """Masked softmax attention over the visible ranges."""
    key = torch.arange(len(ranges.first))
    visible = (ranges.first[:, None] <= key) & (key <= ranges.last[:, None])  # (N, N), packed
    visible = visible[ranges.packed_index[:, None], ranges.packed_index]

    def attend(layer, q, k, v):
        scores = torch.einsum("qhe,khe->hqk", q, k) * q.shape[-1] ** -0.5
        return torch.einsum("hqk,khe->qhe", scores.masked_fill(~visible, -torch.inf).softmax(-1), v)

    return attend


def batch_of(model, documents, fixed_length):
    """Arguments of `PaddedBatch` after the modalities: random embeddings and conditions of real documents."""
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    packed = pack([make_document(rng, kinds) for kinds in documents], model.grammar, 64)
    layout, parts = packed.layout, packed.by_modality
    normal = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()  # noqa: E731
    image = parts["image"]
    conditions = {"image": Condition(normal(len(image.loss), 32), image.segment, 4 if fixed_length else None)}
    position = layout.position.flatten()[layout.slot]
    return normal(len(layout.slot), 32), layout.counts, position, VisibleRanges.of(layout), conditions


@pytest.mark.parametrize("fixed_length", [True, False])
@pytest.mark.parametrize("towers", [{}, {"both": ["text", "image"], "speech": ["speech"]}])
@pytest.mark.parametrize("documents", [DOCUMENTS, [["text"]], DOCUMENTS * 5], ids=["few", "no image", "many"])
def test_padding_changes_neither_hidden_states_nor_gradients(documents, towers, fixed_length):
    backbone = make_model(towers=towers).double().backbone
    x, counts, position, ranges, conditions = batch_of(make_model(towers=towers), documents, fixed_length)
    batch = PaddedBatch(backbone.modalities, x, counts, position, ranges, conditions)
    padded_x, padded_position, padded_ranges, padded_conditions = batch.inputs(batch.tensors)
    assert len(padded_x) == sum(batch.sizes) > sum(counts)
    plain = backbone(x, counts, position, attention_of(ranges), conditions)
    padded = backbone(padded_x, batch.sizes, padded_position, attention_of(padded_ranges), padded_conditions)
    padded = batch.without_padding(padded)
    torch.testing.assert_close(padded, plain, rtol=1e-12, atol=1e-12)
    variables = [x, conditions["image"].vector, *backbone.parameters()]
    weight = torch.randn_like(plain)
    ours, expected = (torch.autograd.grad((y * weight).sum(), variables) for y in (padded, plain))
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


def test_shape_is_shared_by_batches_of_similar_counts_alone():
    model = make_model()
    shapes = []
    for documents in ([["text", "image"]], [["text", "text", "image"]], [["text", "image"]] * 40):
        batch = batch_of(model, documents, True)
        shapes.append(PaddedBatch(model.backbone.modalities, *batch).shape)
    assert shapes[0] == shapes[1] != shapes[2]
    assert hash(shapes[0]) == hash(shapes[1])


@given(st.integers(0, 10**6), st.sampled_from([1, 4, UNIT, 256]))
def test_padded_sizes_hold_the_tokens_and_are_close(n, unit):
    size = padded_size(n, unit)
    assert n <= size < n + unit + n / STEPS
    assert size % unit == 0
    assert padded_size(size, unit) == size
    assert padded_size(n + 1, unit) >= size


def test_padded_sizes_are_few():
    assert len({padded_size(n) for n in range(2**16, 2**17)}) <= STEPS + 1

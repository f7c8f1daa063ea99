"""The attention mask, as a dense mask and as blocks."""

import numpy as np
import torch
from attentions import GRAMMAR, kinds, layout_of, random_layouts, seeds, sequence_mask
from hypothesis import given
from randomised import often

from mot_lightning.backbone.attention import attention_mask
from mot_lightning.sequence import Layout, Segment, pack


def test_every_query_attends_to_some_key():
    """Padding attends to padding: a softmax over an empty row would be NaN and spread through gradients."""
    number = torch.tensor([[0, 0, 1, -1, -1]])
    position = torch.tensor([[0, 1, 0, -1, -1]])
    blocks = np.array([[0, 2, 0, True], [2, 3, 2, True]])
    mask = attention_mask(Layout(torch.arange(3), (3,), number, position, position, torch.arange(3), blocks))[0, 0]
    assert mask.any(-1).all()
    assert not mask[:3, 3:].any()
    assert mask[:3, :3].tolist() == [[True, False, False], [True, True, False], [False, False, True]]


@often
def test_blocks_equal_the_dense_mask(tried):
    @tried
    @given(kinds, seeds)
    def equal(kinds, seed):
        layout = layout_of(kinds, seed)
        n = len(layout.slot)
        seen = torch.zeros(n, n, dtype=torch.bool)
        for start, end, document, causal in layout.blocks.tolist():
            assert document <= start < end
            seen[start:end, document:end] = True
            if causal:
                seen[start:end, start:end] = torch.ones(end - start, end - start).tril().bool()
        assert torch.equal(seen, sequence_mask(layout))
        assert layout.blocks[0, 0] == 0
        assert layout.blocks[1:, 0].tolist() == layout.blocks[:-1, 1].tolist()  # contiguous
        assert layout.blocks[-1, 1] == n

    equal()


def test_causal_block_spans_control_tokens_and_modalities():
    document = [
        Segment("text", torch.arange(3)),
        Segment("speech", torch.arange(2)),
        Segment("image", torch.zeros(4, 3)),
    ]
    blocks = pack([document, document[:1]], GRAMMAR, 64).layout.blocks
    assert blocks.tolist() == [[0, 11, 0, 1], [11, 15, 0, 0], [15, 16, 0, 1], [16, 22, 16, 1]]


@random_layouts
@given(kinds, seeds)
def test_packed_index_orders_tokens_as_their_slots(kinds, seed):
    layout = layout_of(kinds, seed)
    assert torch.equal(layout.slot.argsort(), layout.packed_index.argsort())
    assert sorted(layout.packed_index.tolist()) == list(range(len(layout.slot)))

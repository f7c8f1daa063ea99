"""Every way to compute the attention of a packed batch is the same attention."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TOKENS, make_document, make_model
from hypothesis import given, settings
from hypothesis import strategies as st

from mot_lightning.backbone import PackedAttention, block_list, joined
from mot_lightning.backbone.block_list import BlockListAttention
from mot_lightning.backbone.flex import TILE, FlexAttention, block_mask
from mot_lightning.backbone.mask import attention_mask
from mot_lightning.packing import pack
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Grammar, Segment, Tokens

GRAMMAR = Grammar(TOKENS, {"text": True, "image": False, "speech": True}, "text", ("image", "speech", "text"))
EXACT = {"rtol": 1e-10, "atol": 1e-10}

random_layouts = settings(max_examples=200, deadline=None, derandomize=True)
kinds = st.lists(st.lists(st.sampled_from(["text", "image", "speech"]), max_size=4), min_size=1, max_size=6)
seeds = st.integers(0, 99)
uncompiled = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


def layout_of(kinds, seed, row_length=64):
    rng = np.random.default_rng(seed)
    return pack([make_document(rng, document) for document in kinds], GRAMMAR, row_length).layout


def drawn(layout, seed, key_heads=2, dtype=torch.float64, size=16):
    """Queries of two heads, keys, values, and a gradient of what they gather."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(len(layout.order), heads, size) for heads in (2, key_heads, key_heads, 2)]
    q, k, v, grad = (torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes)
    return [x.requires_grad_() for x in (q, k, v)], grad


def in_sequence(layout):
    """(N, N) bool: who sees whom in the sequence, by the mask over the rows."""
    rows = torch.block_diag(*attention_mask(layout)[:, 0].double()).bool()  # (b s, b s)
    slots = layout.order.sort().values
    return rows[slots[:, None], slots]


def by_definition(layout, q, k, v):
    """One softmax after the other, in the words of the paper."""
    seen = in_sequence(layout)[layout.rank[:, None], layout.rank]  # (N, N)
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
    scores = torch.einsum("qhe,khe->hqk", q, k) * q.shape[-1] ** -0.5
    return torch.einsum("hqk,khe->qhe", scores.masked_fill(~seen, -torch.inf).softmax(-1), v)


def results(attend, tensors, grad):
    out = attend(*tensors)
    return out, *torch.autograd.grad(out, tensors, grad)


@random_layouts
@given(kinds, seeds)
def test_blocks_are_what_the_mask_says(kinds, seed):
    layout = layout_of(kinds, seed)
    n = len(layout.order)
    seen = torch.zeros(n, n, dtype=torch.bool)
    for start, end, document, causal in layout.blocks.tolist():
        assert document <= start < end
        seen[start:end, document:end] = True
        if causal:
            seen[start:end, start:end] = torch.ones(end - start, end - start).tril().bool()
    assert torch.equal(seen, in_sequence(layout))
    assert layout.blocks[0, 0] == 0
    assert layout.blocks[1:, 0].tolist() == layout.blocks[:-1, 1].tolist()  # one after the other, to the end
    assert layout.blocks[-1, 1] == n


def test_a_causal_run_goes_on_through_control_tokens_and_modalities():
    document = [
        Segment("text", torch.arange(3)),
        Segment("speech", torch.arange(2)),
        Segment("image", torch.zeros(4, 3)),
    ]
    blocks = pack([document, document[:1]], GRAMMAR, 64).layout.blocks
    assert blocks.tolist() == [[0, 11, 0, 1], [11, 15, 0, 0], [15, 16, 0, 1], [16, 22, 16, 1]]


@random_layouts
@given(kinds, seeds)
def test_the_sequence_is_the_rows_without_their_padding(kinds, seed):
    layout = layout_of(kinds, seed)
    assert torch.equal(layout.order.argsort(), layout.rank.argsort())
    assert sorted(layout.rank.tolist()) == list(range(len(layout.order)))


@pytest.mark.parametrize("key_heads", [1, 2])
@pytest.mark.parametrize("backend", ["sdpa", "block_list"])
@random_layouts
@given(kinds, seeds)
def test_a_backend_is_the_definition_forward_and_backward(backend, key_heads, kinds, seed):
    layout = layout_of(kinds, seed)
    tensors, grad = drawn(layout, seed, key_heads)
    attend = joined(backend, layout, torch.float64)
    found = results(lambda *qkv: attend(0, *qkv), tensors, grad)
    torch.testing.assert_close(found, results(lambda *qkv: by_definition(layout, *qkv), tensors, grad), **EXACT)


@pytest.mark.parametrize(("queries", "kept"), [(3, 0), (3, 7), (1, 99)])
@settings(random_layouts, max_examples=50)
@given(kinds, seeds)
def test_block_list_is_the_definition_however_it_cuts_and_whatever_it_computes_again(queries, kept, kinds, seed):
    layout = layout_of(kinds, seed)
    tensors, grad = drawn(layout, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_list, "QUERIES", queries)
        patch.setattr(block_list, "KEPT", kept)
        attend = BlockListAttention(layout)
        found = results(lambda *qkv: attend(0, *qkv), tensors, grad)
    torch.testing.assert_close(found, results(lambda *qkv: by_definition(layout, *qkv), tensors, grad), **EXACT)


@uncompiled
@pytest.mark.parametrize("key_heads", [1, 2])
@pytest.mark.parametrize("size", [8, 16])  # the first is narrower than the kernel takes
@settings(random_layouts, max_examples=20)
@given(kinds, seeds)
def test_flex_is_the_definition_forward(key_heads, size, kinds, seed):
    layout = layout_of(kinds, seed)
    with torch.no_grad():
        tensors, _ = drawn(layout, seed, key_heads, size=size)
        found = joined("flex", layout, torch.float64)(0, *tensors)
        torch.testing.assert_close(found, by_definition(layout, *tensors), **EXACT)


@random_layouts
@given(st.lists(st.tuples(st.integers(1, 300), st.booleans()), min_size=1, max_size=6), seeds)
def test_tiles_of_the_block_mask_say_whether_all_some_or_nothing_is_seen(runs, seed):
    """Long documents, which reach over many tiles."""
    documents = [
        [Segment("text" if causal else "image", torch.zeros(n, dtype=torch.long) if causal else torch.zeros(n, 3))]
        for n, causal in runs
    ]
    free = Grammar({**TOKENS, "image": Tokens(latent_dim=3)}, GRAMMAR.causal, "text", GRAMMAR.groups)
    layout = pack([documents[0] + documents[-1], *documents[1:]], free, 700).layout
    seen = in_sequence(layout)
    n = len(seen)
    missing = -n % TILE
    tiles = torch.nn.functional.pad(seen.double(), (0, missing, 0, missing)).unflatten(0, (-1, TILE))
    tiles = tiles.unflatten(2, (-1, TILE)).transpose(1, 2)  # (tiles, tiles, queries, keys)
    own = torch.minimum(torch.arange(0, n, TILE) + TILE, torch.tensor(n)) - torch.arange(0, n, TILE)  # queries of each
    share = tiles.sum((2, 3)) / (own[:, None] * TILE)
    mask = FlexAttention(layout).mask

    def dense(counts, which):
        found = torch.zeros_like(share, dtype=torch.bool)
        for i, count in enumerate(counts[0, 0]):
            found[i, which[0, 0, i, :count].long()] = True
        return found

    assert torch.equal(dense(mask.full_kv_num_blocks, mask.full_kv_indices), share == 1)
    assert torch.equal(dense(mask.kv_num_blocks, mask.kv_indices), (share > 0) & (share < 1))
    query, key = torch.arange(n)[:, None], torch.arange(n)
    assert torch.equal(mask.mask_mod(0, 0, query, key), seen)


def test_a_block_mask_of_one_tile_is_all_some():
    mask = block_mask(torch.zeros(3, dtype=torch.long), torch.arange(3))
    assert mask.kv_num_blocks.tolist() == [[[1]]]
    assert mask.full_kv_num_blocks.tolist() == [[[0]]]


@pytest.mark.parametrize("backend", ["sdpa", "block_list"])
@random_layouts
@given(st.data(), kinds, seeds)
def test_the_order_of_documents_changes_nothing(backend, data, kinds, seed):
    rng = np.random.default_rng(seed)
    documents = [make_document(rng, document) for document in kinds]
    order = data.draw(st.permutations(range(len(documents))))
    found = {}
    for places in (range(len(documents)), order):
        layout = pack([documents[i] for i in places], GRAMMAR, 10**4).layout  # one row: the documents as they come
        starts = np.unique(layout.blocks[:, 2]).tolist()
        rank = layout.rank.tolist()
        owner = [places[np.searchsorted(starts, place, side="right") - 1] for place in rank]
        keys = [(i, place - starts[list(places).index(i)]) for i, place in zip(owner, rank, strict=True)]
        # each token brings what its document and place draw, wherever the document stands
        qkv = torch.stack([torch.randn(3, 2, 16, generator=torch.Generator().manual_seed(99 * i + p)) for i, p in keys])
        out = joined(backend, layout, torch.float64)(0, *qkv.double().unbind(1))
        found[tuple(places)] = torch.stack(
            [x for _, x in sorted(zip(keys, out, strict=True), key=lambda pair: pair[0])]
        )
    one, *other = found.values()
    for two in other:
        torch.testing.assert_close(one, two, **EXACT)


@pytest.mark.parametrize("backend", ["sdpa", "block_list"])
@settings(random_layouts, max_examples=50)
@given(kinds, seeds)
def test_half_precision_is_as_close_as_its_numbers_are(backend, kinds, seed):
    layout = layout_of(kinds, seed)
    tensors, grad = drawn(layout, seed, dtype=torch.bfloat16)
    attend = joined(backend, layout, torch.bfloat16)
    found = results(lambda *qkv: attend(0, *qkv), tensors, grad)
    doubles = [x.detach().double().requires_grad_() for x in tensors]
    wanted = results(lambda *qkv: by_definition(layout, *qkv), doubles, grad.double())
    for got, want in zip(found, wanted, strict=True):
        assert got.dtype == torch.bfloat16
        torch.testing.assert_close(got.double(), want, rtol=2e-2, atol=3e-2)


def test_autocast_brings_mixed_dtypes_to_half_precision():
    layout = layout_of([["text", "image", "speech"], ["image"]], 0)
    (q, k, v), grad = drawn(layout, 0, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = BlockListAttention(layout)(0, q, k, v.bfloat16())
    assert found.dtype == torch.bfloat16
    gradients = torch.autograd.grad(found, (q, k, v), grad.bfloat16())
    assert all(gradient.dtype == torch.float32 for gradient in gradients)
    torch.testing.assert_close(found.float(), by_definition(layout, q, k, v), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("backend", ["auto", "block_list", "flex"])
@uncompiled
def test_a_model_has_the_same_losses_with_every_backend(backend):
    rng = np.random.default_rng(0)
    documents = [make_document(rng, kinds) for kinds in (["text", "image", "speech"], ["image", "text"], ["speech"])]
    model = make_model()
    batch = pack(documents, model.grammar, 64)
    found = {}
    for name in ("sdpa", backend):
        model.backbone.settings = replace(model.backbone.settings, attention=name)
        with torch.no_grad():
            found[name] = model(batch, generator_for(0))
    for modality in found["sdpa"]:
        torch.testing.assert_close(found[backend][modality].loss, found["sdpa"][modality].loss, rtol=1e-5, atol=1e-5)


def test_auto_takes_what_is_fastest_for_the_documents_at_hand():
    short, long = layout_of([["text"]] * 9, 0), layout_of([["image"] * 50, ["text"]], 0, 400)
    assert isinstance(joined("auto", short, torch.float32), PackedAttention)
    assert isinstance(joined("auto", long, torch.float32), BlockListAttention)


def test_flex_does_not_train_on_the_cpu():
    layout = layout_of([["text"]], 0)
    with pytest.raises(
        ValueError, match=r"backbone.attention is flex, wanted auto, sdpa or block_list to train"
    ) as refused:
        joined("flex", layout, torch.float32)
    assert "\n" not in str(refused.value)


def test_block_list_runs_on_the_cpu_only():
    layout = layout_of([["text"]], 0)
    elsewhere = layout._replace(order=layout.order.to("meta"))
    with pytest.raises(ValueError, match=r"backbone.attention is block_list on meta, wanted auto, sdpa or flex"):
        joined("block_list", elsewhere, torch.float32)

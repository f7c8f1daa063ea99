"""Modalities that see some others alone, layers that do not join them, and insulated ones, against an explicit mask."""

import numpy as np
import pytest
import torch
from attentions import EXACT, GRAMMAR, kinds, layout_of, random_layouts, random_qkv, results, seeds, sequence_mask
from conftest import TOKENS, make_document, make_model
from hypothesis import given, settings
from properties import (
    CLOSE,
    assert_cached_equals_packed,
    assert_documents_do_not_mix,
    assert_packed_equals_unpacked,
    cached_hidden_states,
    changed,
    hidden_states,
)

from mot_lightning.backbone import BackboneSettings
from mot_lightning.backbone.attention import attention_mask, build_attention
from mot_lightning.backbone.attention.flex import FlexAttention, VisibleRanges
from mot_lightning.backbone.attention.visibility import Visibility, modality_of
from mot_lightning.backbone.towers import TowerSettings
from mot_lightning.sequence import Grammar, Segment, pack

IMAGE, SPEECH, TEXT = range(3)  # in the order of GRAMMAR.groups
SEES = {"text": ["text", "speech"], "image": ["image", "text"]}
JOINED = [range(2), range(2), range(2)]
JOINED_APART = [range(1, 3), range(2), range(3)]  # in layer 0 text and speech, in layer 2 text and images


def visibility_of(sees=SEES, insulate=(), joined=JOINED, depth=3):
    return Visibility(GRAMMAR.groups, sees, insulate, joined, depth)


def allowed_of(layout, layer, sees=SEES, joined=JOINED):
    """(N, N) bool in grouped order, from the names alone."""
    names = [GRAMMAR.groups[i] for i in modality_of(layout).tolist()]
    in_document = sequence_mask(layout)[layout.packed_index[:, None], layout.packed_index]
    joins = [name for name, layers in zip(GRAMMAR.groups, joined, strict=True) if layer in layers]
    pairs = [[k in sees.get(q, GRAMMAR.groups) and (k == q or {k, q} <= {*joins}) for k in names] for q in names]
    return in_document & torch.tensor(pairs)


def reference(seen, constant, q, k, v):
    """Softmax attention in which query i passes no gradient to the key and value j where `constant` (N, N) says so."""
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
    k, v = (torch.where(constant[..., None, None], x.detach()[None], x[None]) for x in (k, v))  # (N, N, h, e)
    scores = torch.einsum("qhe,qkhe->hqk", q, k) * q.shape[-1] ** -0.5
    return torch.einsum("hqk,qkhe->qhe", scores.masked_fill(~seen, -torch.inf).softmax(-1), v)


@pytest.mark.parametrize("joined", [JOINED, JOINED_APART], ids=["joined alike", "joined apart"])
@pytest.mark.parametrize("key_heads", [1, 2])
@pytest.mark.parametrize("insulate", [[], ["text"], ["text", "image"]], ids=["open", "text insulated", "two insulated"])
@pytest.mark.parametrize("backend", ["sdpa", "blockwise"])
@settings(random_layouts, max_examples=15)
@given(kinds, seeds)
def test_backend_matches_explicit_mask_forward_and_backward(backend, insulate, key_heads, joined, kinds, seed):
    layout = layout_of(kinds, seed)
    tensors, grad = random_qkv(layout, seed, key_heads, size=4)
    attend = build_attention(backend, layout, torch.float64, visibility_of(insulate=insulate, joined=joined))
    modality = modality_of(layout)
    is_insulated = torch.isin(modality, torch.tensor([GRAMMAR.groups.index(name) for name in insulate]))
    constant = is_insulated[None] & (modality[:, None] != modality)
    for layer in range(3):
        ours = results(lambda *qkv, layer=layer: attend(layer, *qkv), tensors, grad)
        seen = allowed_of(layout, layer, joined=joined)
        expected = results(lambda *qkv, seen=seen: reference(seen, constant, *qkv), tensors, grad)
        torch.testing.assert_close(ours, expected, **EXACT)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@settings(random_layouts, max_examples=15)
@given(kinds, seeds)
def test_flex_matches_explicit_mask(kinds, seed):
    layout = layout_of(kinds, seed)
    with torch.no_grad():
        tensors, _ = random_qkv(layout, seed)
        attend = build_attention("flex", layout, torch.float64, visibility_of())
        for layer in (0, 2):
            seen = allowed_of(layout, layer)
            expected = reference(seen, torch.zeros_like(seen), *tensors)
            torch.testing.assert_close(attend(layer, *tensors), expected, **EXACT)


def test_no_tile_counts_as_visible_whatever_its_modalities():
    """The kernel masks no token of such tiles: here of 128 text tokens before an image that does not see them."""
    grammar = Grammar(TOKENS, GRAMMAR.causal, "text", GRAMMAR.groups)
    content = [Segment("text", torch.zeros(300, dtype=torch.long)), *document(0, ["image"])]
    layout = pack([content], grammar, 400).layout
    (relation,) = visibility_of({"image": ["image"]}, joined=[range(3)] * 3).of(layout)
    whole, restricted = (FlexAttention(VisibleRanges.of(layout), one).mask for one in (None, relation))
    assert whole.full_kv_num_blocks.sum() > 0
    assert restricted.full_kv_num_blocks.sum() == 0


def test_mask_of_rows_hides_modalities_and_leaves_padding_alone():
    rng = np.random.default_rng(0)
    layout = pack([make_document(rng, ["text", "image"]), make_document(rng, ["speech"])], GRAMMAR, 16).layout
    (relation, _) = visibility_of().of(layout)
    whole, restricted = attention_mask(layout), attention_mask(layout, relation)
    assert restricted.any(-1).all()  # no softmax is empty
    padding = layout.document < 0
    assert torch.equal(whole[:, 0][padding], restricted[:, 0][padding])
    rows = torch.block_diag(*restricted[:, 0].double()).bool()[layout.slot[:, None], layout.slot]
    assert torch.equal(rows, allowed_of(layout, 0))


def document(seed=0, segments=("text", "image", "speech", "text")):
    return make_document(np.random.default_rng(seed), segments)


def test_text_that_sees_text_alone_does_not_depend_on_images():
    model = make_model(sees={"text": ["text"]})
    doc = document()
    new, slot = changed(model, doc, 1, 2)
    (before,), (after,) = hidden_states(model, [doc]), hidden_states(model, [new])
    image = slice(slot - 2, slot - 2 + len(doc[1].tokens))
    speech = model.grammar.length(doc[:2]) + 1
    difference = (after - before).abs().amax(-1)
    assert (difference[image] > 1e-4).all()
    assert (difference[speech : speech + len(doc[2].tokens)] > 1e-6).all()  # speech sees all
    is_text = torch.ones(len(before), dtype=torch.bool)
    is_text[image] = is_text[speech : speech + len(doc[2].tokens)] = False
    assert torch.equal(after[is_text], before[is_text])


def test_modalities_meet_in_joined_layers_alone():
    """Where layer 0 of 2 joins, images reach text; where no layer that text passes last joins, they do not."""
    doc = document()
    for joined, meet in (([0, 1], True), ([1, 2], True), ([0, 2], True)):
        model = make_model(joined_layers=joined)
        new, slot = changed(model, doc, 1, 2)
        (before,), (after,) = hidden_states(model, [doc]), hidden_states(model, [new])
        assert ((after[-1] - before[-1]).abs().max() > 1e-6) == meet, joined
        assert (after[slot] - before[slot]).abs().max() > 1e-4
    apart, joined = (make_model(joined_layers=layers) for layers in ([1, 2], []))
    assert (hidden_states(apart, [doc])[0] - hidden_states(joined, [doc])[0]).abs().max() > 1e-4


@pytest.mark.parametrize(("joined", "meet"), [([0, 1], True), ([1, 2], False)], ids=["first", "last"])
def test_a_tower_of_its_own_joins_by_its_own_layers(joined, meet):
    """Text and speech join in both layers of 2; images reach speech through the layer that their tower joins."""
    towers = {"image": TowerSettings(["image"], joined_layers=joined), "rest": ["text", "speech"]}
    model, doc = make_model(towers=towers), document()
    new, _ = changed(model, doc, 1, 2)
    hidden = [hidden_states(model, [each])[0] for each in (doc, new)]
    difference = (hidden[1] - hidden[0]).abs().amax(-1)  # (n,)
    assert (difference[model.grammar.length(doc[:2]) :] > 1e-6).all()
    first_layer = model.backbone.visibility.relations[model.backbone.visibility.of_layer[0]]
    image, speech, text = (model.backbone.modalities.index(name) for name in ("image", "speech", "text"))
    assert first_layer[speech, image] == first_layer[image, text] == meet
    assert first_layer[text, speech]


TOWERS_APART = {"image": TowerSettings(["image"], dim=16, joined_layers=[1, 2]), "rest": ["text", "speech"]}
SETTINGS = {
    "sees": {"sees": {"text": ["text"]}},
    "joined": {"joined_layers": [1, 2]},
    "both": {"sees": SEES, "joined_layers": [0, 1]},
    "by tower": {"towers": TOWERS_APART},
}
every_setting = pytest.mark.parametrize("backbone", SETTINGS.values(), ids=SETTINGS)


@every_setting
@pytest.mark.parametrize("attention", ["sdpa", "blockwise"])
def test_packed_equals_unpacked(backbone, attention):
    model = make_model(attention=attention, **backbone)
    documents = [document(0), document(1, ["image", "text"]), document(2, ["speech", "image"])]
    assert_packed_equals_unpacked(model, documents)
    assert_documents_do_not_mix(model, documents, 0, 1, 2)


@every_setting
@pytest.mark.parametrize("one_by_one", [False, True], ids=["by segment", "by token"])
def test_cached_equals_packed(backbone, one_by_one):
    model = make_model(**backbone)
    for rows in (1, 3):
        assert_cached_equals_packed(model, [document(seed) for seed in range(rows)], one_by_one)


@torch.no_grad()
def test_sequences_that_move_between_contexts_keep_their_modalities():
    model = make_model(sees={"text": ["text"]})
    _, context = cached_hidden_states(model, [document(0, ["text", "text"]), document(1, ["text", "text"])])
    _, other = cached_hidden_states(model, [document(2, ["image"]), document(3, ["image"])])
    context[[0]] = other[[1]]
    x = model.objectives["text"].embed_clean(torch.tensor([[3], [3]]))[0]
    torch.testing.assert_close(context.append(x, "text", True)[0], other.append(x, "text", True)[1], **CLOSE)


def test_insulation_changes_no_loss_and_no_gradient_of_other_towers():
    batch_of = lambda model: pack([document(0), document(1)], model.grammar, 64)  # noqa: E731
    open_model, insulated = make_model(), make_model(insulate=["text"])
    gradients = {}
    for model in (open_model, insulated):
        model(batch_of(model), 3)["image"].loss.sum().backward()
        towers = model.backbone.layers[0].towers
        names = [tower.modalities[0] for tower in towers]
        gradients[model] = {name: tower.qkv.weight.grad for name, tower in zip(names, towers, strict=True)}
    losses = [model(batch_of(model), 3)["image"].loss for model in (open_model, insulated)]
    torch.testing.assert_close(*losses, **CLOSE)
    one, two = gradients[open_model], gradients[insulated]
    torch.testing.assert_close(one["image"], two["image"], **CLOSE)
    assert one["text"].abs().max() > 1e-6
    assert not two["text"].any()  # images read text, and text learns nothing from it


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sees": {"txt": ["text"]}}, "backbone.sees names 'txt', wanted modalities among image, speech, text"),
        ({"sees": {"text": ["text", "img"]}}, "backbone.sees names 'img', wanted modalities among"),
        ({"sees": {"text": []}}, r"backbone.sees.text is \[\], wanted modalities with text among them"),
        ({"insulate": ["img"]}, "backbone.insulate names 'img', wanted modalities among image, speech, text"),
        ({"joined_layers": [1, 1]}, r"joined_layers is \[1, 1\], wanted \[first, after the last\] from 0 to depth"),
        ({"joined_layers": [0, 99]}, r"joined_layers is \[0, 99\], wanted"),
        (
            {"towers": {"all": TowerSettings(["image", "speech", "text"], joined_layers=[2, 1])}},
            r"backbone.towers.all.joined_layers is \[2, 1\], wanted \[first, after the last\] from 0 to depth 2",
        ),
    ],
)
def test_bad_settings_raise(changes, message):
    with pytest.raises(ValueError, match=message):
        make_model(**changes)


def test_cuda_graphs_are_refused_with_restrictions():
    with pytest.raises(ValueError, match="cuda_graphs is true, wanted false with insulate"):
        BackboneSettings(cuda_graphs=True, insulate=["text"])
    with pytest.raises(ValueError, match=r"cuda_graphs is true, wanted false with towers.text.joined_layers"):
        BackboneSettings(cuda_graphs=True, towers={"text": TowerSettings(["text"], joined_layers=[0, 1])})

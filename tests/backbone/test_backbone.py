"""Invariants of a Mixture of Transformers, for every backbone variant."""

from functools import cache

import numpy as np
import pytest
import torch
from conftest import make_document, make_model
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import (
    CLOSE,
    assert_cached_equals_packed,
    assert_documents_do_not_mix,
    assert_no_token_sees_its_future,
    assert_packed_equals_unpacked,
    assert_same_losses,
    hidden_states,
    linear_flops,
    total_loss,
)

from mot_lightning.analysis.ledger import total_parameters
from mot_lightning.backbone.settings import SHAREABLE
from mot_lightning.backbone.towers import TowerSettings
from mot_lightning.sequence import pack

NAMES = ("text", "image", "speech")
UNEQUAL = {
    "text": ["text"],
    "image": TowerSettings(["image"], dim=16, ffn_dim=48),
    "speech": TowerSettings(["speech"], dim=48),
}
VARIANTS = {
    "ffn untied": {"untie": ["ffn"]},
    "ffn and qkv untied": {"untie": ["ffn", "qkv"]},
    "all but ffn untied": {"untie": ["qkv", "o", "norm", "qk_norm"]},
    "first layer untied": {"untied_layers": [0, 1]},
    "res-post norm": {"norm": "res_post"},
    "no qk norm": {"qk_norm": False},
    "one key head": {"kv_heads": 1},
    "narrow heads": {"head_dim": 8},
    "stretched positions": {"rope_scaling": 4.0},
    "grids": {"rope_2d": True},
    "biases": {"qkv_bias": True, "norm_eps": 1e-2},  # without QK-norm, some weights of attention round to 0
    "as SmolLM3": {"qk_norm": False, "nope_layers": [1]},
    "narrow images, wide speech": {"towers": UNEQUAL},
    "all at once": {
        "untie": ["ffn", "o"],
        "untied_layers": [1, 2],
        "norm": "res_post",
        "kv_heads": 1,
        "head_dim": 8,
        "rope_2d": True,
        "towers": {"words": ["text"], "rest": ["image", "speech"]},
    },
}
every_variant = pytest.mark.parametrize("variant", VARIANTS)
random_layouts = settings(max_examples=12, deadline=None, derandomize=True)
kinds = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4)


@cache
def built(variant):
    return make_model(**VARIANTS[variant])


def some_token(data, document):
    segment = data.draw(st.integers(0, len(document) - 1))
    return segment, data.draw(st.integers(0, len(document[segment].tokens) - 1))


@every_variant
@random_layouts
@given(data=st.data(), kinds=st.lists(kinds, min_size=2, max_size=3), seed=st.integers(0, 99))
def test_no_token_attends_to_its_future_or_another_document(variant, data, kinds, seed):
    rng = np.random.default_rng(seed)
    documents = [make_document(rng, names) for names in kinds]
    number = data.draw(st.integers(0, len(documents) - 1))
    place = some_token(data, documents[number])
    assert_no_token_sees_its_future(built(variant), documents[number], *place)
    assert_documents_do_not_mix(built(variant), documents, number, *place)


@every_variant
@random_layouts
@given(kinds=st.lists(kinds, min_size=2, max_size=4), seed=st.integers(0, 99))
def test_packed_equals_unpacked(variant, kinds, seed):
    rng = np.random.default_rng(seed)
    assert_packed_equals_unpacked(built(variant), [make_document(rng, names) for names in kinds])


@every_variant
@random_layouts
@given(kinds=st.lists(st.sampled_from(NAMES), max_size=4), rows=st.integers(1, 3), seed=st.integers(0, 99))
def test_cached_equals_packed(variant, kinds, rows, seed):
    rng = np.random.default_rng(seed)
    assert_cached_equals_packed(built(variant), [make_document(rng, kinds) for _ in range(rows)], False)


@every_variant
@pytest.mark.parametrize("image", ["adaln", "additive"])
def test_loss_is_equal_with_and_without_gradients(variant, image):
    model = make_model(image, **VARIANTS[variant])
    batch = pack(documents(), model.grammar, 64)
    with torch.no_grad():
        loss = total_loss(model, batch)
    expected = total_loss(model, batch)
    assert expected.requires_grad
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_is_active_only_in_training(dropout):
    model, plain = make_model(dropout=dropout), make_model()
    batch = pack(documents(), model.grammar, 64)
    assert torch.equal(total_loss(model, batch), total_loss(plain, batch))
    assert torch.equal(total_loss(model.train(), batch), total_loss(plain.train(), batch)) == (not dropout)


def documents(seed=0):
    rng = np.random.default_rng(seed)
    return [make_document(rng, NAMES), make_document(rng, NAMES[:2]), make_document(rng, NAMES[1:])]


def weights(model):
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def test_fully_tied_model_equals_a_dense_model():
    tied, dense = make_model("additive", untie=[]), make_model("additive", {"all": [*NAMES]})
    assert total_parameters(tied) == total_parameters(dense)
    ours, theirs = weights(tied), dense.state_dict()
    assert ours.keys() == theirs.keys()
    dense.load_state_dict(ours)
    a, b = (pack(documents(), model.grammar, 64) for model in (tied, dense))
    assert_same_losses(tied, a, b, dense, **CLOSE)


@pytest.mark.parametrize("part", SHAREABLE)
def test_tied_part_is_stored_once_for_all_towers(part):
    tied = make_model("additive", untie=[other for other in SHAREABLE if other != part])
    whole, dense = make_model("additive"), make_model("additive", {"all": [*NAMES]})
    shared = [p for n, p in dense.backbone.named_parameters() if belongs(n, part)]
    saved = 2 * sum(p.numel() for p in shared)  # two of three copies
    assert total_parameters(whole) - total_parameters(tied) == saved > 0


def belongs(name, part):
    words = {"ffn": ".ffn.", "qkv": ".qkv.", "o": ".output.", "norm": "norm", "qk_norm": "qk_norm"}
    return words[part] in name and (part != "norm" or "qk_norm" not in name)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if "untied" in name])
def test_weight_sharing_does_not_change_flops(variant):
    model, dense = built(variant), make_model(towers={"all": [*NAMES]})
    assert linear_flops(model, pack(documents(), model.grammar, 64)) == linear_flops(
        dense, pack(documents(), dense.grammar, 64)
    )


@every_variant
@pytest.mark.parametrize("present", [["text"], ["text", "speech"]])
def test_untouched_lists_exactly_the_weights_with_zero_gradient(variant, present):
    model = make_model(**VARIANTS[variant]).train()
    batch = pack([make_document(np.random.default_rng(0), present)], model.grammar, 64)
    total_loss(model, batch).backward()
    untouched = {id(p) for p in model.untouched({name: name in present for name in NAMES})}
    for name, parameter in model.named_parameters():
        assert bool(parameter.grad.any()) == (id(parameter) not in untouched), name


@pytest.mark.parametrize("variant", ["no qk norm", "res-post norm", "one key head", "stretched positions", "grids"])
def test_variant_changes_the_hidden_states(variant):
    model, plain = built(variant), make_model()
    if variant != "one key head":  # the same weights
        plain.load_state_dict(model.state_dict(), strict=variant != "no qk norm")
    (a,), (b,) = hidden_states(model, documents()[:1]), hidden_states(plain, documents()[:1])
    assert (a - b).abs().max() > 1e-3

"""FLOPs and parameters per token, as counted by the cost ledger."""

import numpy as np
import pytest
import torch
from conftest import TOKENS, make_document, make_model
from properties import linear_flops

from mot_lightning.analysis.ledger import costs, total_parameters
from mot_lightning.backbone.attention import attention_mask
from mot_lightning.backbone.attention.visibility import modality_of
from mot_lightning.sequence import pack

DIM, DEPTH, FFN = 32, 2, 64  # of `make_model`
LAYER = 4 * DIM**2 + 3 * DIM * FFN  # weights of one layer's matrices
DENSE = {"all": ["text", "image", "speech"]}
TWO = {"words": ["text"], "perception": ["image", "speech"]}
every_image = pytest.mark.parametrize("image", ["adaln", "additive", "diffusion"])
every_tower = pytest.mark.parametrize("towers", [None, DENSE, TWO], ids=["separate", "dense", "two"])


def some_batch(model, *kinds):
    rng = np.random.default_rng(0)
    return pack([make_document(rng, names) for names in kinds], model.grammar, 64)


def tokens_of(model, batch):
    return dict(zip(model.grammar.groups, batch.layout.counts, strict=True))


def without_attention(cost):
    """FLOPs without attention's two matmuls, QK^T and AV, at two FLOPs per multiply-add."""
    return cost.flops - 2 * 2 * DIM * cost.context * DEPTH


@every_image
@every_tower
@pytest.mark.parametrize("kinds", [["text"], ["image"], ["speech"], ["text", "image", "speech", "image"]])
def test_token_flops_sum_to_the_measured_forward_flops(image, towers, kinds):
    model = make_model(image, towers)
    batch = some_batch(model, kinds, kinds)
    counts = tokens_of(model, batch)
    total = sum(counts[name] * without_attention(cost) for name, cost in costs(model, batch).items())
    assert total == pytest.approx(linear_flops(model, batch))


@every_tower
def test_text_flops_match_a_hand_computation(towers):
    model = make_model(towers=towers)
    batch = some_batch(model, ["text", "text"])
    n, t = len(batch.by_modality["text"].tokens), len(batch.by_modality["text"].target)
    by_hand = 2 * DEPTH * LAYER + 2 * DIM * model.grammar.ids("text") * t / n
    (name,) = by_modality = costs(model, batch)
    assert name == "text"
    assert without_attention(by_modality["text"]) == pytest.approx(by_hand)


def test_context_is_the_mean_number_of_visible_tokens():
    model = make_model()
    batch = some_batch(model, ["image"])  # three control tokens, at 0, 1 and 6, and four patches
    by_modality = costs(model, batch)
    assert by_modality["image"].context == 2 + 4
    assert by_modality["text"].context == pytest.approx((1 + 2 + 7) / 3)


@every_image
@pytest.mark.parametrize("towers", [None, TWO], ids=["separate", "two"])
def test_mixture_and_dense_model_cost_the_same_per_token(image, towers):
    mixture, dense = make_model(image, towers), make_model(image, DENSE)
    kinds = (["text", "image"], ["speech", "text"])
    mixed, other = costs(mixture, some_batch(mixture, *kinds)), costs(dense, some_batch(dense, *kinds))
    assert set(mixed) == set(other) == {"text", "image", "speech"}
    for name in mixed:
        assert mixed[name].flops == pytest.approx(other[name].flops)
        assert mixed[name].parameters == other[name].parameters
    assert total_parameters(mixture) > total_parameters(dense)


def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


@every_image
@every_tower
def test_active_parameters_are_those_of_one_tower_and_objective(image, towers):
    model = make_model(image, towers)
    by_modality = costs(model, some_batch(model, ["text", "image", "speech"]))
    norms = 2 * DIM + 2 * (DIM // 2)  # layer norms and QK norms
    tower = DEPTH * (LAYER + norms) + DIM
    for name, cost in by_modality.items():
        objective = model.objectives[name]
        adapt = DEPTH * (6 * DIM**2 + 6 * DIM) if name == "image" and image != "additive" else 0
        table = objective.position_embedding if name == "image" else objective.embedding
        unused = (table.num_embeddings - 1) * DIM
        assert cost.parameters == tower + adapt + size(objective) - unused
        assert cost.parameters < total_parameters(model)


def test_total_parameters_sum_towers_and_objectives():
    dense = make_model("additive", DENSE)
    others = sum(map(size, dense.objectives.values()))
    assert total_parameters(dense) == others + DEPTH * (LAYER + 2 * DIM + DIM) + DIM
    assert total_parameters(make_model("additive")) == others + 3 * (DEPTH * (LAYER + 2 * DIM + DIM) + DIM)


def test_absent_modality_has_no_cost():
    model = make_model()
    assert set(costs(model, some_batch(model, ["text"]))) == {"text"}
    assert TOKENS.keys() == set(model.grammar.groups)


def test_context_counts_what_a_modality_sees_in_each_layer():
    model = make_model(sees={"text": ["text"]}, joined_layers=[0, 1])
    documents = [make_document(np.random.default_rng(seed), ["text", "image", "speech", "image"]) for seed in range(3)]
    batch = pack(documents, model.grammar, 64)
    modality, relations = modality_of(batch.layout), model.backbone.visibility.of(batch.layout)
    expected = torch.zeros(len(modality))
    for i in model.backbone.visibility.of_layer:
        mask = attention_mask(batch.layout, relations[i])[:, 0].sum(-1).flatten()[batch.layout.slot]
        expected += mask / len(model.backbone.layers)
    for name, cost in costs(model, batch).items():
        of_modality = expected[modality == model.grammar.groups.index(name)]
        assert cost.context == pytest.approx(float(of_modality.mean()))

"""The dense transformer that costs as much as a model."""

import shlex

import numpy as np
import pytest
from conftest import make_document, make_model

from mot_lightning.analysis.ledger import total_parameters
from mot_lightning.analysis.ledger.match import dense, match, measured, nearest
from mot_lightning.backbone.moe import MoESettings
from mot_lightning.sequence import pack

ALL = {"all": ["text", "image", "speech"]}


def some_batch(model):
    return pack([make_document(np.random.default_rng(0), ["text", "image", "speech"])], model.grammar, 64)


@pytest.mark.parametrize("start", [1, 7, 40])
@pytest.mark.parametrize("power", [1, 1.5, 2])
def test_nearest_width_is_that_of_a_search_of_all(start, power):
    def measure(dim):
        return 3 * dim**power + 5

    for target in (10.0, 900.0, 12_345.0):
        best = min(range(4, 20_000, 4), key=lambda dim: abs(measure(dim) - target))
        assert nearest(measure, target, start, 4) == (best, measure(best))


def test_dense_model_has_as_many_parameters_as_all_towers():
    model = make_model("additive")
    matched = match(model, some_batch(model), "parameters")
    twin = dense(model, matched.backbone)
    assert matched.target == total_parameters(model)
    assert matched.reached == total_parameters(twin) == pytest.approx(matched.target, rel=0.05)
    assert len(twin.backbone.towers) == 1
    assert matched.backbone.dim > 32
    assert matched.backbone.ffn_dim == 2 * matched.backbone.dim  # the ratio of `make_model`
    assert matched.backbone.dim % 4 == 0  # two heads of even width


@pytest.mark.parametrize("quantity", ["active_parameters", "flops"])
def test_mixture_of_transformers_costs_a_token_what_the_dense_model_of_its_width_does(quantity):
    model = make_model("additive")
    matched = match(model, some_batch(model), quantity)
    assert matched.backbone.dim == 32
    assert matched.reached == pytest.approx(matched.target)


def test_experts_are_matched_by_a_wider_model():
    model = make_model("additive", ALL, experts={"all": MoESettings(choice="token", top_k=2)})
    batch = some_batch(model)
    matched = match(model, batch, "flops")
    assert 32 < matched.backbone.dim < 64
    assert measured(dense(model, matched.backbone), batch, "flops") == matched.reached
    assert matched.reached == pytest.approx(matched.target, rel=0.06)
    assert shlex.split(" ".join(matched.settings()))[2:] == [
        "--model.backbone.towers={all: [image, speech, text]}", "--model.backbone.experts={}"
    ]  # fmt: skip

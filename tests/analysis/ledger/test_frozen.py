"""What frozen weights save of a training step, beside what PyTorch counts in a real one."""

import numpy as np
import pytest
from conftest import make_document, make_model
from parts import FROZEN
from properties import total_loss
from torch.utils.flop_counter import FlopCounterMode

from mot_lightning.analysis.ledger import step_cost
from mot_lightning.analysis.ledger.ledger import Ledger
from mot_lightning.analysis.ledger.table import sums_of
from mot_lightning.backbone import MoESettings
from mot_lightning.parameters import frozen_parameters
from mot_lightning.sequence import pack
from mot_lightning.training.optimizer import OptimizerSettings
from mot_lightning.training.part_settings import PartSettings

KINDS = (["text", "image", "speech"], ["speech", "text"], ["text", "image"])


def batch_of(model):
    rng = np.random.default_rng(0)
    return pack([make_document(rng, names) for names in KINDS], model.grammar, 64)


def measured(model):
    """FLOPs of matrix products in the forward and backward pass of a batch."""
    with FlopCounterMode(display=False) as counter:
        total_loss(model, batch_of(model)).backward()
    return counter.get_total_flops()


@pytest.mark.parametrize(
    "frozen",
    [
        {"towers": {"text": FROZEN}},
        {"towers": {"image": FROZEN}, "objectives": {"image": PartSettings()}},
        {"towers": {"text": FROZEN, "speech": FROZEN}},
        {"objectives": {"text": FROZEN}},
    ],
    ids=str,
)
def test_saved_flops_are_those_that_pytorch_does_not_count(frozen):
    model, other = make_model(), make_model()
    OptimizerSettings(**frozen).freeze(other)
    saved = [measured(one) for one in (model, other)]
    counted = [step_cost(one, [batch_of(one)]).flops for one in (model, other)]
    assert saved[0] > saved[1]
    assert counted[0] - counted[1] == pytest.approx(saved[0] - saved[1], rel=0.01)


def test_frozen_experts_save_one_product_of_three():
    """As they count in the forward pass, by their settings."""
    experts = {"experts": {"text": MoESettings(count=2, choice="token")}}
    costs = {}
    for name, one in (("experts", experts), ("none", {})):
        model = make_model(**one)
        OptimizerSettings(towers={"text": FROZEN}).freeze(model)
        costs[name] = step_cost(model, [batch_of(model)]).by_modality["text"]
    router = 2 * 2 * 32 * 2  # FLOPs of two experts' router at width 32, in two layers
    assert costs["experts"].flops - costs["none"].flops == pytest.approx(router, rel=0.01)
    assert costs["experts"].saved_flops - costs["none"].saved_flops == pytest.approx(router, rel=0.01)


def test_the_ledger_says_what_is_frozen():
    model = make_model()
    step = step_cost(model, [batch_of(model)])
    assert "frozen" not in " ".join(sums_of(Ledger({}, {}, step, {}, False)))
    OptimizerSettings(objectives={"text": FROZEN}).freeze(model)
    count = sum(weight.numel() for weight in model.objectives["text"].parameters())
    assert frozen_parameters(model) == count
    frozen, step = sums_of(Ledger({}, {}, step_cost(model, [batch_of(model)]), {}, False, count))
    assert frozen.endswith(f"of which {count:,} are frozen")
    assert "less the gradients of frozen weights" in step

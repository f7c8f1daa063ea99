"""Optimizer settings: learning-rate schedule, weight decay and EMA."""

import itertools

import pytest
import torch
from torch import nn

from mot_lightning.backbone import BackboneSettings
from mot_lightning.codecs import Bytes, Patches
from mot_lightning.modality import Modality, assemble
from mot_lightning.objectives import FlowMatching, NextToken
from mot_lightning.training.optimizer import OptimizerSettings


def test_learning_rate_warms_up_and_decays_to_min_lr_ratio():
    settings = OptimizerSettings(warmup_steps=10, min_lr_ratio=0.1)
    factors = [settings.lr_factor(step, 100) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == pytest.approx(1.0)
    assert factors[100] == pytest.approx(0.1)
    assert all(a <= b for a, b in itertools.pairwise(factors[:11]))
    assert all(a >= b for a, b in itertools.pairwise(factors[10:]))


def test_frozen_weights_have_no_optimizer_state():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 2))
    model[0].requires_grad_(False)
    optimizer, _ = OptimizerSettings().build(model, 10, fused=False)
    assert set(optimizer.state) == set(model[1].parameters())


def small_model():
    modalities = {
        "text": Modality(Bytes(), NextToken()),
        "image": Modality(Patches((1, 8, 8), 2), FlowMatching()),
    }
    return assemble(modalities, "text", BackboneSettings(dim=16, depth=1, heads=2))


def test_weight_decay_applies_to_matrices_but_not_gains_or_biases():
    model = small_model()
    optimizer, _ = OptimizerSettings(weight_decay=0.5, warmup_steps=0).build(model, steps=10, fused=False)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)  # only weight decay changes a weight
    optimizer.step()
    moved = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    started_at_zero = {name for name, weight in before.items() if not weight.any()}
    matrices = {name for name, weight in before.items() if weight.dim() >= 2}
    assert moved == matrices - started_at_zero
    assert any(name.endswith("gain") for name in before)
    assert any(name.endswith("bias") for name in before)


def test_weight_decay_is_scaled_by_the_learning_rate():
    model = nn.Linear(2, 2, bias=False)
    nn.init.ones_(model.weight)
    settings = OptimizerSettings(learning_rate=0.1, weight_decay=0.5, warmup_steps=0, min_lr_ratio=1.0)
    optimizer, _ = settings.build(model, steps=10, fused=False)
    model.weight.grad = torch.zeros_like(model.weight)
    optimizer.step()
    torch.testing.assert_close(model.weight, torch.full((2, 2), 1 - 0.1 * 0.5))


def averaged(decay, steps):
    """The EMA, starting at 0, of a weight that is 1 at every step."""
    average, model = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(average.weight)
    nn.init.ones_(model.weight)
    for step in range(1, steps + 1):
        OptimizerSettings(ema_decay=decay).update_ema(average, model, step)
    return average.weight.item()


def test_ema_decay_warms_up_to_its_setting():
    # at step 1 the decay is 2 / 11, even if ema_decay is larger
    assert averaged(0.9999, 1) == pytest.approx(1 - 2 / 11)
    assert averaged(0.9999, 2) == pytest.approx(1 - 2 / 11 * 3 / 12)
    assert averaged(0.5, 1) == averaged(0.9999, 1)
    late = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(late[0].weight)
    nn.init.ones_(late[1].weight)
    OptimizerSettings(ema_decay=0.9).update_ema(*late, 10_000)
    assert late[0].weight.item() == pytest.approx(0.1)


def test_without_warmup_the_first_step_uses_the_peak_rate():
    assert OptimizerSettings(warmup_steps=0).lr_factor(0, 10) == 1
    assert OptimizerSettings(warmup_steps=4).lr_factor(0, 10) == 0.25
    # half way down the cosine
    assert OptimizerSettings(warmup_steps=0, min_lr_ratio=0.2).lr_factor(5, 10) == pytest.approx(0.6)


def test_optimizer_uses_the_configured_rate_and_betas():
    optimizer, _ = OptimizerSettings(learning_rate=0.5, betas=(0.3, 0.7), warmup_steps=0).build(
        nn.Linear(2, 2), steps=10, fused=False
    )
    assert {group["betas"] for group in optimizer.param_groups} == {(0.3, 0.7)}
    assert {group["lr"] for group in optimizer.param_groups} == {0.5}

"""Optimizer settings: learning-rate schedule, weight decay and EMA."""

import copy
import itertools
import sys

import numpy as np
import pytest
import torch
from torch import nn

from mot_lightning.backbone import BackboneSettings
from mot_lightning.codecs import Bytes, Patches
from mot_lightning.modality import Modality, assemble
from mot_lightning.objectives import FlowMatching, NextToken
from mot_lightning.training.optimizer import OptimizerSettings
from mot_lightning.training.part_settings import PartSettings


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


@pytest.mark.parametrize("schedule", ["linear", "constant", "wsd"])
def test_named_schedules_warm_up_and_end_at_their_rate(schedule):
    settings = OptimizerSettings(warmup_steps=10, min_lr_ratio=0.1, schedule=schedule)
    factors = [settings.lr_factor(step, 100) for step in range(101)]
    assert factors[:10] == [pytest.approx((step + 1) / 10) for step in range(10)]
    assert factors[100] == pytest.approx(1.0 if schedule == "constant" else 0.1)
    if schedule == "linear":
        assert factors[55] == pytest.approx(0.55)
    else:
        assert factors[10:81] == [1.0] * 71
    if schedule == "wsd":
        assert factors[90] == pytest.approx(0.55)
        longer = [settings.lr_factor(step, 1000) for step in range(81)]
        assert longer == factors[:81]  # so a run can be extended before it decays


def test_muon_updates_backbone_matrices_and_adamw_the_rest():
    model = small_model()
    optimizer, _ = OptimizerSettings(algorithm="Muon", weight_decay=0.5).build(model, steps=10, fused=False)
    muon, adamw = optimizer.optimizers
    names = {id(weight): name for name, weight in model.named_parameters()}
    by_muon, by_adamw = ({names[id(p)] for group in o.param_groups for p in group["params"]} for o in (muon, adamw))
    assert by_muon | by_adamw == set(names.values())
    assert not by_muon & by_adamw
    assert by_muon == {n for n, p in model.named_parameters() if n.startswith("backbone.layers.") and p.dim() == 2}
    assert {group["weight_decay"] for group in adamw.param_groups} == {0.5, 0.0}


def test_combined_optimizer_loads_its_state_and_follows_the_schedule():
    models = [small_model(), small_model()]
    models[1].load_state_dict(models[0].state_dict())
    optimizer, schedule = OptimizerSettings(algorithm="Muon").build(models[0], steps=10, fused=False)
    generator = torch.Generator().manual_seed(0)
    gradients = [[torch.randn(p.shape, generator=generator) for p in models[0].parameters()] for _ in range(4)]

    def step(model, optimizer, schedule, values):
        for parameter, value in zip(model.parameters(), values, strict=True):
            parameter.grad = value.clone()
        optimizer.step()
        schedule.step()

    for values in gradients[:2]:
        step(models[0], optimizer, schedule, values)
    resumed, resumed_schedule = OptimizerSettings(algorithm="Muon").build(models[1], steps=10, fused=False)
    models[1].load_state_dict(models[0].state_dict())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    resumed_schedule.load_state_dict(schedule.state_dict())
    for values in gradients[2:]:
        step(models[0], optimizer, schedule, values)
        step(models[1], resumed, resumed_schedule, values)
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))
    assert [group["lr"] for group in resumed.param_groups] == [group["lr"] for group in optimizer.param_groups]
    assert len({group["lr"] for child in resumed.optimizers for group in child.param_groups}) == 1


def test_other_optimizers_get_the_settings_that_they_take():
    model = small_model()
    settings = OptimizerSettings(0.5, algorithm={"class_path": "SGD", "init_args": {"momentum": 0.8}}, weight_decay=0.1)
    optimizer, _ = settings.build(model, steps=10, fused=False)
    assert type(optimizer) is torch.optim.SGD
    assert [(group["momentum"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.8, 0.1), (0.8, 0.0)]
    one_cycle = {"class_path": "OneCycleLR", "init_args": {"max_lr": 0.1, "total_steps": 10}}
    _, schedule = OptimizerSettings(schedule=one_cycle).build(model, steps=10, fused=False)
    assert type(schedule) is torch.optim.lr_scheduler.OneCycleLR


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"algorithm": "Muo"}, r"algorithm is torch.optim.Muo, wanted a class of torch.optim"),
        ({"algorithm": "torch.nn.Linear"}, r"algorithm is torch.nn.Linear, wanted a class of torch.optim"),
        ({"algorithm": "antigravity.fly"}, r"algorithm is antigravity.fly, wanted a class of torch.optim"),
        (
            {"algorithm": {"class_path": "SGD", "init_args": {"x": 1}}},
            "algorithm has no setting 'x' in SGD, wanted some of params, lr",
        ),
        (
            {"schedule": {"class_path": "StepLR", "init_args": {"stepsize": 1}}},
            r"schedule has no setting 'stepsize' in StepLR, did you mean step_size\?",
        ),
        ({"algorithm": "torch.optim.Adamm"}, r"wanted a class of torch.optim, .*, did you mean Adam(ax)?\?"),
        ({"schedule": "step"}, "schedule is step, wanted cosine, linear, constant, wsd or a class"),
        ({"schedule": {"class_path": "ReduceLROnPlateau"}}, "ReduceLROnPlateau, wanted one that needs no metric"),
        (
            {"algorithm": "Rprop", "towers": {"image": PartSettings(weight_decay=0.5)}},
            "model.optimizer.towers.image.weight_decay is 0.5, wanted null, as Rprop has none",
        ),
        ({"schedule": "torch.optim.SGD"}, r"schedule is torch.optim.SGD, wanted a class of torch.optim.lr_scheduler"),
    ],
)
def test_unknown_optimizers_and_schedules_are_refused_without_an_import(settings, message):
    with pytest.raises(ValueError, match=message):
        OptimizerSettings(**settings)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": "3e-4"}, "model.optimizer.learning_rate is '3e-4', wanted a number"),
        ({"betas": 0.9}, "model.optimizer.betas is 0.9, wanted a list of 2"),
        ({"betas": (0.9,)}, r"model.optimizer.betas is \(0.9,\), wanted a list of 2"),
        (
            {"algorithm": torch.optim.SGD},
            "model.optimizer.algorithm is the class SGD, wanted a text or a mapping: give its name, 'SGD'",
        ),
        ({"lr": 1}, "there is no setting 'lr', .*"),
        ({"learning_rat": 1}, "there is no setting 'learning_rat', did you mean learning_rate.*"),
    ],
)
def test_settings_of_another_type_are_refused(settings, message):
    with pytest.raises(TypeError, match=f"^{message}$"):
        OptimizerSettings(**settings)


@pytest.mark.parametrize("arguments", [{"amsgrad": True}, {"capturable": False, "foreach": True}])
def test_adamw_with_other_arguments_takes_its_first_step(arguments):
    model = nn.Linear(2, 2)
    settings = OptimizerSettings(algorithm={"class_path": "AdamW", "init_args": arguments}, warmup_steps=0)
    optimizer, _ = settings.build(model, steps=10, fused=False)
    plain = torch.optim.AdamW(copy.deepcopy(model).parameters(), lr=3e-3, **arguments)
    for steps in (optimizer, plain):
        for group in steps.param_groups:
            for weight in group["params"]:
                weight.grad = torch.ones_like(weight)
        steps.step()
    made = {name for state in optimizer.state.values() for name in state}
    assert made == {name for state in plain.state.values() for name in state}


@pytest.mark.parametrize("steps", [-1, float("inf")])
def test_schedules_that_end_need_a_last_step(steps):
    for schedule in ("cosine", "linear", "wsd"):
        with pytest.raises(ValueError, match=rf"no last step, where the {schedule} schedule ends"):
            OptimizerSettings(schedule=schedule).build(nn.Linear(2, 2), steps, fused=False)
    _, schedule = OptimizerSettings(schedule="constant", warmup_steps=0).build(nn.Linear(2, 2), steps, fused=False)
    assert schedule.get_last_lr() == [3e-3, 3e-3]


def test_numbers_of_numpy_become_plain_numbers():
    settings = OptimizerSettings(*np.float64([3e-3]), betas=tuple(np.float64([0.9, 0.98])))
    optimizer, _ = settings.build(nn.Linear(2, 2), steps=10, fused=False)
    assert {type(group["lr"]) for group in optimizer.param_groups} == {float}
    assert {type(beta) for group in optimizer.param_groups for beta in group["betas"]} == {float}


def test_arguments_of_a_class_go_before_the_settings():
    for name in ("AdamW", "Muon"):
        spec = {"class_path": name, "init_args": {"weight_decay": 0.25}}
        optimizer, _ = OptimizerSettings(algorithm=spec).build(small_model(), steps=10, fused=False)
        assert optimizer.param_groups[0]["weight_decay"] == 0.25
    assert optimizer.param_groups[0]["adjust_lr_fn"] == "match_rms_adamw"
    optimizer, _ = OptimizerSettings(algorithm="Rprop").build(nn.Linear(2, 2), steps=10, fused=False)
    assert type(optimizer) is torch.optim.Rprop


def test_combined_optimizer_runs_the_closure_that_makes_the_gradients():
    model = small_model()
    optimizer, _ = OptimizerSettings(algorithm="Muon").build(model, steps=10, fused=False)
    assert optimizer.step(lambda: 3.0) == 3.0

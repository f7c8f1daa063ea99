"""Groups of weights that learn at rates of their own."""

import pytest
import torch
from conftest import make_model
from parts import FROZEN, TWO, names_of

from mot_lightning.training.optimizer import OptimizerSettings
from mot_lightning.training.part_settings import PartSettings

PEAK, SLOW, SLOWER = 1e-2, 1e-3, 1e-4
OWN = {
    "towers": {"image": PartSettings(learning_rate=SLOW, weight_decay=0.5), "speech": FROZEN},
    "objectives": {"text": PartSettings(learning_rate=SLOWER)},
}
ALGORITHMS = ["AdamW", "Muon", {"class_path": "SGD", "init_args": {"momentum": 0.8}}, "Adafactor"]


def built(model, algorithm="AdamW", schedule="cosine", own=OWN, **settings):
    settings = {"warmup_steps": 4, "weight_decay": 0.1, **settings}
    optimizer = OptimizerSettings(PEAK, algorithm=algorithm, schedule=schedule, **settings, **own)
    optimizer.freeze(model)
    return optimizer.build(model, steps=20, fused=False)


def of_weights(model, optimizer, quantity):
    """A quantity of the group of each weight, by name; each weight is in one group."""
    names = {id(weight): name for name, weight in model.named_parameters()}
    pairs = [(names[id(p)], group[quantity]) for group in optimizer.param_groups for p in group["params"]]
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_each_weight_learns_at_the_rate_of_its_part(algorithm):
    model = make_model()
    optimizer, _ = built(model, algorithm, warmup_steps=0)
    image, (_, text), frozen = (names_of(model, name) for name in ("image", "text", "speech"))
    slow, frozen = set().union(*image), set().union(*frozen)
    rates = of_weights(model, optimizer, "lr")
    expected = {name: SLOW if name in slow else SLOWER if name in text else PEAK for name in model.state_dict()}
    assert rates == {name: rate for name, rate in expected.items() if name not in frozen}
    decays, weights = of_weights(model, optimizer, "weight_decay"), dict(model.named_parameters())
    for name, decay in decays.items():
        assert decay == (0 if weights[name].dim() < 2 else 0.5 if name in slow else 0.1)


STEP = {"class_path": "StepLR", "init_args": {"step_size": 3, "gamma": 0.5}}


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant", "wsd", STEP], ids=str)
@pytest.mark.parametrize("algorithm", ["AdamW", "Muon"])
def test_every_rate_follows_the_schedule_from_its_own_peak(algorithm, schedule):
    (optimizer, schedule), rates = built(make_model(), algorithm, schedule), []
    for _ in range(20):
        rates.append({group.get("name", "").rpartition("/")[0]: group["lr"] for group in optimizer.param_groups})
        optimizer.step()
        schedule.step()
    for row in rates:
        assert row["tower/image"] == pytest.approx(row[""] * SLOW / PEAK)
        assert row["objective/text"] == pytest.approx(row[""] * SLOWER / PEAK)
    assert len({row[""] for row in rates}) > 1
    assert max(row["tower/image"] for row in rates) == pytest.approx(SLOW)


def test_a_step_is_as_long_as_the_rate():
    model = make_model()
    optimizer, _ = built(model, "SGD", weight_decay=0.0, warmup_steps=0, own={"objectives": OWN["objectives"]})
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    for name, weight in model.named_parameters():
        rate = SLOWER if name.startswith("objectives.text.") else PEAK
        torch.testing.assert_close(before[name] - weight, torch.full_like(weight, rate), rtol=0.01, atol=1e-6)


def test_shared_weights_follow_the_common_rate_unless_all_their_towers_agree():
    """Of feed-forward networks alone the two towers have one each."""
    slow = PartSettings(learning_rate=SLOW)
    for towers in ({"words": slow}, {"words": slow, "perception": slow}):
        model = make_model(towers=TWO, untie=["ffn"])
        rates = of_weights(model, built(model, own={"towers": towers}, warmup_steps=0)[0], "lr")
        shared = {name: rate for name, rate in rates.items() if ".qkv." in name or ".norms." in name}
        assert shared
        assert {*shared.values()} == {SLOW if len(towers) == 2 else PEAK}
        assert rates["backbone.layers.0.towers.1.ffn.down.weight"] == SLOW


@pytest.mark.parametrize("algorithm", ["AdamW", "Muon"])
def test_groups_with_settings_of_their_own_have_names_of_their_own(algorithm):
    names = [group["name"] for group in built(make_model(), algorithm)[0].param_groups if "name" in group]
    assert len({*names}) == len(names) >= 3
    plain = built(make_model(), algorithm, own={})[0].param_groups
    assert not any("name" in group for group in plain)
    assert len(plain) == (3 if algorithm == "Muon" else 2)  # as they were, so that older checkpoints load


def test_muon_updates_what_is_left_where_the_backbone_is_frozen():
    own = {"towers": dict.fromkeys(("text", "image", "speech"), FROZEN), "objectives": {"image": PartSettings()}}
    model = make_model()
    optimizer, _ = built(model, "Muon", own=own)
    assert {*of_weights(model, optimizer, "lr")} == names_of(model, "image")[1]
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight) if weight.requires_grad else None
    optimizer.step()

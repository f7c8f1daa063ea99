"""The weights of a backbone are counted before they are allocated."""

import pytest
import torch

from mot_lightning.backbone import Backbone, BackboneSettings, memory
from mot_lightning.backbone.moe import MoESettings


@pytest.mark.parametrize("experts", [{}, {"a": MoESettings(count=3)}], ids=["dense", "experts"])
def test_the_count_is_that_of_the_layers_built(monkeypatch, experts):
    settings = BackboneSettings(dim=32, depth=3, heads=2, experts=experts)
    built = Backbone(settings, ["a", "b"])
    size = 4 * sum(weight.numel() for layer in built.layers for weight in layer.parameters())
    monkeypatch.setattr(memory, "machine_memory", lambda: size)
    Backbone(settings, ["a", "b"])
    monkeypatch.setattr(memory, "machine_memory", lambda: size - 1)
    with pytest.raises(ValueError, match=r"backbone is dim 32, depth 3, ffn_dim 64: cannot allocate"):
        Backbone(settings, ["a", "b"])


def test_counting_leaves_the_random_numbers_alone(monkeypatch):
    torch.manual_seed(0)
    counted = Backbone(BackboneSettings(dim=32, depth=1, heads=2), ["a"])
    monkeypatch.setattr("mot_lightning.backbone.backbone.check_memory", lambda *_: None)
    torch.manual_seed(0)
    uncounted = Backbone(BackboneSettings(dim=32, depth=1, heads=2), ["a"])
    assert all(torch.equal(a, b) for a, b in zip(counted.parameters(), uncounted.parameters(), strict=True))


def test_a_backbone_without_memory_is_not_refused():
    with torch.device("meta"):
        Backbone(BackboneSettings(dim=100_000, depth=100, heads=100), ["a"])

from types import SimpleNamespace

import pytest
import torch
from conftest import TOKENS, make_model

from mot_lightning.callbacks.telemetry.tower_similarity import TowerSimilarity, linear_cka
from mot_lightning.sequence import Segment, pack


def test_rotation_and_scale_change_nothing_and_noise_does():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 8, generator=generator)
    rotation, _ = torch.linalg.qr(torch.randn(8, 8, generator=generator))
    assert linear_cka(x, 3 * x @ rotation + 1) == pytest.approx(1)
    assert linear_cka(x, torch.randn(500, 8, generator=generator)) < 0.05


@pytest.mark.parametrize(("untie", "alike"), [(["qkv"], True), (["ffn", "norm"], False)])
def test_towers_that_share_feed_forward_networks_are_alike(untie, alike):
    model = make_model(untie=untie)
    document = [Segment("text", torch.arange(4)), Segment("image", torch.randn(4, TOKENS["image"].latent_dim))]
    values = TowerSimilarity().measure(SimpleNamespace(model=model, seed=0), pack([document], model.grammar, 16))
    assert len(values) == 3 * len(model.backbone.layers)
    assert all((value > 0.999) is alike for value in values.values())

import pytest
import torch
from conftest import TOKENS, make_model

from mot_lightning.callbacks.telemetry.part_norms import part_norms
from mot_lightning.sequence import Segment, pack


def test_norms_are_those_of_each_tower_and_objective():
    model = make_model(towers={"text": ["text", "speech"], "image": ["image"]})
    document = [Segment("text", torch.arange(4)), Segment("image", torch.randn(4, TOKENS["image"].latent_dim))]
    sum(one.loss.sum() for one in model(pack([document], model.grammar, 16), 0).values()).backward()
    norms = part_norms(model)
    assert {name for name in norms if name.startswith("tower/")} == {"tower/image", "tower/text+speech"} or {
        name for name in norms if name.startswith("tower/")
    } == {"tower/image", "tower/speech+text"}
    image = [p.grad for layer in model.backbone.layers for tower in layer.towers for p in tower.parameters()
             if tower.modalities == ("image",)]  # fmt: skip
    assert norms["tower/image"].item() == pytest.approx(sum(float(g.square().sum()) for g in image) ** 0.5, rel=1e-4)
    text = [p.grad for p in model.objectives["text"].parameters() if p.grad is not None]
    assert norms["objective/text"].item() == pytest.approx(sum(float(g.square().sum()) for g in text) ** 0.5, rel=1e-4)

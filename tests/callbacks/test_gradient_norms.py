"""Gradient norms per modality."""

import pytest
import torch
from conftest import TOKENS, make_model
from runs import TINY, rows, run

from mot_lightning.backbone.towers import TowerSettings
from mot_lightning.callbacks.gradient_norms import gradient_norms
from mot_lightning.sequence import Segment, pack


@pytest.mark.parametrize("towers", [{}, {"all": ["text", "image", "speech"]}], ids=["own", "shared"])
def test_gradient_norm_covers_all_weights_used_by_a_modality(towers):
    model = make_model(towers=towers)
    ids = [[Segment("text", torch.arange(4)), Segment("image", torch.randn(4, TOKENS["image"].latent_dim))]]
    sum(losses.loss.sum() for losses in model(pack(ids, model.grammar, 16), 0).values()).backward()
    norms = gradient_norms(model)
    for name in ("text", "image", "speech"):
        weights = {p for passed in model.weights_of(name) for p in passed.parameters()}
        expected = sum(float(p.grad.square().sum()) for p in weights) ** 0.5
        assert norms[name].item() == pytest.approx(expected, rel=1e-4)
    if towers:
        shared = sum(float(p.grad.square().sum()) for p in model.backbone.parameters()) ** 0.5
        assert min(norms["text"], norms["image"], norms["speech"]) > 0.3 * shared
    else:
        assert norms["speech"] == 0


def test_norms_of_parts_are_those_of_each_tower_and_objective():
    towers = {"text": ["text", "speech"], "image": TowerSettings(["image"], dim=16)}
    model = make_model(towers=towers)
    document = [Segment("text", torch.arange(4)), Segment("image", torch.randn(4, TOKENS["image"].latent_dim))]
    sum(one.loss.sum() for one in model(pack([document], model.grammar, 16), 0).values()).backward()
    norms = gradient_norms(model, parts=True)

    def norm(modules):
        return (
            sum(float(p.grad.square().sum()) for one in modules for p in one.parameters() if p.grad is not None) ** 0.5
        )

    towers = [tower for layer in model.backbone.layers for tower in layer.towers]
    assert {*map("+".join, (tower.modalities for tower in towers))} == {
        name.removeprefix("tower/") for name in norms if name.startswith("tower/")
    }
    image = [
        *(tower for tower in towers if tower.modalities == ("image",)),
        model.backbone.norms[model.backbone.tower_of("image")],
        model.backbone.bridges[str(model.backbone.tower_of("image"))],
    ]
    assert norms["tower/image"].item() == pytest.approx(norm(image), rel=1e-4)
    assert norms["objective/text"].item() == pytest.approx(norm([model.objectives["text"]]), rel=1e-4)


def test_gradient_norms_are_logged_every_n_steps(tmp_path):
    arguments = ["--trainer.log_every_n_steps=4", "--model.reduction=segment", "--report.prompts=0"]
    assert run(tmp_path, "fit", *TINY, *arguments) == 0
    logged = [row for row in rows(tmp_path / "default/0") if row.get("train/image/grad_norm")]
    assert [int(row["step"]) for row in logged] == [1, 4, 6]
    assert all(float(row[f"train/{name}/grad_norm"]) > 0 for row in logged for name in ("text", "image", "speech"))

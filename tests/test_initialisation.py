"""How weights begin: scales by what a weight is for, zeros where a block starts as nothing, and a user's own choice."""

import pytest
import torch
from torch import nn

from mot_lightning.backbone import BackboneSettings, MoESettings
from mot_lightning.codecs import VQ, Bytes, Patches
from mot_lightning.modality import Modality, assemble
from mot_lightning.objectives import Diffusion, FlowMatching, MaskedToken, NextToken, Regression

DIM, DEPTH, FFN = 256, 4, 512


def model_of(image=None, text=None, codec=None, **backbone):
    modalities = {
        "text": Modality(Bytes(), text or NextToken()),
        "image": Modality(codec or Patches((1, 8, 8), 4), image or FlowMatching()),
    }
    settings = BackboneSettings(dim=DIM, depth=DEPTH, heads=4, ffn_dim=FFN, **backbone)
    torch.manual_seed(0)
    return assemble(modalities, "text", settings)


def scale(weight):
    return weight.std().item()


def test_layers_keep_the_scale_of_what_passes_and_projections_into_the_residual_share_it():
    layer = model_of().backbone.layers[0].towers[0]
    for weight, inputs in ((layer.qkv, DIM), (layer.ffn.gate, DIM), (layer.ffn.up, DIM)):
        assert scale(weight.weight) == pytest.approx(inputs**-0.5, rel=0.02)
    for weight, inputs in ((layer.output, DIM), (layer.ffn.down, FFN)):
        assert scale(weight.weight) == pytest.approx((inputs * 2 * DEPTH) ** -0.5, rel=0.02)


def test_experts_begin_as_the_network_that_they_stand_for():
    for choice in ("token", "expert"):
        experts = {"text": MoESettings(count=4, choice=choice)}
        mixture = model_of(experts=experts).backbone.layers[0].towers[1].ffn
        assert scale(mixture.experts.gate_up) == pytest.approx(DIM**-0.5, rel=0.02)
        assert scale(mixture.experts.down) == pytest.approx((FFN * 2 * DEPTH) ** -0.5, rel=0.02)
        assert scale(mixture.router.weight) == pytest.approx(0.02, rel=0.1)


def test_a_new_model_guesses_nearly_alike_for_all_ids():
    model = model_of()
    assert scale(model.objectives["text"].head.weight) == pytest.approx(0.02, rel=0.02)
    assert scale(model.objectives["text"].embedding.weight) == pytest.approx(1.0, rel=0.02)
    tied = model_of(text=NextToken(tie=True)).objectives["text"]
    assert tied.embedding.weight is tied.head.weight
    assert scale(tied.head.weight) == pytest.approx(DIM**-0.5, rel=0.02)  # embeds times sqrt(dim)


@pytest.mark.parametrize("image", [FlowMatching(), Diffusion(), Diffusion(patch_io="unet"), Regression()])
def test_what_predicts_latents_begins_at_zero(image):
    objective = model_of(image=image).objectives["image"]
    output = objective.projection.output if hasattr(objective, "projection") else objective.output
    assert not output.weight.any()
    assert not output.bias.any()


def test_adaptive_norms_begin_without_effect():
    model = model_of()
    adaptive = [tower.adapt["image"].linear for layer in model.backbone.layers for tower in layer.towers if tower.adapt]
    assert len(adaptive) == DEPTH
    assert not any(linear.weight.any() or linear.bias.any() for linear in adaptive)


def test_all_biases_of_linear_layers_begin_at_zero():
    linears = [module for module in model_of().modules() if isinstance(module, nn.Linear) and module.bias is not None]
    assert len(linears) > DEPTH
    assert not any(linear.bias.any() for linear in linears)


def test_codes_pass_a_linear_map_of_their_codebook():
    codec = VQ((1, 8, 8), vocab_size=32, steps=1)
    objective = model_of(image=MaskedToken(lookup="codebook"), codec=codec).objectives["image"]
    assert scale(objective.embedding.project.weight) == pytest.approx(4**-0.5, rel=0.1)


class ZeroHead(NextToken):
    """An objective of a user's that begins with no guess at all."""

    def build(self, dim, tokens):
        super().build(dim, tokens)
        nn.init.zeros_(self.head.weight)


def test_nothing_touches_what_a_users_objective_has_initialised():
    assert not model_of(text=ZeroHead()).objectives["text"].head.weight.any()

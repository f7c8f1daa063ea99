"""Initialisation of weights: scales by layer type, zero-initialised outputs, and user-defined objectives."""

import pytest
import torch
from torch import nn

from mot_lightning.backbone import BackboneSettings, MoESettings
from mot_lightning.codecs import VQ, Bytes, Patches
from mot_lightning.modality import Modality, assemble
from mot_lightning.objectives import Diffusion, FlowMatching, MaskedToken, NextLatent, NextToken, Regression

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


def test_linear_layers_are_scaled_by_fan_in_and_residual_depth():
    layer = model_of().backbone.layers[0].towers[0]
    for weight, inputs in ((layer.qkv, DIM), (layer.ffn.gate, DIM), (layer.ffn.up, DIM)):
        assert scale(weight.weight) == pytest.approx(inputs**-0.5, rel=0.02)
    for weight, inputs in ((layer.output, DIM), (layer.ffn.down, FFN)):
        assert scale(weight.weight) == pytest.approx((inputs * 2 * DEPTH) ** -0.5, rel=0.02)


def test_experts_are_initialised_as_a_dense_feed_forward():
    for choice in ("token", "expert"):
        experts = {"text": MoESettings(count=4, choice=choice)}
        mixture = model_of(experts=experts).backbone.layers[0].towers[1].ffn
        assert scale(mixture.experts.gate_up) == pytest.approx(DIM**-0.5, rel=0.02)
        assert scale(mixture.experts.down) == pytest.approx((FFN * 2 * DEPTH) ** -0.5, rel=0.02)
        assert scale(mixture.router.weight) == pytest.approx(0.02, rel=0.1)


def test_head_and_embedding_scales_depend_on_tying():
    model = model_of()
    assert scale(model.objectives["text"].head.weight) == pytest.approx(0.02, rel=0.02)
    assert scale(model.objectives["text"].embedding.weight) == pytest.approx(1.0, rel=0.02)
    tied = model_of(text=NextToken(tie=True)).objectives["text"]
    assert tied.embedding.weight is tied.head.weight
    assert scale(tied.head.weight) == pytest.approx(DIM**-0.5, rel=0.02)  # embeddings are multiplied by sqrt(dim)


@pytest.mark.parametrize("image", [FlowMatching(), Diffusion(), Diffusion(patch_io="unet"), NextLatent(), Regression()])
def test_latent_outputs_are_zero_initialised(image):
    objective = model_of(image=image).objectives["image"]
    output = getattr(objective, "projection", getattr(objective, "head", objective)).output
    assert not output.weight.any()
    assert not output.bias.any()


def test_adaptive_norms_are_zero_initialised():
    model = model_of()
    adaptive = [tower.adapt["image"].linear for layer in model.backbone.layers for tower in layer.towers if tower.adapt]
    assert len(adaptive) == DEPTH
    assert not any(linear.weight.any() or linear.bias.any() for linear in adaptive)


def test_linear_biases_are_zero_initialised():
    linears = [module for module in model_of().modules() if isinstance(module, nn.Linear) and module.bias is not None]
    assert len(linears) > DEPTH
    assert not any(linear.bias.any() for linear in linears)


def test_codebook_projection_is_scaled_by_fan_in():
    codec = VQ((1, 8, 8), vocab_size=32, steps=1)
    objective = model_of(image=MaskedToken(lookup="codebook"), codec=codec).objectives["image"]
    assert scale(objective.embedding.project.weight) == pytest.approx(4**-0.5, rel=0.1)


class ZeroHead(NextToken):
    """A user-defined objective with a zero-initialised head."""

    def build(self, dim, tokens):
        super().build(dim, tokens)
        nn.init.zeros_(self.head.weight)


def test_initialisation_by_a_user_objective_is_kept():
    assert not model_of(text=ZeroHead()).objectives["text"].head.weight.any()

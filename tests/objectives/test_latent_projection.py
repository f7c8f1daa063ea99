"""The U-Net projection of image latents into and out of the backbone."""

import pytest
import torch
import torch.nn.functional as F
from conftest import SMALL, TOKENS

from mot_lightning.model import MixtureOfTransformers
from mot_lightning.noise import Noise
from mot_lightning.objectives import FlowMatching, NextToken
from mot_lightning.objectives.latent_projection import UNetProjection
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Segment, Tokens, pack


def latents(segments, **others):
    images = torch.randn(segments, 4, 3, generator=generator_for(5))
    return [[Segment("image", image, **others)] for image in images]


def with_unet(**settings):
    torch.manual_seed(0)
    objectives = {"text": NextToken(), "image": FlowMatching(patch_io="unet", **settings)}
    return MixtureOfTransformers(objectives, {n: TOKENS[n] for n in objectives}, "text", SMALL)


def test_unet_mixes_tokens_within_an_image_but_not_across():
    model = with_unet()
    image, images = model.objectives["image"], pack(latents(3), model.grammar, 16).by_modality["image"]
    torch.nn.init.normal_(image.projection.output.weight)
    embedded = image.embed(images, Noise.of(images))
    other = image.embed(
        images._replace(tokens=images.tokens.clone().index_fill_(0, torch.tensor([5]), 2.0)), Noise.of(images)
    )
    moved = (embedded.embedding - other.embedding).abs().amax(-1).view(3, 4)
    assert (moved[1] > 1e-4).all()
    assert (moved[[0, 2]] < 1e-5).all()
    hidden = torch.randn(12, 32, generator=generator_for(1))
    changed = hidden.clone()
    changed[5] += 1
    moved = (image.loss(hidden, embedded) - image.loss(changed, embedded)).abs().view(3, 4)
    assert (moved[1] > 1e-5).all()
    assert (moved[[0, 2]] < 1e-5).all()


@pytest.mark.parametrize("time", ["adaln", "additive"])
def test_unet_output_depends_on_time(time):
    model = with_unet(time_conditioning=time)
    projection = model.objectives["image"].projection
    torch.nn.init.normal_(projection.output.weight)
    x, hidden = torch.randn(4, 3), torch.randn(4, 32)
    early, late = (model.objectives["image"].time_embedding(torch.tensor([t])) for t in (0.1, 0.9))
    _, skip = projection.project_in(x, early)
    assert not torch.allclose(
        projection.project_out(hidden, skip), projection.project_out(hidden, (skip[0], late)), atol=1e-4
    )


def test_unet_gradients_are_zero_without_images():
    model = with_unet()
    batch = pack([[Segment("text", torch.arange(3))]], model.grammar, 16)
    sum(one.loss.sum() for one in model(batch, 0).values()).backward()
    gradients = [p.grad for p in model.objectives["image"].projection.parameters()]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


def test_grid_and_rows_are_inverse():
    projection = UNetProjection(8, Tokens(latent_dim=4, length=6, grid=(2, 3), patch_size=2))
    x = torch.arange(48.0).view(12, 4)  # two segments
    grid = F.pixel_shuffle(projection._grid(x, 2), 2)
    assert grid.shape == (2, 1, 4, 6)
    assert grid[0, 0, :2, :2].flatten().tolist() == x[0].tolist()
    assert torch.equal(projection._rows(F.pixel_unshuffle(grid, 2)), x)


def test_unet_without_a_grid_raises():
    tokens = {"text": TOKENS["text"], "image": Tokens(latent_dim=3, length=4)}
    with pytest.raises(ValueError, match="patch_io is 'unet', wanted 'linear': the codec's tokens lie on no grid"):
        MixtureOfTransformers({"text": NextToken(), "image": FlowMatching(patch_io="unet")}, tokens, "text", SMALL)

"""Images as features of a vision model: tiny networks of diffusers."""

import re

import diffusers
import pytest
import torch
from torch import Tensor
from weight_files import lose_a_weight

from mot_lightning.codecs import RAE


@pytest.fixture(params=["mae", "dinov2"])
def network(request):
    torch.manual_seed(0)
    return diffusers.AutoencoderRAE(
        encoder_type=request.param,
        encoder_hidden_size=64,
        encoder_patch_size=4,
        encoder_num_hidden_layers=1,
        decoder_hidden_size=32,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=64,
        patch_size=8,
        encoder_input_size=16,
        latents_mean=torch.full((64, 1, 1), 0.1),
        latents_std=torch.full((64, 1, 1), 2.0),
        scaling_factor=0.5,
    ).eval()


def picture(shape=(3, 32, 32)) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("channels", [1, 3])
def test_reconstructs_as_its_network(tmp_path, network, channels):
    network.save_pretrained(tmp_path)
    codec, image = RAE((channels, 32, 32), tmp_path), picture((channels, 32, 32))
    with torch.no_grad():
        latents = network.encode(image.expand(1, 3, 32, 32)).latent
        back = network.decode(latents).sample[0].clamp(0, 1)
    tokens = codec.encode(image)
    assert tokens.shape == (codec.length, codec.latent_dim) == (16, 64)
    assert codec.grid == (4, 4)
    torch.testing.assert_close(tokens[5], latents[0, :, 1, 1])  # row by row
    expected = back.mean(0, keepdim=True) if channels == 1 else back
    torch.testing.assert_close(codec.decode(tokens), expected)
    assert torch.equal(codec.encode(image), tokens)


def test_weights_and_scale_are_in_the_fingerprint_not_the_state_dict(tmp_path, network):
    network.save_pretrained(tmp_path)
    codec = RAE([3, 32, 32], tmp_path)  # as YAML has it
    assert not codec.state_dict()
    weights = codec.fingerprint({})["weights"]
    network.register_to_config(scaling_factor=0.25)
    network.save_pretrained(tmp_path)
    scaled = RAE((3, 32, 32), tmp_path).fingerprint({})["weights"]
    with torch.no_grad():
        next(network.parameters()).flatten()[0] += 1e-3
    network.save_pretrained(tmp_path)
    assert len({weights, scaled, RAE((3, 32, 32), tmp_path).fingerprint({})["weights"]}) == 3


def test_bad_networks_and_shapes_are_refused_in_one_line(tmp_path, network):
    network.save_pretrained(tmp_path / "rae")
    with pytest.raises(ValueError, match=r"shape is \[3, 16, 16\], wanted height and width 32, as it decodes to"):
        RAE((3, 16, 16), tmp_path / "rae")
    diffusers.AutoencoderKL(norm_num_groups=8).save_pretrained(tmp_path / "kl")
    with pytest.raises(ValueError, match="wanted a folder or hub name of AutoencoderRAE: it holds a AutoencoderKL"):
        RAE((3, 32, 32), tmp_path / "kl")
    missing = lose_a_weight(tmp_path / "rae")
    with pytest.raises(ValueError, match=re.escape(f"it has no weight {missing} of the right shape")):
        RAE((3, 32, 32), tmp_path / "rae")


def test_pickled_weights_are_refused(tmp_path, network):
    network.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(ValueError, match="safetensors"):
        RAE((3, 32, 32), tmp_path)

"""Image autoencoders: tiny pretrained ones of diffusers, and small ones trained on digits."""

import re

import diffusers
import pytest
import torch
from torch import Tensor
from weight_files import lose_a_weight

from datamodules.digits.sources import sklearn_digits
from mot_lightning.codecs import VAE, VQ
from mot_lightning.codecs.cache import CACHE

BLOCKS = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (8, 8),
    "norm_num_groups": 4,
}


def kl(**settings):
    return diffusers.AutoencoderKL(**BLOCKS, latent_channels=4, **settings)


def tiny():
    widths = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    blocks = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    return diffusers.AutoencoderTiny(**widths, **blocks, latent_channels=4)


def dc():
    return diffusers.AutoencoderDC(
        latent_channels=4,
        attention_head_dim=4,
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), ()),
        decoder_qkv_multiscales=((), ()),
        scaling_factor=0.5,
    )


def vq(**settings):
    return diffusers.VQModel(**{**BLOCKS, **settings}, latent_channels=4, num_vq_embeddings=32)


NETWORKS = [
    (VAE, kl), (VAE, lambda: kl(shift_factor=0.1, scaling_factor=2.0)),
    (VAE, lambda: kl(latents_mean=(0.1, 0.2, 0.3, 0.4), latents_std=(1.0, 2.0, 3.0, 4.0))),
    (VAE, tiny), (VAE, dc), (VQ, vq), 
    (VQ, lambda: vq(lookup_from_codebook=True, norm_type="spatial", block_out_channels=(32, 32))),
]  # fmt: skip
every_network = pytest.mark.parametrize(("kind", "make"), NETWORKS)


def folder(path, make):
    torch.manual_seed(0)
    network = make()
    network.save_pretrained(path)
    return network.eval(), str(path)


def picture(shape=(3, 16, 12), seed=0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("channels", [1, 3])
@every_network
def test_pretrained_codec_reconstructs_as_its_network(tmp_path, kind, make, channels):
    network, name = folder(tmp_path / "network", make)
    codec, image = kind((channels, 16, 12), name), picture((channels, 16, 12))
    with torch.no_grad():
        encoded = network.encode(2 * image.expand(1, 3, 16, 12) - 1)
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded[0]
        back = (network.decode(latents).sample[0] + 1) / 2
    expected = back.mean(0, keepdim=True) if channels == 1 else back
    tokens = codec.encode(image)
    assert len(tokens) == codec.length == codec.grid[0] * codec.grid[1]
    assert codec.vocab_size or tokens.shape[1] == codec.latent_dim
    torch.testing.assert_close(codec.decode(tokens), expected.clamp(0, 1), rtol=0, atol=1e-4)


def test_latents_use_the_shift_and_scaling_factor_of_the_config(tmp_path):
    network, name = folder(tmp_path / "network", lambda: kl(shift_factor=0.1, scaling_factor=2.0))
    image = picture()
    with torch.no_grad():
        latents = network.encode(2 * image[None] - 1).latent_dist.mode()[0]  # (4, 8, 6)
    expected = ((latents - 0.1) * 2).flatten(1).T
    torch.testing.assert_close(VAE((3, 16, 12), name).encode(image), expected)


def test_scaling_factor_changes_the_fingerprint(tmp_path):
    network, name = folder(tmp_path / "network", lambda: kl(shift_factor=0.1, scaling_factor=2.0))
    one = VAE((3, 16, 12), name)
    network.register_to_config(scaling_factor=1.9)
    network.save_pretrained(name)
    other = VAE((3, 16, 12), name)
    assert other.frozen.hash == one.frozen.hash
    assert other.fingerprint(other.state_dict())["weights"] != one.fingerprint(one.state_dict())["weights"]


def test_image_smaller_than_the_downsampling_raises_a_one_line_error(tmp_path):
    _, name = folder(tmp_path / "network", kl)
    with pytest.raises(ValueError, match=r"shape is \(3, 1, 1\), wanted a size that .* can encode: [^\n]*$"):
        VAE((3, 1, 1), name)


def test_latent_patches_give_fewer_and_wider_tokens(tmp_path):
    _, name = folder(tmp_path / "network", kl)
    codec = VAE((3, 16, 12), name, latent_patch_size=2)
    tokens = codec.encode(picture())
    assert tokens.shape == (4 * 3, 4 * 2 * 2)
    assert codec.grid == (4, 3)
    single = VAE((3, 16, 12), name)
    torch.testing.assert_close(codec.decode(tokens), single.decode(single.encode(picture())))


@pytest.mark.parametrize("count", [0, 1, 47, 60])
def test_incomplete_ids_decode_to_a_full_size_image(tmp_path, count):
    _, name = folder(tmp_path / "network", vq)
    codec = VQ((3, 16, 12), name)
    assert codec.decode(torch.arange(count) % 32).shape == (3, 16, 12)


@every_network
def test_pretrained_weights_are_in_the_fingerprint_not_the_state_dict(tmp_path, kind, make):
    network, name = folder(tmp_path / "network", make)
    codec = kind((3, 16, 12), name)
    assert not list(codec.parameters())
    assert sum(value.numel() for value in codec.state_dict().values() if isinstance(value, Tensor)) <= 8
    same = kind((3, 16, 12), name).fingerprint(codec.state_dict())
    assert codec.fingerprint(codec.state_dict()) == same
    with torch.no_grad():
        next(network.parameters()).flatten()[0] += 1e-3
    network.save_pretrained(tmp_path / "network")
    other = kind((3, 16, 12), name).fingerprint(codec.state_dict())
    assert {what for what in same if same[what] != other[what]} == {"weights"}


@every_network
def test_missing_weight_raises_a_one_line_error_that_names_it(tmp_path, kind, make):
    _, name = folder(tmp_path / "network", make)
    missing = lose_a_weight(name)
    with pytest.raises(ValueError, match=re.escape(f"it has no weight {missing} of the right shape")) as refused:
        kind((3, 16, 12), name)
    assert "\n" not in str(refused.value)


def test_invalid_network_or_settings_raise_a_one_line_error(tmp_path):
    _, name = folder(tmp_path / "network", kl)
    (tmp_path / "empty").mkdir()
    refusals = [
        (lambda: VQ((3, 16, 12), name), "it holds a AutoencoderKL"),
        (lambda: VAE((3, 16, 12), str(tmp_path / "empty")), "empty"),
        (lambda: VAE((3, 16, 12), "no/such-network"), "no/such-network"),
        (lambda: VAE((3, 15, 12), name), r"shape is \(3, 15, 12\), wanted a size that decoding restores"),
        (lambda: VAE((3, 16, 12), name, latent_patch_size=4), "latent_patch_size is 4, wanted a divisor of"),
        (lambda: VAE((1, 8, 8), downsample=3), "downsample is 3, wanted 1, 2, 4"),
        (lambda: VQ((1, 8, 8), vocab_size=1), "vocab_size is 1, wanted at least 2"),
        (lambda: VQ((1, 8, 8), channels=12), "channels is 12, wanted a multiple of 8"),
        (lambda: VQ((1, 8, 8), steps=0), "steps is 0, wanted at least 1"),
    ]
    for make, message in refusals:
        with pytest.raises(ValueError, match=message) as refused:
            make()
        assert "\n" not in str(refused.value)


@pytest.fixture(scope="module")
def digits() -> dict[str, Tensor]:
    return {split: torch.stack(part.media) for split, part in sklearn_digits().items()}


@pytest.fixture(autouse=True)
def _cache_of_this_module(tmp_path_factory, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.mark.parametrize("kind", [VQ, VAE])
def test_small_autoencoder_learns_digits_and_can_be_saved(digits, kind, tmp_path):
    codec = kind((1, 8, 8), steps=100)
    before = codec.quality(digits["test"])
    codec.fit(list(digits["train"]))
    after = codec.quality(digits["test"])
    assert before["psnr"] < 12
    assert after["psnr"] > 17
    if kind is VQ:
        assert after["codes_used"] > 0.7
        assert codec.ids(digits["test"]).shape == (len(digits["test"]), 16)
    else:
        latents = torch.stack([codec.encode(image) for image in digits["test"]])
        assert latents.mean().abs() < 0.2
        assert latents.std() == pytest.approx(1, abs=0.2)

    image, tokens = digits["test"][0], codec.encode(digits["test"][0])
    torch.save(codec.state_dict(), tmp_path / "codec.pt")  # the state dict holds the whole codec
    other = kind((1, 8, 8), steps=100)
    other.load_state_dict(torch.load(tmp_path / "codec.pt", weights_only=True))
    assert torch.equal(other.encode(image), tokens)
    assert torch.equal(other.decode(tokens), codec.decode(tokens))
    codec.save_pretrained(tmp_path / "network")  # the saved folder loads as a pretrained network
    assert torch.equal(kind((1, 8, 8), str(tmp_path / "network")).encode(image), tokens)

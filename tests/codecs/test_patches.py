"""Images as patches, without loss."""

import pytest
import torch

from mot_lightning.codecs import Patches

SHAPES = [((1, 8, 8), 2), ((1, 8, 8), 8), ((3, 8, 8), 1), ((3, 6, 12), 3), ((1, 12, 4), 4), ((1, 28, 28), 7)]
every_shape = pytest.mark.parametrize(("shape", "patch_size"), SHAPES)


def picture(shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@every_shape
@pytest.mark.parametrize("fitted", [False, True])
def test_encode_decode_restores_the_image(shape, patch_size, fitted):
    codec = Patches(shape, patch_size)
    if fitted:
        codec.fit([picture(shape, seed) ** 3 for seed in range(5)])
    image = picture(shape)
    tokens = codec.encode(image)
    assert tokens.shape == (codec.length, codec.latent_dim)
    assert tokens.numel() == image.numel()
    torch.testing.assert_close(codec.decode(tokens), image, rtol=0, atol=1e-6)


@every_shape
def test_tokens_are_patches_in_row_major_order(shape, patch_size):
    codec, image = Patches(shape, patch_size), picture(shape)
    tokens = codec.encode(image)
    across = shape[2] // patch_size
    for i, token in enumerate(tokens):
        y, x = i // across * patch_size, i % across * patch_size
        patch = image[:, y : y + patch_size, x : x + patch_size]
        torch.testing.assert_close(token * codec.std + codec.mean, patch.flatten())


def test_fitted_latents_have_unit_scale():
    images = [0.3 * picture((1, 8, 8), seed) for seed in range(50)]
    codec = Patches((1, 8, 8), 2)
    codec.fit(images)
    tokens = torch.stack([codec.encode(image) for image in images])
    assert tokens.mean().item() == pytest.approx(0, abs=1e-4)
    assert tokens.std().item() == pytest.approx(1, abs=1e-4)
    other = Patches((1, 8, 8), 2)
    other.load_state_dict(codec.state_dict())  # the state dict holds the whole codec
    assert torch.equal(other.encode(images[0]), codec.encode(images[0]))


def test_fit_accepts_constant_images():
    codec = Patches((1, 8, 8), 2)
    codec.fit([torch.zeros(1, 8, 8)] * 2)
    assert codec.encode(torch.zeros(1, 8, 8)).isfinite().all()


def test_decoded_pixels_are_clamped_to_0_1():
    codec = Patches((1, 8, 8), 4)
    image = codec.decode(10 * torch.randn(4, 16, generator=torch.Generator().manual_seed(0)))
    assert image.min() == 0
    assert image.max() == 1


@pytest.mark.parametrize(
    ("shape", "patch_size", "message"),
    [
        ((1, 28, 28), 5, "patch_size is 5, wanted a divisor of the image's 28x28"),
        ((1, 8, 12), 8, "patch_size is 8, wanted a divisor of the image's 8x12"),
        ((1, 8, 8), 0, "patch_size is 0, wanted a divisor"),
        ((2, 8, 8), 4, r"shape has 2 channels, wanted 1 \(grey\) or 3 \(RGB\)"),
    ],
)
def test_invalid_patch_size_or_channels_raise_a_one_line_error(shape, patch_size, message):
    with pytest.raises(ValueError, match=message) as refused:
        Patches(shape, patch_size)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 8, 7), (8, 8)])
def test_encode_rejects_other_shapes(shape):
    with pytest.raises(ValueError, match=r"image is \(.*\), wanted \(1, 8, 8\)") as refused:
        Patches((1, 8, 8), 4).encode(torch.zeros(shape))
    assert "\n" not in str(refused.value)


def test_encode_rejects_nan_pixels():
    with pytest.raises(ValueError, match="pixels that are NaN or infinite"):
        Patches((1, 8, 8), 4).encode(torch.full((1, 8, 8), torch.nan))


def test_encode_decode_keeps_all_256_levels():
    codec = Patches((1, 16, 16), 4)
    image = torch.randperm(256, generator=torch.Generator().manual_seed(0)).view(1, 16, 16) / 255
    codec.fit([0.4 * image])
    assert torch.equal((codec.decode(codec.encode(image)) * 255).round(), (image * 255).round())

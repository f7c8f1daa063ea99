"""Images as patches: nothing is lost, files of all kinds are read, and what is no image is refused."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from mot_lightning.codecs import Patches

SHAPES = [((1, 8, 8), 2), ((1, 8, 8), 8), ((3, 8, 8), 1), ((3, 6, 12), 3), ((1, 12, 4), 4), ((1, 28, 28), 7)]
every_shape = pytest.mark.parametrize(("shape", "patch_size"), SHAPES)
COLOUR = (255, 128, 0)


def picture(shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def levels(shape=(3, 16, 16)):
    """An image that holds all 256 levels of a byte."""
    return torch.randperm(256, generator=torch.Generator().manual_seed(0)).view(1, 16, 16).expand(shape) / 255


def refused(codec, path):
    """The one line with which a file is refused."""
    with pytest.raises(ValueError, match=r".+") as found:
        codec.read(path)
    message = str(found.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@every_shape
@pytest.mark.parametrize("fitted", [False, True])
def test_an_image_comes_back(shape, patch_size, fitted):
    codec = Patches(shape, patch_size)
    if fitted:
        codec.fit([picture(shape, seed) ** 3 for seed in range(5)])
    image = picture(shape)
    tokens = codec.encode(image)
    assert tokens.shape == (codec.length, codec.latent_dim)
    assert tokens.numel() == image.numel()
    torch.testing.assert_close(codec.decode(tokens), image, rtol=0, atol=1e-6)


@every_shape
def test_tokens_are_patches_row_by_row(shape, patch_size):
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
    other.load_state_dict(codec.state_dict())  # a checkpoint is the whole codec
    assert torch.equal(other.encode(images[0]), codec.encode(images[0]))


def test_images_of_one_colour_can_be_fitted():
    codec = Patches((1, 8, 8), 2)
    codec.fit([torch.zeros(1, 8, 8)] * 2)
    assert codec.encode(torch.zeros(1, 8, 8)).isfinite().all()


def test_what_is_decoded_lies_between_black_and_white():
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
def test_patches_that_do_not_fit_are_refused_in_one_line(shape, patch_size, message):
    with pytest.raises(ValueError, match=message) as found:
        Patches(shape, patch_size)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 8, 7), (8, 8)])
def test_an_image_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"image is \(.*\), wanted \(1, 8, 8\)") as found:
        Patches((1, 8, 8), 4).encode(torch.zeros(shape))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("suffix", Patches.suffixes)
def test_every_ending_is_read(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    Image.new("RGB", (8, 8), (200, 200, 200)).save(path)
    torch.testing.assert_close(Patches((3, 8, 8), 4).read(path), torch.full((3, 8, 8), 200 / 255), rtol=0, atol=0.02)


def as_palette(image):
    return image.quantize(4)


def as_transparent_palette(image):
    image = image.quantize(4)
    image.info["transparency"] = 0
    return image


@pytest.mark.parametrize(
    "convert",
    [
        lambda image: image.convert("CMYK"),
        lambda image: image.convert("RGBA"),
        lambda image: image.convert("YCbCr"),
        as_palette,
        as_transparent_palette,
    ],
    ids=["CMYK", "RGBA", "YCbCr", "palette", "transparent palette"],
)
def test_colours_survive_however_they_are_stored(tmp_path, convert):
    image = convert(Image.new("RGB", (8, 8), COLOUR))
    path = tmp_path / ("image.tiff" if image.mode in ("CMYK", "YCbCr") else "image.png")
    image.save(path)
    colour = torch.tensor(COLOUR)[:, None, None] / 255
    torch.testing.assert_close(Patches((3, 8, 8), 4).read(path), colour.expand(3, 8, 8), rtol=0, atol=0.02)
    luma = (colour.flatten() * torch.tensor([0.299, 0.587, 0.114])).sum()
    torch.testing.assert_close(Patches((1, 8, 8), 4).read(path), luma.expand(1, 8, 8), rtol=0, atol=0.02)


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_images_are_read_in_colour(tmp_path, mode):
    Image.new(mode, (8, 8), {"1": 1, "L": 255, "LA": (255, 255)}[mode]).save(tmp_path / "image.png")
    for channels in (1, 3):
        assert (Patches((channels, 8, 8), 4).read(tmp_path / "image.png") == 1).all()


def test_an_image_of_another_size_is_resized(tmp_path):
    Image.new("L", (50, 31), 77).save(tmp_path / "image.png")
    image = Patches((1, 8, 12), 4).read(tmp_path / "image.png")
    torch.testing.assert_close(image, torch.full((1, 8, 12), 77 / 255))


def png(size=16):
    noise = np.random.default_rng(0).integers(0, 256, (size, size), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "png")
    return buffer.getvalue()


def test_what_is_no_image_is_refused(tmp_path):
    codec = Patches((1, 16, 16), 4)
    for name, content in {"text.png": b"zero one two\n", "empty.png": b"", "head.png": png()[:8]}.items():
        (tmp_path / name).write_bytes(content)
        assert "is not a readable image" in refused(codec, tmp_path / name)
    assert "is not a readable image" in refused(codec, tmp_path / "absent.png")
    assert "is not a readable image" in refused(codec, tmp_path)  # a folder


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_truncated_image_is_refused(tmp_path, share):
    whole = png()
    path = tmp_path / "cut.png"
    path.write_bytes(whole[: int(share * len(whole))])
    assert "is not a readable image" in refused(Patches((1, 16, 16), 4), path)


def test_an_image_too_large_to_be_meant_is_refused_before_it_is_decoded(tmp_path):
    whole = png()
    header = b"IHDR" + struct.pack(">II", 9000, 9000) + whole[24:29]
    path = tmp_path / "large.png"
    path.write_bytes(whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:])
    assert "has 9000x9000 pixels, wanted at most 2^26" in refused(Patches((1, 16, 16), 4), path)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_written_image_holds_its_pixels(tmp_path, channels):
    """Each pixel as a block of eight: all 256 levels, exactly."""
    image = levels((channels, 16, 16))
    path = Patches((channels, 16, 16), 4).write(image, tmp_path / "image")
    assert path == tmp_path / "image.png"
    with Image.open(path) as found:
        assert found.size == (128, 128)
        pixels = np.asarray(found).reshape(128, 128, channels)
    expected = (image * 255).round().byte().permute(1, 2, 0).numpy()
    assert (pixels == expected.repeat(8, 0).repeat(8, 1)).all()


def test_a_large_image_is_written_as_it_is(tmp_path):
    path = Patches((1, 200, 130), 10).write(picture((1, 200, 130)), tmp_path / "image")
    with Image.open(path) as found:
        assert found.size == (130, 200)


@pytest.mark.parametrize("count", [1, 3, 12])
def test_many_images_are_written_as_a_grid(tmp_path, count):
    images = [picture((1, 8, 8), seed) for seed in range(count)]
    codec = Patches((1, 8, 8), 4)
    captions = [f"a {i} and a caption that is longer than its image is wide" for i in range(count)]
    (path,) = codec.write_many(images, captions, tmp_path / "grid")
    with Image.open(path) as found:
        pixels = np.asarray(found.convert("L"))
    assert pixels.shape[1] >= 100 * min(count, 10)
    assert len(np.unique(pixels)) > 50  # images, and not only their frame
    (other,) = codec.write_many([torch.zeros_like(image) for image in images], captions, tmp_path / "black")
    assert other.read_bytes() != path.read_bytes()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["a.png", "a.pgm"])  # Pillow has a mode for each
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, channels, name):
    pixels = (np.arange(64).reshape(8, 8) * 1000).astype(np.uint16)
    Image.fromarray(pixels).save(tmp_path / name)
    image = Patches((channels, 8, 8), 4).read(tmp_path / name)
    assert np.abs(image[0].numpy() - pixels / 65535).max() < 1 / 255


@pytest.mark.parametrize("level", [np.int32(70_000), np.float32(0.5)])
def test_thirty_two_bits_are_refused(tmp_path, level):
    Image.fromarray(np.full((8, 8), level)).save(tmp_path / "a.tiff")
    with pytest.raises(ValueError, match=r"a\.tiff has pixels of 32 bits, wanted 8 or 16"):
        Patches((1, 8, 8), 4).read(tmp_path / "a.tiff")


def said(capsys, codec, path):
    """The lines that reading a file prints."""
    codec.read(path)
    return capsys.readouterr().out.splitlines()


def test_what_has_to_be_converted_is_said_in_one_line(tmp_path, capsys):
    codec = Patches((1, 8, 8), 4)
    Image.new("L", (8, 8), 77).save(tmp_path / "as it is.png")
    Image.new("CMYK", (50, 31)).save(tmp_path / "cmyk.tiff")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "deep.png")
    frames = [Image.new("L", (8, 8), level) for level in (0, 255)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert said(capsys, codec, tmp_path / "as it is.png") == []
    assert said(capsys, codec, tmp_path / "cmyk.tiff") == [f"{tmp_path / 'cmyk.tiff'}: CMYK to L, 50x31 to 8x8 pixels"]
    assert said(capsys, codec, tmp_path / "deep.png") == [f"{tmp_path / 'deep.png'}: I;16 to L"]
    assert said(capsys, codec, tmp_path / "moving.gif") == [f"{tmp_path / 'moving.gif'}: the first of 2 frames, P to L"]
    assert (codec.read(tmp_path / "moving.gif") == 0).all()


def test_pixels_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="pixels that are not finite numbers"):
        Patches((1, 8, 8), 4).encode(torch.full((1, 8, 8), torch.nan))


def test_an_image_of_a_hundred_million_pixels_is_refused(tmp_path):
    Image.new("1", (10_000, 10_000)).save(tmp_path / "big.png")
    with pytest.raises(ValueError, match=r"big\.png is not a readable image"):
        Patches((1, 16, 16), 4).read(tmp_path / "big.png")


def test_all_levels_survive_writing_and_a_written_file_reads_back(tmp_path):
    codec = Patches((1, 16, 16), 4)
    image = levels((1, 16, 16))
    codec.fit([0.4 * image])
    path = codec.write(codec.decode(codec.encode(image)), tmp_path / "v1.5")
    assert path.name == "v1.5.png"
    torch.testing.assert_close(codec.read(path), image, rtol=0, atol=1e-6)

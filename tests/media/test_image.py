"""Image files: all formats are read, invalid files raise, and grids are written."""

import io
import struct
import warnings
import zlib

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import torch
from torchvision.transforms.v2.functional import to_pil_image

from mot_lightning.media import Image

COLOUR = (255, 128, 0)


def picture(shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def levels(shape=(3, 16, 16)):
    """An image that holds all 256 levels of a byte."""
    return torch.randperm(256, generator=torch.Generator().manual_seed(0)).view(1, 16, 16).expand(shape) / 255


def refused(images, path):
    """The one-line error that reading a file raises."""
    with pytest.raises(ValueError, match=r".+") as refusal:
        images.read(path)
    message = str(refusal.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("suffix", Image.suffixes)
def test_every_suffix_is_read(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    PIL.Image.new("RGB", (8, 8), (200, 200, 200)).save(path)
    torch.testing.assert_close(Image((3, 8, 8)).read(path), torch.full((3, 8, 8), 200 / 255), rtol=0, atol=0.02)


def as_palette(image):
    return image.quantize(4)


def as_transparent_palette(image):
    image = image.quantize(4)
    image.info["transparency"] = 3  # of the palette's colours, one that no pixel has
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
def test_colour_modes_are_read_correctly(tmp_path, convert):
    image = convert(PIL.Image.new("RGB", (8, 8), COLOUR))
    path = tmp_path / ("image.tiff" if image.mode in ("CMYK", "YCbCr") else "image.png")
    image.save(path)
    colour = torch.tensor(COLOUR)[:, None, None] / 255
    torch.testing.assert_close(Image((3, 8, 8)).read(path), colour.expand(3, 8, 8), rtol=0, atol=0.02)
    luma = (colour.flatten() * torch.tensor([0.299, 0.587, 0.114])).sum()
    torch.testing.assert_close(Image((1, 8, 8)).read(path), luma.expand(1, 8, 8), rtol=0, atol=0.02)


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_images_are_read_as_grey_and_rgb(tmp_path, mode):
    PIL.Image.new(mode, (8, 8), {"1": 1, "L": 255, "LA": (255, 255)}[mode]).save(tmp_path / "image.png")
    for channels in (1, 3):
        assert (Image((channels, 8, 8)).read(tmp_path / "image.png") == 1).all()


def test_other_sizes_are_resized(tmp_path):
    PIL.Image.new("L", (50, 31), 77).save(tmp_path / "image.png")
    image = Image((1, 8, 12)).read(tmp_path / "image.png")
    torch.testing.assert_close(image, torch.full((1, 8, 12), 77 / 255))


def png(size=16):
    noise = np.random.default_rng(0).integers(0, 256, (size, size), dtype=np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(noise).save(buffer, "png")
    return buffer.getvalue()


def test_invalid_image_file_raises(tmp_path):
    grey = Image((1, 16, 16))
    for name, content in {"text.png": b"zero one two\n", "empty.png": b"", "head.png": png()[:8]}.items():
        (tmp_path / name).write_bytes(content)
        assert "is not a readable image" in refused(grey, tmp_path / name)
    assert "is not a readable image" in refused(grey, tmp_path / "absent.png")
    assert "is not a readable image" in refused(grey, tmp_path)  # a folder


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_truncated_image_raises(tmp_path, share):
    whole = png()
    path = tmp_path / "cut.png"
    path.write_bytes(whole[: int(share * len(whole))])
    assert "is not a readable image" in refused(Image((1, 16, 16)), path)


def test_oversized_image_raises_before_decoding(tmp_path):
    whole = png()
    header = b"IHDR" + struct.pack(">II", 9000, 9000) + whole[24:29]
    path = tmp_path / "large.png"
    path.write_bytes(whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:])
    assert "has 9000x9000 pixels, wanted at most 2^26" in refused(Image((1, 16, 16)), path)


@pytest.mark.parametrize("channels", [1, 3])
def test_small_image_is_written_upscaled_with_exact_pixels(tmp_path, channels):
    """Each pixel becomes an 8x8 block, exact for all 256 levels."""
    image = levels((channels, 16, 16))
    path = Image((channels, 16, 16)).write(image, tmp_path / "image")
    assert path == tmp_path / "image.png"
    with PIL.Image.open(path) as opened:
        assert opened.size == (128, 128)
        pixels = np.asarray(opened).reshape(128, 128, channels)
    expected = (image * 255).round().byte().permute(1, 2, 0).numpy()
    assert (pixels == expected.repeat(8, 0).repeat(8, 1)).all()


def test_large_image_is_written_at_its_size(tmp_path):
    path = Image((1, 200, 130)).write(picture((1, 200, 130)), tmp_path / "image")
    with PIL.Image.open(path) as opened:
        assert opened.size == (130, 200)


@pytest.mark.parametrize("count", [1, 3, 12])
def test_many_images_are_written_as_a_grid(tmp_path, count):
    grey, images = Image((1, 8, 8)), [picture((1, 8, 8), seed) for seed in range(count)]
    captions = [f"a {i} and a caption that is longer than its image is wide" for i in range(count)]
    (path,) = grey.write_many(images, captions, tmp_path / "grid")
    with PIL.Image.open(path) as opened:
        pixels = np.asarray(opened.convert("L"))
    assert pixels.shape[1] >= 100 * min(count, 10)
    assert len(np.unique(pixels)) > 50  # more than the grid's frame
    (other,) = grey.write_many([torch.zeros_like(image) for image in images], captions, tmp_path / "black")
    assert other.read_bytes() != path.read_bytes()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["a.png", "a.pgm"])  # read as different modes by Pillow
def test_16_bit_images_are_scaled_not_clipped(tmp_path, channels, name):
    pixels = (np.arange(64).reshape(8, 8) * 1000).astype(np.uint16)
    PIL.Image.fromarray(pixels).save(tmp_path / name)
    image = Image((channels, 8, 8)).read(tmp_path / name)
    assert np.abs(image[0].numpy() - pixels / 65535).max() < (1e-6 if channels == 1 else 1 / 255)
    image = Image((channels, 4, 2)).read(tmp_path / name)
    expected = (pixels / 65535).reshape(4, 2, 2, 4).mean((1, 3))
    assert np.abs(image[0].numpy() - expected).max() < (1e-6 if channels == 1 else 1 / 255)


def test_transparent_level_of_16_bits_is_flattened_onto_white(tmp_path, capsys):
    pixels = np.full((8, 8), 40_000, np.uint16)
    pixels[2:4] = 7
    PIL.Image.fromarray(pixels).save(tmp_path / "a.png", transparency=7)
    shown = Image((1, 8, 8)).read(tmp_path / "a.png")[0]
    assert (shown[2:4] == 1).all()
    assert (shown[:2] - 40_000 / 65535).abs().max() < 1 / 255
    assert capsys.readouterr().out == f"{tmp_path / 'a.png'}: flattened onto white, I;16 to L\n"


@pytest.mark.parametrize("level", [np.int32(70_000), np.float32(0.5)])
def test_32_bit_images_raise(tmp_path, level):
    PIL.Image.fromarray(np.full((8, 8), level)).save(tmp_path / "a.tiff")
    with pytest.raises(ValueError, match=r"a\.tiff has pixels of 32 bits, wanted 8 or 16"):
        Image((1, 8, 8)).read(tmp_path / "a.tiff")


def printed(capsys, images, path):
    """The lines that reading a file prints."""
    images.read(path)
    return capsys.readouterr().out.splitlines()


def test_conversions_are_printed_in_one_line(tmp_path, capsys):
    grey = Image((1, 8, 8))
    PIL.Image.new("L", (8, 8), 77).save(tmp_path / "as it is.png")
    PIL.Image.new("CMYK", (50, 31)).save(tmp_path / "cmyk.tiff")
    PIL.Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "deep.png")
    frames = [PIL.Image.new("L", (8, 8), level) for level in (0, 255)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert printed(capsys, grey, tmp_path / "as it is.png") == []
    assert printed(capsys, grey, tmp_path / "cmyk.tiff") == [
        f"{tmp_path / 'cmyk.tiff'}: CMYK to L, 50x31 to 8x8 pixels"
    ]
    assert printed(capsys, grey, tmp_path / "deep.png") == []
    assert printed(capsys, Image((3, 8, 8)), tmp_path / "deep.png") == [f"{tmp_path / 'deep.png'}: I;16 to RGB"]
    assert printed(capsys, grey, tmp_path / "moving.gif") == [
        f"{tmp_path / 'moving.gif'}: the first of 2 frames, P to L"
    ]
    assert (grey.read(tmp_path / "moving.gif") == 0).all()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2, "mirrored"),
        (3, "by 180"),
        (4, "flipped"),
        (5, "transposed"),
        (6, "clockwise by 90"),
        (7, "other diagonal"),
        (8, "anticlockwise by 90"),
    ],
)
def test_exif_orientation_is_applied_and_printed(tmp_path, capsys, value, words):
    """Each orientation's image is what a viewer shows, by Pillow's transpose of the same tag."""
    stored = PIL.Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)
    exif = PIL.Image.Exif()
    exif[0x0112] = value
    stored.save(tmp_path / "photo.png", exif=exif)
    grey = Image((1, 8, 8))
    (line,) = printed(capsys, grey, tmp_path / "photo.png")
    assert words in line
    with PIL.Image.open(tmp_path / "photo.png") as opened:
        shown = np.asarray(PIL.ImageOps.exif_transpose(opened))
        assert (grey.coerce(opened)[0].numpy() * 255 == shown).all()
    assert (grey.read(tmp_path / "photo.png")[0].numpy() * 255 == shown).all()
    assert not (shown == np.asarray(stored)).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_image_is_flattened_onto_white(tmp_path, capsys, channels, mode):
    ink = PIL.Image.new("LA", (8, 8), (0, 0))
    ink.paste((0, 255), (2, 2, 4, 6))
    ink.convert("RGBA").convert(mode if mode != "P" else "RGBA").save(tmp_path / "ink.png")
    if mode == "P":
        palette = PIL.Image.new("P", (8, 8), 0)
        palette.putpalette([0, 0, 0, 0, 0, 0])
        palette.paste(1, (2, 2, 4, 6))
        palette.save(tmp_path / "ink.png", transparency=0)
    expected = torch.ones(channels, 8, 8)
    expected[:, 2:6, 2:4] = 0
    images = Image((channels, 8, 8))
    (line,) = printed(capsys, images, tmp_path / "ink.png")
    assert "flattened onto white" in line
    assert torch.equal(images.read(tmp_path / "ink.png"), expected)


def write_tiff(path, pixels, photometric=1, sample_format=1, order="<"):
    """A TIFF of one channel, written byte by byte: Pillow writes few of the kinds that others write."""
    content = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    tags = {256: 8, 257: 8, 258: 8 * pixels.dtype.itemsize, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 8}
    tags |= {279: len(content), 339: sample_format}
    entries = b"".join(struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    directory = struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0)
    header = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(content))
    path.write_bytes(header + content + directory)


@pytest.mark.parametrize(("order", "photometric"), [("<", 1), (">", 1), ("<", 0)], ids=["II", "MM", "white is zero"])
def test_16_bit_tiff_of_either_byte_order_is_scaled(tmp_path, order, photometric):
    pixels = (np.arange(64).reshape(8, 8) * 1000).astype(np.uint16)
    write_tiff(tmp_path / "deep.tif", pixels, photometric, order=order)
    shown = pixels / 65535 if photometric else 1 - pixels / 65535
    image = Image((1, 8, 8)).read(tmp_path / "deep.tif")
    assert np.abs(image[0].numpy() - shown).max() < 1 / 255


@pytest.mark.parametrize(
    ("kind", "sample_format", "reason"),
    [
        (np.int8, 2, "has signed pixels, wanted unsigned ones"),
        (np.int16, 2, "has signed pixels, wanted unsigned ones"),
        (np.uint32, 1, "has pixels of 32 bits, wanted 8 or 16"),
        (np.float32, 3, "has pixels of 32 bits, wanted 8 or 16"),
        (np.float64, 3, "is not a readable image"),
    ],
)
def test_tiff_of_numbers_that_are_no_levels_raises(tmp_path, kind, sample_format, reason):
    write_tiff(tmp_path / "a.tif", np.full((8, 8), 1, kind), sample_format=sample_format)
    with pytest.raises(ValueError, match=reason):
        Image((1, 8, 8)).read(tmp_path / "a.tif")


def test_tiff_of_inks_and_of_lightness_is_read_as_it_is_seen(tmp_path, capsys):
    PIL.Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "red ink.tif")
    PIL.Image.new("LAB", (8, 8), (255, 128, 128)).save(tmp_path / "white.tif")
    red = Image((3, 8, 8)).read(tmp_path / "red ink.tif")[:, 0, 0]
    assert (red - torch.tensor([1.0, 0, 0])).abs().max() < 0.01
    for channels in (1, 3):
        assert (Image((channels, 8, 8)).read(tmp_path / "white.tif") > 0.98).all()


def test_first_page_of_a_tiff_is_read_and_printed(tmp_path, capsys):
    pages = [PIL.Image.new("L", (8, 8), level) for level in (51, 255)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    assert printed(capsys, Image((1, 8, 8)), tmp_path / "pages.tif") == [
        f"{tmp_path / 'pages.tif'}: the first of 2 frames"
    ]
    assert torch.allclose(Image((1, 8, 8)).read(tmp_path / "pages.tif"), torch.tensor(0.2))


def test_damaged_files_of_every_format_are_read_or_raise_one_line(tmp_path):
    """Bytes changed at random; Pillow raises many kinds of errors on them."""
    rng, path, messages = np.random.default_rng(0), tmp_path / "damaged", []
    for _ in range(40):
        for suffix in ("tiff", "png", "jpeg", "gif", "webp", "bmp"):
            buffer = io.BytesIO()
            PIL.Image.new("RGB", (9, 9), COLOUR).save(buffer, suffix)
            content = bytearray(buffer.getvalue())
            for place in rng.integers(0, min(len(content), 200), 4):
                content[place] = rng.integers(256)
            path.write_bytes(content)
            try:
                with warnings.catch_warnings(action="ignore"):
                    Image((1, 8, 8)).read(path)
            except ValueError as error:
                messages.append(str(error))
    assert len(messages) > 40
    assert all(str(path) in message and "\n" not in message for message in messages)


def test_image_in_memory_equals_its_file(tmp_path):
    rng = np.random.default_rng(0)
    for shape, mode in (((20, 12), "L"), ((20, 12, 3), "RGB"), ((20, 12, 4), "RGBA")):
        array = rng.integers(0, 256, shape, np.uint8)
        PIL.Image.fromarray(array).save(tmp_path / f"{mode}.png")
        tensor = torch.from_numpy(array)
        for images in (Image((1, 8, 8)), Image((3, 8, 8))):
            expected = images.read(tmp_path / f"{mode}.png")
            first = tensor if tensor.dim() == 2 else tensor.permute(2, 0, 1)
            forms = [PIL.Image.fromarray(array), array, tensor, first, first.numpy(), array / 255, first.float() / 255]
            for form in [*forms, (first / 255).double().requires_grad_()]:
                assert torch.equal(images.coerce(form), expected)


def test_floats_of_the_shape_of_the_codec_keep_their_precision():
    for shape in ((1, 8, 8), (3, 8, 8), (3, 8, 3)):
        image = picture(shape)
        assert torch.equal(Image(shape).coerce(image), image)
        assert torch.equal(Image(shape).coerce(image.numpy()), image)
    half = picture((1, 8, 8)).bfloat16()
    assert torch.equal(Image((1, 8, 8)).coerce(half), half.float())


def test_ambiguous_channel_order_follows_the_library():
    colours = np.random.default_rng(0).integers(0, 256, (3, 8, 3), np.uint8)  # no order of (3, 4, 4)
    images = Image((3, 4, 4))
    assert torch.equal(images.coerce(colours), images.coerce(PIL.Image.fromarray(colours)))
    tensor = torch.from_numpy(colours)
    assert torch.equal(images.coerce(tensor), images.coerce(to_pil_image(tensor)))


@pytest.mark.parametrize(
    ("media", "message"),
    [
        (
            picture((1, 8, 8)) * 2 - 1,
            r"image has values from -0.9\d+ to 0.9\d+, wanted 0 to 1, did you mean \(x \+ 1\) / 2\?$",
        ),
        (torch.tensor([[-1.0, 1.0]]), r"values from -1 to 1, wanted 0 to 1, did you mean \(x \+ 1\) / 2\?$"),
        (np.full((8, 8), 1.5), r"values from 1.5 to 1.5, wanted 0 to 1$"),
        (np.full((8, 8), -0.1), r"values from -0.1 to -0.1, wanted 0 to 1$"),
        (np.full((8, 8), 255.0), r"values from 255 to 255, wanted 0 to 1, did you mean x / 255\?$"),
        (np.full((8, 8), -2.0), r"image has values from -2 to -2, wanted 0 to 1$"),
        (torch.full((1, 8, 8), torch.nan), "image has values that are NaN or infinite, wanted 0 to 1"),
        (np.zeros((8, 8), np.int64), "image is of dtype int64, wanted uint8, or floats from 0 to 1"),
        (torch.zeros(8, 8, dtype=torch.bool), "image is of dtype bool, wanted uint8"),
        (torch.zeros(2, 8, 8), r"image is \(2, 8, 8\), wanted \(h, w\), \(h, w, c\) or \(c, h, w\)"),
        (torch.zeros(1, 1, 8, 8), r"image is \(1, 1, 8, 8\), wanted"),
        (torch.zeros(0, 8), r"image is \(0, 8\), wanted"),
        ("photo.png", "image is of type str, wanted a PIL image, an array or a tensor"),
        ([[0.5]], "image is of type list, wanted"),
        (PIL.Image.new("F", (8, 8)), "image has pixels of 32 bits, wanted 8 or 16"),
    ],
)
def test_invalid_image_in_memory_raises_one_line(media, message):
    with pytest.raises(ValueError, match=message) as refusal:
        Image((1, 8, 8)).coerce(media)
    assert "\n" not in str(refusal.value)


def test_image_of_100_million_pixels_raises(tmp_path):
    PIL.Image.new("1", (10_000, 10_000)).save(tmp_path / "big.png")
    with pytest.raises(ValueError, match=r"big\.png is not a readable image"):
        Image((1, 16, 16)).read(tmp_path / "big.png")


@pytest.mark.parametrize(
    ("media", "message"),
    [
        (torch.zeros(3, 8, 8), r"image is \(3, 8, 8\), wanted \(1, 8, 8\)"),
        (torch.zeros(1, 8, 7), r"image is \(1, 8, 7\), wanted \(1, 8, 8\)"),
        (torch.zeros(8, 8), r"image is \(8, 8\), wanted \(1, 8, 8\)"),
        (torch.full((1, 8, 8), torch.nan), "pixels that are NaN or infinite"),
        ("a text", r"image is of type str, wanted a tensor \(1, 8, 8\)"),
    ],
)
def test_invalid_image_tensor_raises_a_one_line_error(media, message):
    with pytest.raises(ValueError, match=message) as refusal:
        Image((1, 8, 8)).check(media)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("channels", [1, 3])
def test_written_image_reads_back_with_all_256_levels(tmp_path, channels):
    images, image = Image((channels, 16, 16)), levels((channels, 16, 16))
    path = images.write(image, tmp_path / "v1.5")
    assert path.name == "v1.5.png"
    torch.testing.assert_close(images.read(path), image, rtol=0, atol=1e-6)

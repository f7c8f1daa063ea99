"""Images of Pillow as tensors of one shape: from a file or from memory, whatever their mode, size and orientation."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from PIL.Image import Resampling, Transpose
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from mot_lightning.errors import BadMedia

MAX_PIXELS = 2**26
ORIENTATION = 0x0112  # the EXIF tag
BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of a TIFF
WHITE_IS_ZERO, SIGNED = 0, 2  # values of the last two
TURNS = {  # by the value of the tag: what makes the image upright
    2: (Transpose.FLIP_LEFT_RIGHT, "mirrored"),
    3: (Transpose.ROTATE_180, "turned by 180 degrees"),
    4: (Transpose.FLIP_TOP_BOTTOM, "flipped"),
    5: (Transpose.TRANSPOSE, "transposed"),
    6: (Transpose.ROTATE_270, "turned clockwise by 90 degrees"),
    7: (Transpose.TRANSVERSE, "transposed along the other diagonal"),
    8: (Transpose.ROTATE_90, "turned anticlockwise by 90 degrees"),
}
Shape = tuple[int, int, int]  # channels, height, width


def read_image(path: Path, shape: Shape, report: Callable[[str], None]) -> Tensor:
    """An image file as a tensor (c, h, w) in [0, 1]; `report` gets one line if something was converted.

    Raises:
        ValueError: the file is not a readable image, is too large, or has pixels of 32 bits.
    """
    return _decoded(path, str(path), shape, report)


def decode_image(content: bytes, name: str, shape: Shape, report: Callable[[str], None]) -> Tensor:
    """The image of a file's content, as of the file by `read_image`.

    Args:
        name: of the file, in messages.
    """
    return _decoded(io.BytesIO(content), name, shape, report)


def _decoded(file: Path | io.BytesIO, name: str, shape: Shape, report: Callable[[str], None]) -> Tensor:
    with _readable(name):
        opened = PIL.Image.open(file)
    with opened as image:
        return from_pillow(image, shape, name, report)


def from_pillow(image: PIL.Image.Image, shape: Shape, name: str, report: Callable[[str], None]) -> Tensor:
    """An image of Pillow as a tensor (c, h, w) in [0, 1]: upright, on white, resized.

    Args:
        shape: channels, height and width.
        name: of the image in errors and in the line of `report`, which says what was converted.

    Raises:
        ValueError: it cannot be decoded, is too large, or has pixels of 32 bits.
    """
    if image.size[0] * image.size[1] > MAX_PIXELS:
        raise BadMedia(f"{name} has {image.size[0]}x{image.size[1]} pixels, wanted at most 2^26", "too large")
    with _readable(name):
        image.load()
        frames, mode = getattr(image, "n_frames", 1), image.mode
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    image = _eight_bits(image, name, as_floats=shape[0] == 1)
    with _readable(name):
        image, flattened = _on_white(image)
        image = image.convert("RGB") if image.mode == "LAB" else image  # Pillow turns it into nothing else
        converted = image if image.mode == "F" else image.convert("L" if shape[0] == 1 else "RGB")
    changes = [f"the first of {frames} frames"] * (frames > 1)
    changes += ["flattened onto white"] * flattened
    changes += [f"{mode} to {converted.mode}"] * (converted.mode not in (mode, "F"))
    if turn:
        converted = converted.transpose(turn[0])
        changes.append(f"{turn[1]} (EXIF orientation)")
    size = (shape[2], shape[1])
    if converted.size != size:
        changes.append(f"{converted.size[0]}x{converted.size[1]} to {size[0]}x{size[1]} pixels")
        divides = converted.size[0] % size[0] == 0 and converted.size[1] % size[1] == 0
        converted = converted.resize(size, Resampling.BOX if divides else Resampling.BICUBIC)
    if changes:
        report(f"{name}: {', '.join(changes)}")
    return (pil_to_tensor(converted).float() / 255).clamp(0, 1)  # (c, h, w)


def _eight_bits(image: PIL.Image.Image, name: str, as_floats: bool) -> PIL.Image.Image:
    """The image with at most 8 bits a channel; Pillow would clip 16 bits instead of scaling them.

    Args:
        as_floats: keep the 16 bits of an opaque image, such as a depth map, as floats from 0 to 255.
    """
    tiff = getattr(image, "tag_v2", {})
    if max(_numbers(tiff.get(BITS)), default=8) > 16:
        raise BadMedia(f"{name} has pixels of {max(_numbers(tiff[BITS]))} bits, wanted 8 or 16", "bit depth")
    if SIGNED in _numbers(tiff.get(SAMPLE_FORMAT)):
        raise BadMedia(f"{name} has signed pixels, wanted unsigned ones", "bit depth")
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    levels = np.asarray(image)
    if image.mode == "F" or levels.min() < 0 or levels.max() > 65535:
        raise BadMedia(f"{name} has pixels of 32 bits, wanted 8 or 16", "bit depth")
    if tiff.get(PHOTOMETRIC) == WHITE_IS_ZERO:  # Pillow inverts such a TIFF of 8 bits, but not of 16
        levels = 65535 - levels.astype(np.int32)
    key = image.info.get("transparency")
    if key is None and as_floats:
        return PIL.Image.fromarray((levels / 257).astype(np.float32))
    grey = PIL.Image.fromarray((levels / 257).round().astype(np.uint8))
    if key is None:
        return grey
    return PIL.Image.merge("LA", (grey, PIL.Image.fromarray(np.where(levels == key, 0, 255).astype(np.uint8))))


def _numbers(value: Any) -> tuple[int, ...]:
    """The value of a TIFF's tag, which may have one for each channel, or be absent."""
    return () if value is None else tuple(value) if isinstance(value, tuple) else (value,)


def _on_white(image: PIL.Image.Image) -> tuple[PIL.Image.Image, bool]:
    """The image on a white page, and whether any of its pixels let the page through."""
    if not image.has_transparency_data:
        return image, False
    layer = image.convert("RGBA")
    page = PIL.Image.new("RGBA", layer.size, "white")
    page.alpha_composite(layer)
    return page.convert("RGB"), layer.getchannel("A").getextrema() != (255, 255)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turns what Pillow raises on damaged files, which may be anything, into a ValueError of one line."""
    try:
        with warnings.catch_warnings(action="error", category=PIL.Image.DecompressionBombWarning):
            yield
    except Exception as error:
        large = isinstance(error, PIL.Image.DecompressionBombWarning | PIL.Image.DecompressionBombError)
        reason = "too large" if large else "unreadable"
        raise BadMedia(f"{name} is not a readable image: {' '.join(str(error).split())}", reason) from None

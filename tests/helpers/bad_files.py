"""Bad or odd files and cells: for each record, what becomes of it: "read", or why it is skipped.

A reason is that of the modality which the table is of, or of what stands before a slash.
"""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import soundfile

READ = "read"


def picture(format="PNG", mode="RGB", size=(8, 8), **settings):
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).convert(mode).save(file, format, **settings)
    return file.getvalue()


def png_of(width, height):
    """A PNG whose header announces a size, without pixels."""
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return content


def of_pixels(pixels, format="TIFF"):
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, format)
    return file.getvalue()


def animated():
    frames = [PIL.Image.new("L", (8, 8), level) for level in (0, 90, 200)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def rotated():
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    return picture("JPEG", size=(8, 4), exif=exif)


def sound(channels=1, rate=8000, format="WAV", subtype=None, samples=2000, scale=0.5):
    wave = scale * np.sin(np.arange(samples)[:, None] * 0.3 + np.arange(channels))
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format=format, subtype=subtype)
    return file.getvalue()


def of_samples(samples):
    file = io.BytesIO()
    soundfile.write(file, np.array(samples, dtype=np.float32), 8000, format="WAV", subtype="FLOAT")
    return file.getvalue()


def of_rate(rate):
    content = bytearray(sound())
    content[24:28] = struct.pack("<I", rate)
    return bytes(content)


# name of the file, its content (None: there is none), and what becomes of it
IMAGES = [
    ("plain.png", picture(), READ),
    ("truncated.png", picture(size=(64, 64))[:900], "unreadable"),
    ("truncated.jpg", picture("JPEG", size=(64, 64))[:1200], "unreadable"),
    ("empty.png", b"", "unreadable"),
    ("zero.png", png_of(0, 0), "unreadable"),
    ("no_pixels.png", png_of(8, 8), "unreadable"),
    ("text.png", b"no picture", "unreadable"),
    ("bomb.png", png_of(13_100, 13_000), "too large"),
    ("large.png", png_of(9_000, 9_000), "too large"),
    ("float.tif", of_pixels(np.ones((8, 8), np.float32)), "bit depth"),
    ("int32.tif", of_pixels(np.full((8, 8), 2**20, np.int32)), "bit depth"),
    ("absent.png", None, "missing"),
    ("folder.png/", None, "missing"),
    ("../outside.png", picture(), "outside"),
    ("/outside.png", None, "outside"),
    ("nul\0.png", None, "outside"),
    ("link.png", "../outside.png", "outside"),
    ("jpeg_in.png", picture("JPEG"), READ),
    ("animated.gif", animated(), READ),
    ("cmyk.jpg", picture("JPEG", "CMYK"), READ),
    ("alpha.png", picture(mode="RGBA"), READ),
    ("grey_alpha.png", picture(mode="LA"), READ),
    ("palette.png", picture(mode="P", transparency=0), READ),
    ("rotated.jpg", rotated(), READ),
    ("pixel.png", picture(size=(1, 1)), READ),
    ("sixteen.png", of_pixels(np.full((8, 8), 9000, np.uint16), "PNG"), READ),
    ("webp.png", picture("WEBP"), READ),
]
SOUNDS = [
    ("plain.wav", sound(), READ),
    ("truncated.wav", sound()[:2000], "truncated"),
    ("header.wav", sound()[:30], "unreadable"),
    ("empty.wav", b"", "unreadable"),
    ("text.wav", b"no sound", "unreadable"),
    ("samples.wav", sound(samples=0), "empty"),
    ("nan.wav", of_samples([0.1, np.nan, 0.2]), "not finite"),
    ("infinite.wav", of_samples([0.1, np.inf, 0.2]), "not finite"),
    ("silent.wav", sound(scale=0), "silent"),
    ("rate.wav", of_rate(99_999_989), "sample rate"),
    ("absent.wav", None, "missing"),
    ("folder.wav/", None, "missing"),
    ("../outside.wav", sound(), "outside"),
    ("link.wav", "../outside.wav", "outside"),
    ("mpeg.wav", sound(format="MP3"), READ),
    ("flac.wav", sound(format="FLAC"), READ),
    ("vorbis.ogg", sound(format="OGG"), READ),
    ("stereo.wav", sound(2), READ),
    ("eight.wav", sound(8), READ),
    ("slow.wav", sound(rate=8000), READ),
    ("fast.wav", sound(rate=192_000, samples=48_000), READ),
    ("bits24.wav", sound(subtype="PCM_24"), READ),
    ("bits8.wav", sound(subtype="PCM_U8"), READ),
    ("float.wav", sound(subtype="FLOAT"), READ),
    ("loud.wav", of_samples([3.0, -3.0] * 800), READ),
]
# a cell of JSON and what becomes of it; files are written as the others are
CELLS = [
    ("plain", READ),
    ("", "record/nothing"),
    (None, "record/nothing"),
    ([], "record/nothing"),
    ([""], "record/nothing"),
    ("\ud800", "not UTF-8"),
    ("a\udfff", "not UTF-8"),
    ({"a": 1}, "unreadable"),
    ([["a"]], "unreadable"),
    ([None], "unreadable"),
    ("a\0b", READ),
    ("\x1b[31m", READ),
    ("\u202eabc", READ),
    (" ", READ),
    ("\n\n", READ),
    ("\U0001f600", READ),
    (5, READ),
    (0.5, READ),
    (["a", "b"], READ),
]
TEXTS = [
    ("latin.txt", "é".encode("latin-1"), "not UTF-8"),
    ("utf16.txt", "text".encode("utf-16"), "not UTF-8"),
    ("absent.txt", None, "missing"),
    ("folder.txt/", None, "missing"),
    ("../outside.txt", b"text", "outside"),
    ("link.txt", "../outside.txt", "outside"),
    ("empty.txt", b"", READ),
    ("mark.txt", b"\xef\xbb\xbftext", READ),
]


def table_of(folder: Path, files, cells=()) -> tuple[Path, list[str]]:
    """A table that names the files in column `file`, with other cells in `text`, and what becomes of each record."""
    root, rows, outcomes = folder / "root", [], []
    root.mkdir(parents=True)
    for name, content, outcome in files:
        rows.append({"file": name.rstrip("/"), "text": None})
        outcomes.append(outcome)
        if name.endswith("/"):
            (root / name).mkdir()
        elif isinstance(content, str):
            (root / name).symlink_to(content)
        elif content is not None:
            (root / name).write_bytes(content)
    for cell, outcome in cells:
        rows.append({"file": None, "text": cell})
        outcomes.append(outcome)
    table = root / "table.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return table, outcomes

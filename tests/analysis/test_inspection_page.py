"""The page of an inspection, and its picture of attention."""

from functools import partial

import numpy as np
import torch
from conftest import TOKENS

from datamodules.documents import Document, packed
from mot_lightning.analysis.inspect import inspect
from mot_lightning.analysis.inspection_page import draw_attention, write_inspection
from mot_lightning.media.html import Piece
from mot_lightning.sequence import Grammar, Segment, Skipped, pack

GRAMMAR = Grammar(TOKENS, {"text": True, "image": False, "speech": True}, "text", ("image", "speech", "text"))
RED, BLUE, GREY, WHITE = (255, 0, 0), (0, 0, 255), (140, 149, 159), (255, 255, 255)
COLOURS = {"image": "#ff0000", "text": "#0000ff", "speech": "#00ff00"}


def test_attention_has_the_colour_of_what_is_seen():
    documents = [
        [Segment("image", torch.zeros(4, 3)), Segment("text", torch.arange(2))],
        [Segment("text", torch.arange(1))],
    ]
    picture = draw_attention(pack(documents, GRAMMAR, 64), GRAMMAR, COLOURS)
    scale = picture.size[0] // (11 + 4)
    pixels = np.asarray(picture)[::scale, ::scale]  # (s, s, 3)
    kinds = [GREY, GREY, *[RED] * 4, GREY, GREY, *[BLUE] * 2, GREY, GREY, GREY, BLUE, GREY]
    for query in range(15):
        start, end = (0, 11) if query < 11 else (11, 15)
        last = 5 if 2 <= query <= 5 else query  # an image sees all of itself
        for key in range(15):
            assert tuple(pixels[query, key]) == (kinds[key] if start <= key <= last < end else WHITE)


def test_page_shows_counts_and_each_segment(tmp_path):
    (tmp_path / "a.txt").write_text("one <two>")
    document, skipped = Document([Segment("text", torch.arange(5), loss=False)]), Document()
    skipped.skipped = Skipped("photographs", "image", "cut", "<b>.png is cut")
    batch = pack([document], GRAMMAR, 64)
    inspection = inspect([document, skipped], GRAMMAR, [1, 1], partial(packed, grammar=GRAMMAR, row_length=64))
    page = write_inspection(
        tmp_path, "digits <1>", inspection,
        [(document, [Piece("text", tmp_path / "a.txt", True)])], batch, GRAMMAR, {"text by": "Bytes"},
    ).read_text()  # fmt: skip
    for words in ("<title>digits &lt;1&gt;</title>", "one &lt;two&gt;", "text, 5 tokens", "opacity:0.35", "Bytes",
                  "photographs", "&lt;b&gt;.png is cut",
                  "tokens of a document", "<svg", "data:image/png"):  # fmt: skip
        assert words in page
    assert "://" not in page

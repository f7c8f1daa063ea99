"""Boards of pictures: captions are words, whatever stands in them, and no picture hides another."""

import warnings

import numpy as np
import PIL.Image
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from mot_lightning.media import captions
from mot_lightning.media.board import board
from mot_lightning.media.captions import families, fit

GREY = PIL.Image.fromarray(np.full((8, 8), 128, np.uint8))


@pytest.fixture
def no_cjk(monkeypatch):
    monkeypatch.setattr(captions, "CJK", ())


@pytest.fixture
def a_cjk_font(tmp_path, monkeypatch):
    """A font with one character, a black square."""
    pen = TTGlyphPen(None)
    for i, point in enumerate([(0, 0), (0, 800), (800, 800), (800, 0)]):
        (pen.lineTo if i else pen.moveTo)(point)
    pen.closePath()
    square, font = pen.glyph(), FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "seven"])
    font.setupCharacterMap({ord("七"): "seven"})
    font.setupGlyf({".notdef": square, "seven": square})
    font.setupHorizontalMetrics({".notdef": (1000, 0), "seven": (1000, 0)})
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Test CJK", "styleName": "Regular"})
    font.setupOS2(sTypoAscender=800, sTypoDescender=-200, usWinAscent=800, usWinDescent=200)
    font.setupPost()
    font.save(tmp_path / "test.ttf")
    fonts = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.addfont(tmp_path / "test.ttf")
    monkeypatch.setattr(captions, "CJK", ("Not Installed", "Test CJK", "DejaVu Serif"))
    yield "Test CJK"
    font_manager.fontManager.ttflist = fonts
    captions._characters.cache_clear()


def pixels(figure):
    """(h, w), 0 to 255."""
    figure.canvas.draw()
    return np.asarray(PIL.Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("L"))


def drawn(caption, cells=((("", GREY),),), **others):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = board([caption] * len(cells), cells, **others)
    FigureCanvasAgg(figure)
    return pixels(figure)


@pytest.mark.usefixtures("no_cjk")
@pytest.mark.parametrize(
    "caption", ["costs $$", "$x_1^2$", "half $", r"\frac{a}{b}", r"$\bad{$", "七 한 😀\x00", "", "a" * 900]
)
def test_any_caption_is_drawn_as_it_is(caption):
    with warnings.catch_warnings(action="error"):
        words = drawn(caption)
    assert (words < 100).any() == bool(caption)


@pytest.mark.usefixtures("no_cjk")
def test_a_formula_is_not_typeset():
    assert (drawn("$x$")[:40] < 128).sum() > (drawn("x")[:40] < 128).sum()  # the dollars are there


@pytest.mark.usefixtures("no_cjk")
def test_characters_without_a_font_become_codes():
    assert families() == ["DejaVu Sans"]
    assert fit("the 七", 20, 2) == r"the  \u4e03"
    assert fit("a\x07b", 20, 2) == r"a \x07 b"


def test_the_first_installed_font_with_cjk_is_used(a_cjk_font):
    assert families() == ["DejaVu Sans", a_cjk_font]
    assert fit("the 七", 20, 2) == "the 七"
    with warnings.catch_warnings(action="error"):
        assert (drawn("七")[:30] < 50).sum() > 50  # its square


@pytest.mark.usefixtures("a_cjk_font")
def test_a_wide_character_takes_two_places():
    assert fit("七" * 12, 10, 9).split("\n") == ["七" * 5, "七" * 5, "七" * 2]


def test_a_long_caption_is_cut():
    assert fit("one two three four", 9, 2) == "one two\nthree…"
    assert fit("one two", 9, 2) == "one two"


def test_every_picture_of_every_cell_is_seen():
    shades = range(60, 200, 10)
    pictures = [PIL.Image.fromarray(np.full((8, 8), shade, np.uint8)) for shade in shades]
    cells = [[("generated", one), ("real", two)] for one, two in zip(pictures[::2], pictures[1::2], strict=True)]
    seen = drawn("caption " * 30, cells, across=6).astype(int)
    assert [shade for shade in shades if (abs(seen - shade) <= 1).sum() > 120**2] == list(shades)


def test_pictures_of_any_ratio_keep_it():
    tall = PIL.Image.fromarray(np.full((30, 10), 128, np.uint8))
    rows, columns = np.nonzero(drawn("", [[("", tall)]]) == 128)
    assert (np.ptp(rows) + 1) / (np.ptp(columns) + 1) == pytest.approx(3, rel=0.03)

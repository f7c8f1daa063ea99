"""The page shows what was generated, in one file, whatever stands in it."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import PIL.Image
import pytest
from browser import count, measure, needs_browser, screenshot

from mot_lightning.media.html import Piece, facts, table
from mot_lightning.media.page import Continued, as_html, as_markdown

SETTINGS = {"experiment": "default", "step": 60, "checkpoint": "<last>.ckpt"}
RED, BLUE = (255, 0, 0), (0, 0, 255)


class Reader(HTMLParser):
    """Collects the tags and text of a page, and checks that every tag is closed."""

    def __init__(self):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def documents(tmp_path):
    hostile = '<script>alert("x")</script> & </p>\n# no heading'
    (tmp_path / "a.txt").write_text(hostile + "\n", encoding="utf-8")
    (tmp_path / "b.png").write_bytes(b"\x89PNG picture")
    (tmp_path / "c.wav").write_bytes(b"RIFF sound")
    prompt = [Piece("text", tmp_path / "a.txt", True)]
    return hostile, [Continued(prompt, [[Piece(k, tmp_path / k, False) for k in ("b.png", "c.wav")], []])]


def test_a_page_holds_its_media_and_needs_no_other_file(documents):
    hostile, continued = documents
    page = Reader()
    page.feed(as_html(continued, "a <title>", SETTINGS))
    assert not page.open
    assert hostile in page.text
    assert "a <title>" in page.text
    assert [tag for tag, _ in page.tags].count("script") == 0
    sources = {tag: attributes["src"] for tag, attributes in page.tags if "src" in attributes}
    embedded = {tag: base64.b64decode(source.partition(",")[2]) for tag, source in sources.items()}
    assert embedded == {"img": b"\x89PNG picture", "audio": b"RIFF sound"}
    assert sources["img"].startswith("data:image/png;base64,")
    assert re.match(r"data:audio/(x-)?wav;base64,", sources["audio"])
    assert "nothing was" in page.text


def test_a_prompt_stands_there_once_with_the_settings_of_all_samples(documents):
    hostile, continued = documents
    page = Reader()
    page.feed(as_html(continued, "title", SETTINGS))
    assert page.text.count(hostile) == 1
    assert [page.text.count(f"sample {k}") for k in range(3)] == [1, 1, 0]
    assert all(name in page.text and str(value) in page.text for name, value in SETTINGS.items())


def test_markdown_links_its_files_and_leaves_text_as_it_is(documents):
    hostile, continued = documents
    lines = as_markdown(continued, "title", SETTINGS).splitlines()
    assert "![b.png](b.png)" in lines
    assert "[c.wav](c.wav)" in lines
    assert all(f"    {line}" in lines for line in hostile.split("\n"))  # four spaces: shown as it is
    assert "    step: 60" in lines


def test_only_columns_of_numbers_are_aligned_to_the_right():
    html = table([["task", "value"], ["a -> b", "0.5 ±0.1"], ["<c>", ""]])
    assert html.count("class=left") == 3
    assert "<td>0.5 ±0.1</td>" in html
    assert "&lt;c&gt;" in html
    assert "&lt;last&gt;" in facts(SETTINGS.items())


@needs_browser
def test_a_browser_shows_every_image_at_any_width(tmp_path):
    for name, colour in (("red", RED), ("blue", BLUE)):
        PIL.Image.fromarray(np.full((128, 128, 3), colour, np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "text.txt").write_text("costs $$, 手写的七\n", encoding="utf-8")
    prompt = [Piece("text", tmp_path / "text.txt", True), Piece("image", tmp_path / "blue.png", True)]
    sample = [Piece("image", tmp_path / "red.png", False)]
    page = tmp_path / "index.html"
    page.write_text(as_html([Continued(prompt, [sample] * 6)] * 2, "title", SETTINGS), encoding="utf-8")
    for width in (500, 1000):
        measured = measure(page, width)
        assert measured["images"] == [128] * 14
        assert not measured["loaded"]
        assert measured["needed"] <= measured["width"] == width
    for dark in (False, True):
        pixels = screenshot(page, dark=dark)
        assert count(pixels, RED) > 12 * 90**2
        assert count(pixels, BLUE) > 2 * 90**2
        assert (pixels[5, 5].mean() < 40) == dark

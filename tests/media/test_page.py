"""HTML and Markdown pages of generated documents."""

import base64
import re
from html.parser import HTMLParser

import pytest

from mot_lightning.media.page import Piece, as_html, as_markdown


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
    pieces = [Piece("text", tmp_path / "a.txt", True), *(Piece(k, tmp_path / k, False) for k in ("b.png", "c.wav"))]
    return hostile, [pieces, []]


def test_html_page_embeds_its_media_and_escapes_text(documents):
    hostile, pieces = documents
    page = Reader()
    page.feed(as_html(pieces, "a <title>"))
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


def test_markdown_links_files_and_shows_text_verbatim(documents):
    hostile, pieces = documents
    lines = as_markdown(pieces, "title").splitlines()
    assert "![b.png](b.png)" in lines
    assert "[c.wav](c.wav)" in lines
    assert all(f"    {line}" in lines for line in hostile.split("\n"))  # indented by four spaces: verbatim

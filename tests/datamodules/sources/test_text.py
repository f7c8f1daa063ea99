"""Documents of plain text."""

import gzip
import lzma
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from randomised import often

from datamodules.sources import TextFile
from datamodules.sources.text import cut


def texts(path, **settings):
    source = TextFile(path, **settings)
    source.setup()
    return [source.record(i)["text"] for i in range(len(source))]


def test_a_file_is_cut_at_its_separator(tmp_path):
    (tmp_path / "play.txt").write_text("ROMEO:\nspeak\n\n\nJULIET:\nno\n\n", encoding="utf-8")
    assert texts(tmp_path / "play.txt") == ["ROMEO:\nspeak", "JULIET:\nno"]
    assert texts(tmp_path / "play.txt", separator=":") == ["ROMEO", "speak\n\n\nJULIET", "no"]
    assert texts(tmp_path / "play.txt", separator=None) == ["ROMEO:\nspeak\n\n\nJULIET:\nno"]


def test_the_files_of_a_folder_are_read_in_the_order_of_their_names(tmp_path):
    for name in ("b", "a/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.txt").write_text(name)
    (tmp_path / ".hidden.txt").write_text("hidden")
    (tmp_path / "folder.txt").mkdir()
    assert texts(tmp_path) == ["a/c", "b"]
    (tmp_path / "link.txt").symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match=r"names 'link.txt', wanted a file in"):
        texts(tmp_path)


def test_the_mark_of_byte_order_and_blank_documents_are_no_text(tmp_path):
    (tmp_path / "a.txt").write_text("\ufeffone\n\n \n\ntwo", encoding="utf-8")
    assert texts(tmp_path / "a.txt") == ["one", "two"]


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_a_compressed_file_is_read_as_it_is(tmp_path, suffix, compress):
    content = compress("one\r\n\r\ntwo é".encode())
    (tmp_path / f"a{suffix}").write_bytes(content)
    assert texts(tmp_path / f"a{suffix}") == ["one", "two é"]
    for broken in (content[:-9], b"one", b""):
        (tmp_path / f"a{suffix}").write_bytes(broken)
        with pytest.raises(ValueError, match=rf"a{suffix} is (no {suffix} file, or is cut short|empty)"):
            texts(tmp_path / f"a{suffix}")


def test_a_line_of_10_mb_is_cut(tmp_path):
    text = "1234567 é" * 10**6
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    tracemalloc.start()
    pieces = texts(tmp_path / "a.txt", max_length=200)
    assert tracemalloc.get_traced_memory()[1] < 10**8
    tracemalloc.stop()
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= 200
    (tmp_path / "a.txt").write_text("x" * 10**7)  # no white space to cut at
    assert [*map(len, texts(tmp_path / "a.txt", max_length=200))] == [200] * 50_000


@often
def test_pieces_of_a_long_document_are_the_document(tried):
    @tried
    @given(st.text("ab \n", max_size=60), st.integers(1, 12))
    def holds(text, max_length):
        pieces = cut(text, max_length)
        assert "".join(pieces) == text
        assert all(0 < len(piece) <= max_length for piece in pieces)

    holds()


def test_words_stay_whole_where_they_fit():
    assert cut("one two three four", 10) == ["one two ", "three four"]
    assert cut("a bcdefghijkl", 10) == ["a bcdefghi", "jkl"]  # not at white space in the first half


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [(b"\xff", {}, "is not UTF-8 text"), (b"\n\n", {}, "is empty"), (b"a", {"max_length": 0}, "max_length is 0"),
     (b"a", {"separator": ""}, "separator is ''")],
)  # fmt: skip
def test_bad_text_is_refused(tmp_path, content, settings, message):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        texts(tmp_path / "a.txt", **settings)


def test_no_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "no.txt"):
        with pytest.raises(ValueError, match=r"has no text, wanted a text file or a folder of .txt files"):
            texts(path)

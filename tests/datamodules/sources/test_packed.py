"""Files that may be compressed."""

import gzip
import lzma
import tracemalloc

import pytest

from datamodules.sources import packed
from datamodules.sources.packed import content_of


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_a_file_that_unpacks_to_too_much_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch, suffix, compress):
    monkeypatch.setattr(packed, "MAX_UNPACKED", 10**6)
    file = tmp_path / f"a{suffix}"
    file.write_bytes(compress(b"a" * 10**6))
    assert content_of(file) == b"a" * 10**6
    file.write_bytes(compress(b"a" * 10**8))
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"a{suffix} unpacks to over 1,000,000 bytes, wanted fewer, or a file that"):
        content_of(file)
    assert tracemalloc.get_traced_memory()[1] < 2 * 10**7
    tracemalloc.stop()


def test_other_files_are_read_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "MAX_UNPACKED", 1)
    (tmp_path / "a.txt").write_bytes(b"12345")
    assert content_of(tmp_path / "a.txt") == b"12345"

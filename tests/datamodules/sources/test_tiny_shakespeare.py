"""The text that ships with the package."""

from datamodules.sources import TinyShakespeare


def test_it_is_speeches_of_plays():
    source = TinyShakespeare()
    source.setup()
    texts = [source.record(i)["text"] for i in range(len(source))]
    assert texts[0] == "First Citizen:\nBefore we proceed any further, hear me speak."
    assert sum(map(len, texts)) > 1_000_000
    assert max(map(len, texts)) <= 200

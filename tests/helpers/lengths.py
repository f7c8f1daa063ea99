"""Compares the lengths that documents say with the slots that they take."""

from datamodules.sampler import SampleIndex


def assert_lengths_are_those_of_packing(data, count: int, split="train") -> list[int]:
    """The lengths of some documents of a split."""
    documents = data.documents(split)
    indices: list[SampleIndex] = [*data.first(split, count)]
    lengths = [documents.length(index) for index in indices]
    assert lengths == [len(documents.collate([documents[index]]).layout.slot) for index in indices]
    return lengths

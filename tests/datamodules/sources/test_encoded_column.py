"""Tokens of records in an Arrow batch, as they are written by `encode`."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from datamodules.encoding import _array
from datamodules.sources.base import Encoded
from datamodules.sources.encoded_column import EncodedColumn


def media(latent_dim):
    """Two media of a record, none of the next, and one of the last."""
    lengths = ((3, 0), (), (2,))

    def make(n):
        return (
            np.arange(n) if latent_dim is None else np.arange(n * latent_dim, dtype=np.float32).reshape(n, latent_dim)
        )

    return [[Encoded(make(n), 10 * i + n, 0.5 * i) for n in of_record] for i, of_record in enumerate(lengths)]


def read(path, array):
    """As a memory-mapped file gives it."""
    batch = pa.record_batch({"media": array})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, batch.schema) as stream:
        stream.write_batch(batch)
    (batch,) = pa.ipc.open_stream(pa.memory_map(str(path)))
    return batch.column("media")


@pytest.mark.parametrize("latent_dim", [None, 4])
@pytest.mark.parametrize("first", [0, 1])
def test_records_have_the_media_that_were_written(tmp_path, latent_dim, first):
    expected = media(latent_dim)[first:]
    column = EncodedColumn(read(tmp_path / "a.arrow", _array(media(latent_dim), latent_dim))[first:], latent_dim)
    for row, of_record in enumerate(expected):
        actual = column[row]
        assert len(actual) == len(of_record)
        assert actual.weights == [one.weight for one in of_record]
        for one, other in zip(actual[:], of_record, strict=True):
            assert one.media_bytes == other.media_bytes
            assert one.tokens.dtype == other.tokens.dtype
            assert torch.equal(one.tokens, other.tokens)


def test_media_are_copies_and_are_indexed_as_a_list(tmp_path):
    (of_record, *_) = media(None)
    column = EncodedColumn(read(tmp_path / "a.arrow", _array(media(None), None)), None)
    column[0][0].tokens.zero_()
    assert column[0][0].tokens.tolist() == [0, 1, 2]
    assert column[0][-1].media_bytes == of_record[-1].media_bytes
    with pytest.raises(IndexError):
        column[0][2]
    assert not column[1]

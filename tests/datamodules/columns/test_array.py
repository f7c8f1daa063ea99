"""Arrays of numbers in records."""

import io

import numpy as np
import pytest

from datamodules.columns import ArrayColumn
from datamodules.sources.base import Member


@pytest.mark.parametrize(
    ("c", "value", "several"),
    [
        (2, [[1, 2], [3, 4]], [[[1, 2], [3, 4]]]),
        (2, [[[1, 2]], [[3, 4], [5, 6]]], [[[1, 2]], [[3, 4], [5, 6]]]),
        (2, [1, 2], [[[1, 2]]]),
        (1, [1, 2, 3], [[[1], [2], [3]]]),
        (1, [[1], [2]], [[[1], [2]]]),
        (1, [[1, 2], [3]], [[[1], [2]], [[3]]]),
        (1, 5.5, None),
        (2, "[[1, 2], [3, 4]]", [[[1, 2], [3, 4]]]),  # a cell of a CSV
        (2, [np.array([1, 2]), np.array([3, 4])], [[[1, 2], [3, 4]]]),  # a row of a Parquet file
        (2, "", []),
        (2, [], []),
        (2, None, []),
        (2, "[[1, 2]", None),
        (2, ["a", "b"], None),
    ],
)
def test_a_cell_is_one_array_several_or_none(c, value, several):
    column = ArrayColumn("a", (None, c))
    if several is None:
        with pytest.raises(ValueError, match=r"column 'a'.*wanted"):
            [column.decode(one) for one in column.values({"a": value})]
        return
    assert [column.decode(one).tolist() for one in column.values({"a": value})] == several


def test_files_are_read_from_a_folder_or_a_shard(tmp_path):
    array = np.arange(6, dtype=np.float64).reshape(3, 2)
    np.save(tmp_path / "a.npy", array)
    column, file = ArrayColumn("a", (3, 2)), io.BytesIO()
    np.save(file, array)
    paths = [tmp_path / "a.npy"] * 2
    assert column.values({"a": paths}) == paths
    for value in (paths[0], Member("shard, a", file.getvalue)):
        assert column.decode(*column.values({"a": value})).tolist() == array.tolist()
    with pytest.raises(ValueError, match=r"shard, a: array is \(3, 2\), wanted \(3, 5\)"):
        ArrayColumn("a", (3, 5)).decode(Member("shard, a", file.getvalue))


def test_the_codec_takes_the_shape():
    assert ArrayColumn.codec_settings(column="a", shape=[None, 7]) == {"shape": [None, 7]}
    assert ArrayColumn.codec_settings() == {"shape": list(ArrayColumn().shape)}

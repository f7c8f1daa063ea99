"""Arrays of numbers and their files."""

import pickle

import numpy as np
import pytest
import torch

from mot_lightning.media import Array
from mot_lightning.media.html import figure


def test_a_written_array_is_read_again_and_shown_as_its_plot(tmp_path):
    actions = torch.randn(9, 7)
    path = Array((None, 7)).write(actions, tmp_path / "a")
    assert path.name == "a.npy"
    assert torch.equal(Array((9, 7)).read(path), actions)
    shown = figure(path)
    assert 'download="a.npy"' in shown
    assert '<img class="plot" src="data:image/png;base64,' in shown
    (tmp_path / "a.npy.png").unlink()
    assert "<img" not in figure(path)


def test_plots_differ_where_arrays_do():
    kind = Array((None, 2))
    one, other = (kind.picture(torch.tensor([[0.0, 1], [y, 2], [3, 0]])) for y in (1.0, 5.0))
    assert one.size == other.size
    assert one.tobytes() != other.tobytes()
    assert kind.picture(torch.zeros(1, 2)).getcolors(10_000)  # a single row is drawn as points


@pytest.mark.parametrize(
    ("shape", "media", "expected"),
    [
        ((None, 2), [[1, 2], [3, 4]], [[1.0, 2], [3, 4]]),
        ((2, 1), np.array([1, 2], np.int64), [[1.0], [2]]),
        ((1, 3), [1.0, 2, 3], [[1.0, 2, 3]]),
        ((None, 1), torch.tensor([[0.5]], dtype=torch.float64), [[0.5]]),
        ((2, 1), [True, False], None),
        ((None, 2), [[1, 2], [3]], None),
        ((None, 2), [[1, 2, 3]], None),
        ((3, 2), [[1, 2]], None),
        ((None, 2), [["a", "b"]], None),
        ((None, 2), [[1, 2j]], None),
        ((None, 2), [[1, float("nan")]], None),
        ((None, 2), [], None),
        ((None, 2), None, None),
        ((None, 1), np.zeros((2, 2, 2)), None),
    ],
)
def test_arrays_in_memory_are_taken_if_they_fit(shape, media, expected):
    if expected is not None:
        assert Array(shape).coerce(media).tolist() == expected
        assert Array(shape).coerce(media).dtype == torch.float32
        return
    with pytest.raises(ValueError, match=r"array .*wanted") as refused:
        Array(shape).coerce(media)
    assert "\n" not in str(refused.value)


class Trap:
    def __reduce__(self):
        return (print, ("unpickled",))


@pytest.mark.parametrize("content", ["pickle", "object", "empty", "cut", "text", "archive", "complex"])
def test_bad_files_are_one_line_that_names_them_and_nothing_is_unpickled(tmp_path, content, capsys):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((4, 2)))
    whole = path.read_bytes()
    if content == "object":
        np.save(path, np.array([Trap()]), allow_pickle=True)
    elif content == "archive":
        with path.open("wb") as file:
            np.savez(file, a=np.zeros((4, 2)))
    elif content == "complex":
        np.save(path, np.zeros((4, 2), complex))
    else:
        path.write_bytes({"pickle": pickle.dumps(Trap()), "empty": b"", "cut": whole[:-8], "text": b"1,2\n"}[content])
    with pytest.raises(ValueError, match=r"a\.npy") as refused:
        Array((None, 2)).read(path)
    assert "\n" not in str(refused.value)
    assert "unpickled" not in capsys.readouterr().out


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.npy cannot be read: No such file"):
        Array((None, 2)).read(tmp_path / "gone.npy")

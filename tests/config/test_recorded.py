"""Objects that say how they were built."""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from mot_lightning.codecs import Patches
from mot_lightning.config.recorded import Recorded, class_spec, plain
from mot_lightning.objectives import FlowMatching


class Part(Recorded, nn.Module):
    def __init__(self, size: int, *, path: Path | None = None, **others: float) -> None:
        super().__init__()
        self.layer = nn.Linear(size, size)


@dataclass
class Settings:
    sizes: tuple[int, ...] = (1, 2)


def test_arguments_are_recorded_with_their_defaults_and_written_as_plain_values():
    part = Part(3, path=Path("a/b"), weight=0.5)
    assert part.init_args == {"size": 3, "path": Path("a/b"), "weight": 0.5}
    assert class_spec(part) == {
        "class_path": f"{__name__}.Part", "init_args": {"size": 3, "path": "a/b", "weight": 0.5}}  # fmt: skip
    assert Part(3).init_args == {"size": 3, "path": None}
    spec = class_spec(FlowMatching(shift=2.0))
    assert spec["class_path"] == "mot_lightning.objectives.flow_matching.FlowMatching"
    assert spec["init_args"] == {
        "time_conditioning": "adaln", "scheduler": None, "steps": 25, "shift": 2.0, "patch_io": "linear",
        "timestep_sampling": "uniform", "prediction": "velocity"}  # fmt: skip


def test_copies_keep_their_arguments():
    codec = copy.deepcopy(Patches((1, 8, 8), patch_size=2))
    assert codec.init_args == {"shape": (1, 8, 8), "patch_size": 2}


def test_plain_values_of_nested_objects():
    assert plain({"a": Settings(), "b": {1: None}}) == {"a": {"sizes": [1, 2]}, "b": {"1": None}}
    assert plain(nn.Identity()) == "Identity()"


def test_numbers_of_numpy_become_plain_numbers():
    numbers = plain([np.float64(0.5), np.float32(0.5), np.int64(2), np.bool_(True)])
    assert numbers == [0.5, 0.5, 2, True]
    assert [type(number) for number in numbers] == [float, float, int, bool]

"""Sounds for tests: the shipped spoken digits."""

import csv
from pathlib import Path

import soundfile
import torch
from torch import Tensor

FOLDER = Path(__file__).parents[2] / "datamodules" / "digits" / "spoken"


def clips(file: str) -> list[Tensor]:
    samples, _ = soundfile.read(FOLDER / file, dtype="float32")
    cuts = csv.DictReader((FOLDER / "cuts.csv").read_text().splitlines())
    return [torch.from_numpy(samples[int(cut["start"]) : int(cut["end"])]) for cut in cuts if cut["file"] == file]

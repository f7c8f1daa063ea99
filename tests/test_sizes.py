"""The model sizes of the paper, built on the meta device and counted."""

from pathlib import Path

import pytest
import torch

from mot_lightning.backbone import BackboneSettings
from mot_lightning.config.files import read_yaml
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.objectives import FlowMatching, NextToken
from mot_lightning.sequence import Tokens

SIZES = sorted((Path(__file__).resolve().parents[1] / "conf" / "backbone" / "size").glob("*.yaml"))
LABELS = {"m": 1e6, "b": 1e9}
TEXT, IMAGE = {"chameleon": 65_536, "transfusion": 32_000}, Tokens(latent_dim=32, length=256)


def labelled(path):
    family, label = path.stem.split("_")
    return family, float(label[:-1]) * LABELS[label[-1]]


def built(path, towers, image=True):
    family, _ = labelled(path)
    settings = BackboneSettings(**read_yaml(path)["model"]["backbone"], towers=towers)
    objectives = {"text": NextToken()} | ({"image": FlowMatching(time_conditioning="additive")} if image else {})
    tokens = {"text": Tokens(vocab_size=TEXT[family]), "image": IMAGE}
    with torch.device("meta"):
        return MixtureOfTransformers(objectives, {name: tokens[name] for name in objectives}, "text", settings)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("path", SIZES, ids=lambda path: path.stem)
def test_parameter_count_matches_the_label_and_doubles_with_two_towers(path):
    family, label = labelled(path)
    dense = built(path, {"all": ["image", "text"]}, image=True) if family == "transfusion" else built(path, {}, False)
    assert count(dense) == pytest.approx(label, rel=0.05 if family == "transfusion" else 0.03)
    mixture = built(path, {})
    assert count(mixture.backbone) == 2 * count(dense.backbone)


def test_all_sizes_of_the_paper_are_shipped():
    assert len(SIZES) == 10

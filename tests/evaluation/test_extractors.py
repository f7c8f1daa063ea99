"""What the card says of networks and judges behind metrics."""

import numpy as np
import torch
from torch import nn

from mot_lightning.evaluation.extractors import extractors_of
from mot_lightning.evaluation.metrics import BLEU, ExactMatch, FrechetDistance, JudgedAccuracy
from mot_lightning.evaluation.tasks import Task


class Judge:
    def __init__(self, bias):
        self.trained, self.parts = {"bias": np.array([bias, 1.0])}, [nn.Linear(2, 1)]
        nn.init.ones_(self.parts[0].weight)
        nn.init.zeros_(self.parts[0].bias)
        self.itself = self

    def __call__(self, media):
        return media


def by_rule(media):
    return media


class Net(nn.Linear):
    num_features = 4


class Pixels(nn.Flatten):
    num_features = 4


def extractors(**metrics):
    return extractors_of([Task("a -> b", [[("a", 1)]], "b", [1], metrics)])


def test_networks_and_judges_have_a_class_and_a_hash_of_their_weights():
    torch.manual_seed(0)
    net = Net(4, 4)
    listed = extractors(fid=FrechetDistance(net, []), right=JudgedAccuracy(Judge(2.0)))
    assert listed["b/fid"]["metric"].endswith("FrechetDistance")
    assert listed["b/fid"]["inception"]["class"] == f"{__name__}.Net"
    assert listed["b/right"]["judge"]["class"] == f"{__name__}.Judge"
    assert extractors(fid=FrechetDistance(net, []), right=JudgedAccuracy(Judge(2.0))) == listed
    with torch.no_grad():
        net.weight[0, 0] += 1e-3
    other = extractors(fid=FrechetDistance(net, []), right=JudgedAccuracy(Judge(2.001)))
    for name, part in (("b/fid", "inception"), ("b/right", "judge")):
        assert len(listed[name][part]["sha256"]) == 64
        assert listed[name][part]["sha256"] != other[name][part]["sha256"]


def test_weights_inside_lists_of_a_judge_count():
    one, other = Judge(2.0), Judge(2.0)
    nn.init.ones_(other.parts[0].bias)
    hashes = {extractors(right=JudgedAccuracy(judge))["b/right"]["judge"]["sha256"] for judge in (one, other)}
    assert len(hashes) == 2


def test_metrics_without_weights_have_none():
    assert extractors(bleu=BLEU(), exact=ExactMatch(), fid=FrechetDistance(Pixels(), [])) == {}
    assert extractors(rule=JudgedAccuracy(by_rule))["b/rule"]["judge"] == {"class": f"{__name__}.by_rule"}

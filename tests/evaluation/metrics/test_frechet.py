"""The Frechet distance between generated and real images, with custom features."""

import pytest
import torch
from torch import nn

from mot_lightning.evaluation.metrics import FrechetDistance


class Means(nn.Module):
    """Features of an image: the means of its quarters."""

    num_features = 4

    def forward(self, images):
        assert images.dtype == torch.uint8
        grey = images.float().mean(1, keepdim=True)
        return nn.functional.adaptive_avg_pool2d(grey, 2).flatten(1)


def pictures(n, seed=0, channels=1):
    return [0.8 * picture for picture in torch.rand(n, channels, 8, 8, generator=torch.Generator().manual_seed(seed))]


def distance(metric, images):
    """Distance of only these images from the reference."""
    metric.reset()
    metric.update(images, [None] * len(images))
    return float(metric.compute())


@pytest.mark.parametrize("channels", [1, 3])
def test_frechet_distance_grows_with_the_shift(channels):
    real = pictures(60, channels=channels)
    metric = FrechetDistance(Means(), real)
    same = distance(metric, real)
    alike = distance(metric, pictures(60, seed=1, channels=channels))
    near, far = (distance(metric, [image + shift for image in real]) for shift in (0.1, 0.2))
    assert same == pytest.approx(0, abs=1e-2)
    assert same < alike < near < far
    # only the four feature means differ, each by shift * 255
    assert far == pytest.approx(4 * (0.2 * 255) ** 2, rel=0.01)
    assert near == pytest.approx(4 * (0.1 * 255) ** 2, rel=0.02)


def test_updates_accumulate_and_the_reference_is_counted_once():
    real, images = pictures(40), pictures(30, seed=1)
    whole, parts = FrechetDistance(Means(), real), FrechetDistance(Means(), real)
    for start in (0, 10, 20):
        parts.update(images[start : start + 10], [None] * 10)
    assert float(parts.compute()) == pytest.approx(distance(whole, images), rel=1e-4)
    assert parts.real_features_num_samples == 40

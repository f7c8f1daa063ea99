"""KID against torchmetrics' and on samples of one distribution."""

import pytest
import torch
from torchmetrics.image.kid import KernelInceptionDistance

from mot_lightning.evaluation.metrics import KernelDistance


class Means(torch.nn.Module):
    """Features of an image: the means of its quarters."""

    num_features = 4

    def forward(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images.float().mean(1, keepdim=True), 2).flatten(1) / 255


def images(n, seed, brightness=1.0):
    return list(brightness * torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed)))


def value(metric, media):
    metric.update(media[:10], [0] * 10)
    metric.update(media[10:], [0] * (len(media) - 10))
    return float(metric.compute())


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`")
def test_it_is_that_of_one_subset_of_all_samples():
    fake, real = images(40, 0, 0.5), images(40, 1)
    other = KernelInceptionDistance(Means(), subsets=1, subset_size=40)
    for media, is_real in ((fake, False), (real, True)):
        other.update((torch.stack(media) * 255).round().byte().expand(-1, 3, -1, -1), real=is_real)
    expected = float(other.compute()[0])
    assert value(KernelDistance(Means(), real), fake) == pytest.approx(expected, rel=1e-3)
    assert expected > 0.1


def test_it_is_about_0_for_other_samples_of_one_distribution():
    distances = [value(KernelDistance(Means(), images(40, 100 + seed)), images(30, seed)) for seed in range(20)]
    assert min(distances) < 0 < max(distances)
    assert abs(sum(distances) / 20) < 0.01

"""Precision and recall of points on a line."""

import torch

from mot_lightning.evaluation.metrics import Precision, Recall


class Brightness(torch.nn.Module):
    """Feature of an image: its grey level, from 0 to 255."""

    num_features = 1

    def forward(self, images):
        return images.float().mean((1, 2, 3))[:, None]


def images(*levels):
    return [torch.full((1, 2, 2), level / 255) for level in levels]


def value(metric, media):
    metric.update(media, [0] * len(media))
    return float(metric.compute())


def test_realistic_images_without_variety():
    real, fake = images(*range(0, 200, 10)), images(50, 51, 52, 53)
    assert value(Precision(Brightness(), real), fake) == 1
    assert value(Recall(Brightness(), real), fake) == 1 / 20  # 50 alone is within three levels


def test_varied_images_half_of_them_unrealistic():
    real, fake = images(*range(0, 100, 10)), images(*range(0, 200, 10))
    assert value(Precision(Brightness(), real), fake) == 13 / 20  # up to 120: the ball around 90 reaches 30 beyond
    assert value(Recall(Brightness(), real), fake) == 1

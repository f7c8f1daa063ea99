"""PSNR and SSIM of images."""

import pytest
import torch

from mot_lightning.evaluation.metrics import PSNR, SSIM


def value(metric, media, targets):
    metric.update(media, targets)
    return float(metric.compute())


def test_psnr_is_the_mean_over_images_of_the_error_in_db():
    black = torch.zeros(1, 4, 4)
    assert value(PSNR(), [black + 0.1, black + 0.01], [black, black]) == pytest.approx((20 + 40) / 2, abs=1e-3)


def test_ssim_is_1_for_the_same_image_and_falls_with_noise():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 16, 16, generator=generator)
    noisy = [(image + scale * torch.randn(1, 16, 16, generator=generator)).clamp(0, 1) for scale in (0.05, 0.3)]
    same, little, much = (value(SSIM(), [other], [image]) for other in (image, *noisy))
    assert same == pytest.approx(1)
    assert 1 > little > much
    with pytest.raises(ValueError, match="images are 8 x 8, wanted at least 11 pixels a side"):
        value(SSIM(), [image[:, :8, :8]], [image[:, :8, :8]])

"""Losses by time: the bins hold the losses of their times, and all of them."""

import numpy as np
import pytest
import torch
from conftest import make_document, make_model

from mot_lightning.evaluation.document_losses import document_sums
from mot_lightning.evaluation.times import time_curve, time_rows, time_sums
from mot_lightning.sequence import pack


def batch(model, cap):
    segments = [make_document(np.random.default_rng(k), ["text", "image"]) for k in range(20)]
    documents = [[s._replace(seed=10 * i + k, noise_cap=cap) for k, s in enumerate(d)] for i, d in enumerate(segments)]
    return pack(documents, model.grammar, 200)


@pytest.mark.parametrize("image", ["adaln", "diffusion"])
def test_bins_add_up_to_the_loss_and_hold_only_times_that_occur(image):
    model = make_model(image)
    capped = batch(model, cap=0.25)
    with torch.no_grad():
        sums = time_sums(model, [capped], [7])["image"]
        expected = document_sums(model, [capped], 7, lambda batch: {})["image"]
    np.testing.assert_allclose(sums.sum(1), expected[:, :2], rtol=1e-4)
    assert sums[:, :3, 1].sum() == 20 * 4  # four latents each
    assert (sums[:, :3, 1].sum(0) > 0).all()


@pytest.mark.parametrize("image", ["adaln", "diffusion"])
def test_a_bin_holds_the_times_up_to_the_next_tenth(image):
    model = make_model(image)
    with torch.no_grad():
        targets = time_sums(model, [batch(model, cap=0.09)], [7])["image"][..., 1].sum(0)
    assert targets.tolist() == [20 * 4, *[0] * 9]


def test_more_seeds_sample_more_times():
    model = make_model()
    with torch.no_grad():
        sums = time_sums(model, [batch(model, cap=1.0)], [1, 2, 3])
    assert sums.keys() == {"image"}
    assert sums["image"][..., 1].sum() == 3 * 20 * 4


def test_rows_and_curve_leave_out_bins_without_targets():
    sums = np.zeros((3, 10, 2))
    sums[:, 2] = [[2, 4], [3, 4], [4, 4]]
    sums[0, 9] = [8, 4]
    rows = time_rows("image", sums, seed=0)
    assert [(row.quantity, row.value, row.samples) for row in rows] == [
        ("t 0.2 to 0.3", 0.75, 3),
        ("t 0.9 to 1.0", 2.0, 1),
        ("all times", 17 / 16, 3),
    ]
    assert time_curve("image", sums, "test").stages == {"test": ([0.25, 0.95], [0.75, 2.0])}

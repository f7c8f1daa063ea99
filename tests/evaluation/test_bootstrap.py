"""Bootstrap intervals against what is known of a mean."""

import math

import numpy as np
import pytest

from mot_lightning.evaluation.bootstrap import interval, ratio, resampled


def samples(n, seed=0):
    """n losses of mean 2 and variance 1, each over 3 targets."""
    losses = 3 * np.random.default_rng(seed).normal(2, 1, n)
    return np.stack([losses, np.full(n, 3.0)], 1)


def test_interval_of_a_mean_is_about_two_standard_errors_wide():
    low, high = interval(samples(400), ratio, seed=0)
    assert high - low == pytest.approx(2 * 1.96 / math.sqrt(400), rel=0.15)
    assert low < ratio(samples(400).sum(0)) < high


def test_intervals_hold_the_true_value_about_as_often_as_they_say():
    ends = [interval(samples(100, seed), ratio, seed=0, resamples=300) for seed in range(200)]
    assert 0.9 <= np.mean([low < 2 < high for low, high in ends]) <= 0.99


def test_draws_depend_on_the_seed_and_keep_the_number_of_samples():
    ones = np.ones((50, 1))
    assert (resampled(ones, seed=0) == 50).all()
    assert interval(samples(50), ratio, 1) == interval(samples(50), ratio, 1) != interval(samples(50), ratio, 2)


def test_draws_without_a_value_are_left_out_and_there_is_no_interval_of_a_few():
    def where_most(rest):
        return interval(np.array([[1.0, 1.0], *[[0.0, 0.0]] * rest]), ratio, seed=0)

    assert where_most(4) == (1, 1)  # one sample of 5 is in 67 % of the draws
    assert all(map(math.isnan, interval(samples(20), lambda sums: 1.0 if sums[0] > 130 else math.nan, seed=0)))


def test_one_sample_has_no_interval():
    assert all(map(math.isnan, interval(samples(1), ratio, seed=0)))

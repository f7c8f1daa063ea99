import math

import pytest

from mot_lightning.analysis.compare.estimate import extremes, geometric_mean, mean


def test_interval_is_students():
    estimate = mean([1.0, 2.0, 3.0])
    # t(0.975, 2) = 4.303, standard deviation 1
    assert estimate == pytest.approx((2.0, 2 - 4.303 / math.sqrt(3), 2 + 4.303 / math.sqrt(3), 3), abs=1e-3)


def test_interval_covers_at_its_rate():
    import numpy as np

    rng = np.random.default_rng(0)
    covered = [low <= 0 <= high for _, low, high, _ in (mean(rng.standard_normal(3).tolist()) for _ in range(2000))]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_one_seed_has_no_interval():
    estimate = mean([2.0])
    assert estimate.value == 2
    assert math.isnan(estimate.low)
    assert str(estimate) == "2.00"


def test_ratios_and_their_inverses_agree():
    ratios = [0.4, 0.5, 0.7]
    ratio, inverse = geometric_mean(ratios), geometric_mean([1 / r for r in ratios])
    assert ratio.value * inverse.value == pytest.approx(1)
    assert ratio.low * inverse.high == pytest.approx(1)
    assert extremes(ratios, n=2)[1:] == (0.4, 0.7, 2)


def test_a_bound_is_shown_as_one():
    estimate = geometric_mean([0.4, 0.5, 0.7])
    assert str(estimate) == "0.52 [0.26, 1.05]"
    assert str(estimate._replace(high=math.inf)) == "> 0.52 [0.26, inf]"
    assert str(estimate._replace(low=0.0)) == "< 0.52 [0.00, 1.05]"
    assert str(estimate._replace(low=0.0, high=math.inf)) == "? 0.52 [0.00, inf]"
    assert str(mean([2.0])._replace(high=math.inf)) == "> 2.00"

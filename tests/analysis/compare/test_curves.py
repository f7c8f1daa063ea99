import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mot_lightning.analysis.compare.curves import Curve, match

STEPS = np.arange(50, 2001, 50)


def power_law(slope=1.0, exponent=0.3, floor=0.5, steps=STEPS):
    return Curve(steps, 4.0 * (steps / slope) ** -exponent + floor)


@given(slope=st.floats(0.1, 1.0), exponent=st.floats(0.1, 1.0), floor=st.floats(0.0, 2.0), start=st.floats(0.3, 0.9))
def test_slope_of_a_known_law_is_found(slope, exponent, floor, start):
    matching = match(power_law(1.0, exponent, floor), power_law(slope, exponent, floor), start)
    assert matching.reached == 1
    # linear between points 50 apart, where the loss is convex
    assert matching.slope == pytest.approx(slope, abs=0.03)


@given(slope=st.floats(1.05, 1.8))
def test_slower_run_is_matched_over_what_it_reaches(slope):
    matching = match(power_law(), power_law(slope), 0.5)
    assert matching.reached == pytest.approx((2000 / slope - 1000) / 1000, abs=0.06)
    assert matching.slope == pytest.approx(slope, abs=0.03)
    assert not matching.is_lower_bound


@given(slope=st.floats(2.1, 9.0))
def test_run_that_reaches_nothing_gives_a_lower_bound(slope):
    matching = match(power_law(), power_law(slope), 0.5)
    assert matching.reached == 0
    assert matching.is_lower_bound
    assert 1 < matching.slope < slope


def test_bound_is_no_higher_than_s_of_a_run_that_goes_on():
    """A baseline that is nearly flat at its end, and a run that has its losses soon after the end of both."""
    longer = np.arange(50, 2201, 50)
    late = Curve(longer, np.where(longer <= 2000, 2.0, 0.9))
    flat = Curve(STEPS, 2.0 - STEPS / 2000)
    known, cut = match(flat, late, 0.5), match(flat, Curve(longer[:-4], late.losses[:-4]), 0.5)
    assert cut.is_lower_bound
    assert not known.is_lower_bound
    assert cut.slope <= known.slope


def test_run_that_stops_to_gain_has_a_lower_bound():
    """It has the first of the baseline's losses sooner, and none of the others."""
    baseline, stalled = Curve(STEPS, 2.0 - STEPS / 2000), Curve(STEPS, np.maximum(2.0 - STEPS / 600, 1.4))
    matching = match(baseline, stalled, 0.5)
    assert 0 < matching.reached < 0.3
    assert matching.is_lower_bound
    assert matching.slope > 1
    nearly = match(baseline, Curve(STEPS, np.maximum(2.0 - STEPS / 600, 1.05)), 0.5)  # it lacks a tenth
    assert nearly.is_lower_bound
    assert nearly.slope > 0.35


def test_last_losses_may_be_lacking_by_noise():
    baseline = Curve(STEPS, 2.0 - STEPS / 2000)
    noisy = match(baseline, Curve(STEPS, np.where(STEPS > 1800, 1.1, baseline.losses)), 0.5)
    assert noisy.reached < 0.85
    assert not noisy.is_lower_bound
    assert noisy.slope == pytest.approx(1)


def test_run_that_is_better_from_its_first_evaluation_on_has_an_upper_bound():
    steps = np.array([500, 1000, 1500, 2000])
    matching = match(power_law(steps=steps), power_law(0.05, steps=steps), 0.5)
    assert matching.is_upper_bound
    assert 0.05 < matching.slope < 0.5
    assert not match(power_law(), power_law(0.05), 0.5).is_upper_bound
    assert not match(power_law(), power_law(0.3), 0.0).is_upper_bound  # only its first losses are
    rising = Curve(steps, np.array([1.0, 0.9, 1.1, 1.2]))
    assert not match(rising, rising, 0.0).is_upper_bound  # what both had at once is no gain


def test_inverse_matching_gives_the_inverse_slope():
    fast, slow = power_law(0.5), power_law()
    assert match(slow, fast, 0.2).slope * match(fast, slow, 0.2).slope == pytest.approx(1, abs=0.02)


def test_first_step_at_a_loss_is_linear_between_points():
    curve = Curve(np.array([10, 20, 30, 40]), np.array([4.0, 2.0, 3.0, 1.0]))
    assert [curve.step_at(loss) for loss in (5, 4, 3, 2, 1.5)] == [10, 10, 15, 20, 37.5]
    assert np.isnan(curve.step_at(0.9))


def test_moving_mean_is_centred_and_narrower_at_the_ends():
    curve = Curve(np.arange(5), np.array([5.0, 1.0, 3.0, 2.0, 7.0]))
    assert curve.smoothed(3).losses == pytest.approx([5, 3, 2, 4, 7])
    assert curve.smoothed(5).losses == pytest.approx([5, 3, 18 / 5, 4, 7])
    assert curve.smoothed(1).losses == pytest.approx(curve.losses)


def test_rise_is_measured_from_the_lowest_loss():
    assert Curve(np.arange(3), np.array([3.0, 2.0, 2.5])).rises_by() == pytest.approx(0.25)
    assert power_law().rises_by() == 0

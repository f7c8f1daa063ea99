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


def test_run_that_reaches_nothing_gives_a_lower_bound():
    matching = match(power_law(), power_law(5.0), 0.5)
    assert matching.reached == 0
    assert matching.slope == pytest.approx(2000 / 1000)


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

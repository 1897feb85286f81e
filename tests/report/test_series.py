"""Curves of the report."""

import pytest

from omnithinker.report.series import smoothed


def test_smoothing_averages_neighbors_and_half_as_many_at_the_ends():
    assert smoothed(((1, 2, 5, 6), (0.0, 3.0, 6.0, 0.0))) == ((1, 2, 5, 6), (1.5, 3.0, 3.0, 3.0))
    values = [1.0] * 39 + [0.0]  # the window reaches two points to each side
    _, smooth = smoothed((tuple(range(40)), tuple(values)))
    assert smooth[:37] == (1.0,) * 37
    assert smooth[37:] == pytest.approx((0.8, 0.75, 2 / 3))


@pytest.mark.parametrize("values", [(), (0.5,)])
def test_few_points_stay_as_they_are(values):
    points = tuple(range(len(values))), values
    assert smoothed(points) == points

"""Calls are timed on the clock of a Pod and recorded on ours."""

from hypothesis import given
from hypothesis import strategies as st

from headstay.drill.driver import clock_offset


@given(
    ahead=st.floats(-1e4, 1e4),
    trips=st.lists(st.tuples(st.floats(0.0001, 2), st.floats(0.0001, 2)), min_size=1, max_size=9),
)
def test_the_offset_is_right_to_within_half_the_quickest_exchange(
    ahead: float, trips: list[tuple[float, float]]
) -> None:
    exchanges, at = [], 1.8e9
    for there, back in trips:
        exchanges.append((at, at + there + ahead, at + there + back))
        at += there + back + 1
    quickest = min(there + back for there, back in trips)
    assert abs(clock_offset(exchanges) + ahead) <= quickest / 2 + max(quickest / 2, 0) + 1e-6


def test_clocks_that_cannot_be_told_apart_are_taken_for_the_same() -> None:
    assert clock_offset([(100.0, 100.001, 100.01)]) == 0

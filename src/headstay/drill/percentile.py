"""Percentiles, interpolated between the two nearest values as `statistics.median` does."""

from collections.abc import Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of values in ascending order, of which there is at least one."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)

"""Durations as kubectl prints them: two units at most, fewer the longer ago. Pure."""

from datetime import datetime

from headstay.model.timestamps import parse

UNKNOWN = "<unknown>"
NONE = "<none>"


def age(timestamp: str | None, now: datetime) -> str:
    """How long ago; `<unknown>` without a time, `<invalid>` for one in the future."""
    if not timestamp:
        return UNKNOWN
    return duration((now - parse(timestamp)).total_seconds())


def duration(seconds: float) -> str:
    """`45s`, `2m5s`, `10m`, `3h12m`, `9h`, `2d3h`, `300d`, `3y20d`: apimachinery's HumanDuration."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 60 * 2:
        return f"{whole}s"
    minutes = whole // 60
    if minutes < 10:
        return _pair(minutes, "m", whole % 60, "s")
    if minutes < 60 * 3:
        return f"{minutes}m"
    hours = minutes // 60
    if hours < 8:
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 24 * 8:
        return _pair(days, "d", hours % 24, "h")
    if hours < 24 * 365 * 2:
        return f"{days}d"
    years = days // 365
    if hours < 24 * 365 * 8:
        return _pair(years, "y", days % 365, "d")
    return f"{years}y"


def _pair(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}" + (f"{small}{small_unit}" if small else "")

"""Quantities back into text, canonical as Kubernetes prints them: `1500m`, `2`, `1Gi`."""

from decimal import Decimal

_DECIMAL = [("E", 18), ("P", 15), ("T", 12), ("G", 9), ("M", 6), ("k", 3), ("", 0), ("m", -3), ("u", -6), ("n", -9)]
_BINARY = [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)]


def format_quantity(value: Decimal, *, binary: bool = False) -> str:
    """The largest unit that leaves no fraction; powers of 1024 where `binary`."""
    if value == 0:
        return "0"
    if binary:
        for suffix, power in _BINARY:
            if value % (2**power) == 0:
                return f"{value / 2**power:f}".split(".", maxsplit=1)[0] + suffix
    for suffix, power in _DECIMAL:
        scaled = value.scaleb(-power)
        if scaled == scaled.to_integral_value():
            return f"{scaled.to_integral_value():f}{suffix}"
    return f"{value.scaleb(9).to_integral_value():f}n"


def is_binary(text: object) -> bool:
    return isinstance(text, str) and text.endswith("i")

"""Kubernetes resource quantities (`500m`, `1Gi`, `1e3`), kept exact.

Grammar: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

import re
from decimal import ROUND_CEILING, Decimal

_PATTERN = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]))?$")
_SUFFIXES = {
    "n": Decimal(10) ** -9,
    "u": Decimal(10) ** -6,
    "m": Decimal(10) ** -3,
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
    "Ei": Decimal(2) ** 60,
}


def parse_quantity(value: str | float) -> Decimal:
    """The exact value in base units (cores, bytes). Raises ValueError naming the text that is not one."""
    match = _PATTERN.match(str(value))
    if match is None:
        raise ValueError(f"{value!r} is not a quantity (examples: 500m, 2, 1.5Gi, 1e3)")
    number, exponent, suffix = match.groups()
    if exponent:
        return Decimal(number + exponent)
    return Decimal(number) * _SUFFIXES.get(suffix or "", Decimal(1))


def ceil_int(value: Decimal) -> int:
    """The smallest whole number not below `value`: how Kubernetes turns 500m cores into 1."""
    return int(value.to_integral_value(rounding=ROUND_CEILING))

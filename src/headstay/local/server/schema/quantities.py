"""The canonical form of a quantity: what Kubernetes answers when it was sent `0.5`, `1024Mi` or `1000m`.

Rules: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ (no fractional digits, the
largest suffix that leaves an integer, the family of suffixes that was used; nothing is finer than `n`).
"""

import functools
import re
from decimal import ROUND_UP, Decimal, localcontext

from headstay.model.quantity import parse_quantity

_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_LARGEST = Decimal(2**63 - 1).scaleb(18)
"""Nothing sensible is larger; what is becomes this."""
_DECIMAL = {-9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}


@functools.lru_cache(maxsize=512)
def canonical(value: str | float) -> str:
    """Raises ValueError when it is no quantity."""
    text = str(value).strip()
    amount = parse_quantity(text)
    if amount.copy_abs() > _LARGEST:
        amount = _LARGEST.copy_sign(amount)
    if text.endswith("i") and amount.copy_abs() >= 1024 and amount == amount.to_integral_value():
        return _binary(int(amount))
    return _decimal(amount, exponent_form=re.search(r"[eE][+-]?\d+$", text) is not None)


def _binary(amount: int) -> str:
    power = 0
    while amount % 1024 == 0 and power < len(_BINARY) - 1:
        amount //= 1024
        power += 1
    return f"{amount}{_BINARY[power]}"


def _decimal(amount: Decimal, *, exponent_form: bool) -> str:
    if amount == 0:
        return "0"
    with localcontext(prec=60):
        nano = int(amount.scaleb(9).to_integral_value(rounding=ROUND_UP))
    exponent = -9
    while nano % 1000 == 0 and exponent < 18:
        nano //= 1000
        exponent += 3
    if exponent_form:
        return f"{nano}e{exponent}" if exponent else str(nano)
    return f"{nano}{_DECIMAL[exponent]}"

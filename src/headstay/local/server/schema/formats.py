"""String formats that Kubernetes checks in custom resources; a format it does not know is no rule at all.

That goes for the formats of numbers, too: Kubernetes does not hold an integer of format int32 to 32 bits.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable
from datetime import date, datetime, timedelta
from urllib.parse import urlsplit

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_GO_DURATION = re.compile(r"[+-]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_GO_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONG_DURATION = re.compile(r"(\d+)\s*([A-Za-zµ]+)\s*", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_HOSTNAME = re.compile(r"(?=.{1,255}$)([^\W_](-?[^\W_]{0,62})?|([^\W_](([^\W_]|-){0,61}[^\W_])?\.)+[^\W\d_]{2,63})")
_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{4}(\.[0-9A-Fa-f]{4}){2}")
_HEX_COLOR = re.compile(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_ISBN10 = re.compile(r"(\d[- ]?){9}[\dXx]", re.ASCII)
_ISBN13 = re.compile(r"(\d[- ]?){12}\d", re.ASCII)
_CREDIT_CARD = re.compile(r"\d{12,19}", re.ASCII)
_SSN = re.compile(r"\d{3}[- ]?\d{2}[- ]?\d{4}", re.ASCII)
_SHORT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LONG_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def accepts(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return accepts


def is_date_time(text: str) -> bool:
    """RFC 3339 with a time zone, on a day that exists."""
    if _RFC3339.fullmatch(text) is None:
        return False
    return _parses(datetime.fromisoformat)(re.sub(r"(\.\d{6})\d+", r"\1", text.upper()))


def decode_bytes(text: str) -> bytes:
    """Standard base64 with padding; line breaks are skipped, as Go does. Raises ValueError."""
    try:
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def _is_date(text: str) -> bool:
    return _DATE.fullmatch(text) is not None and _parses(date.fromisoformat)(text)


def _is_duration(text: str) -> bool:
    """Go's form (`1h30m`), or the longer words that the format also takes (`3 days`)."""
    if _GO_DURATION.fullmatch(text):
        return True
    return bool(text) and _LONG_DURATION.sub("", text) == ""


def go_duration(text: str) -> timedelta:
    """`1h30m` as a span of time. Raises ValueError."""
    if _GO_DURATION.fullmatch(text) is None:
        raise ValueError(f"invalid duration {text!r}")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _GO_PART.findall(text))
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)


def _is_uri(text: str) -> bool:
    parts = urlsplit(text)
    return bool(parts.scheme) or text.startswith("/")


def _is_cidr(text: str) -> bool:
    return "/" in text and _parses(lambda value: ipaddress.ip_network(value, strict=False))(text)


def _is_uuid(version: int = 0) -> Callable[[str], bool]:
    def accepts(text: str) -> bool:
        try:
            found = uuid.UUID(text)
        except ValueError:
            return False
        return version in (0, found.version)

    return accepts


FORMATS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matches(_OBJECT_ID),
    "byte": _parses(decode_bytes),
    "cidr": _is_cidr,
    "creditcard": _matches(_CREDIT_CARD),
    "date": _is_date,
    "date-time": is_date_time,
    "datetime": is_date_time,
    "duration": _is_duration,
    "email": _matches(_EMAIL),
    "hexcolor": _matches(_HEX_COLOR),
    "hostname": _matches(_HOSTNAME),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "isbn": lambda text: _matches(_ISBN10)(text) or _matches(_ISBN13)(text),
    "isbn10": _matches(_ISBN10),
    "isbn13": _matches(_ISBN13),
    "k8s-long-name": _matches(_LONG_NAME),
    "k8s-short-name": _matches(_SHORT_NAME),
    "mac": _matches(_MAC),
    "password": lambda text: True,  # noqa: ARG005 - any text, but nothing else
    "rgbcolor": _matches(re.compile(r"rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)", re.ASCII)),
    "ssn": _matches(_SSN),
    "uri": _is_uri,
    "uuid": _is_uuid(),
    "uuid3": _is_uuid(3),
    "uuid4": _is_uuid(4),
    "uuid5": _is_uuid(5),
}

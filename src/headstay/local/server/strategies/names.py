"""The formats of names, keys and numbers, and what Kubernetes says of a value that does not have one.

Every function returns the complaints about its value: none, when it is fine.
"""

import re
from typing import Any, NamedTuple

from headstay.local.server.strategies import causes
from headstay.model.errors import Cause


class _Format(NamedTuple):
    pattern: str
    message: str
    examples: tuple[str, ...]
    longest: int

    def complaints(self, value: str) -> list[str]:
        found = []
        if len(value) > self.longest:
            found.append(f"must be no more than {self.longest} characters")
        if re.fullmatch(self.pattern, value) is None:
            given = " or ".join(f"'{example}', " for example in self.examples)
            found.append(f"{self.message} (e.g. {given}regex used for validation is '{self.pattern}')")
        return found


_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_DNS_LABEL = _Format(
    _LABEL,
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character",
    ("my-name", "123-abc"),
    63,
)
_DNS_SUBDOMAIN = _Format(
    rf"{_LABEL}(\.{_LABEL})*",
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character",
    ("example.com",),
    253,
)
_DNS_1035_LABEL = _Format(
    "[a-z]([-a-z0-9]*[a-z0-9])?",
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character",
    ("my-name", "abc-123"),
    63,
)
_QUALIFIED_NAME = _Format(
    _NAME,
    "name part must consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character",
    ("MyName", "my.name", "123-abc"),
    63,
)
_LABEL_VALUE = _Format(
    f"({_NAME})?",
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character",
    ("MyValue", "my_value", "12345"),
    63,
)
_CONFIG_KEY = _Format(
    "[-._a-zA-Z0-9]+",
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    ("key.name", "KEY_NAME", "key-name"),
    253,
)


def dns_label(value: str) -> list[str]:
    return _DNS_LABEL.complaints(value)


def dns_subdomain(value: str) -> list[str]:
    return _DNS_SUBDOMAIN.complaints(value)


def dns_1035_label(value: str) -> list[str]:
    return _DNS_1035_LABEL.complaints(value)


def label_value(value: str) -> list[str]:
    return _LABEL_VALUE.complaints(value)


def qualified_name(value: str) -> list[str]:
    prefix, slash, name = value.rpartition("/")
    found = []
    if slash and not prefix:
        found.append("prefix part must be non-empty")
    elif "/" in prefix:
        whole = (
            "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
            "an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
            f"'{_NAME}') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        )
        return [whole]
    elif prefix:
        found += [f"prefix part {complaint}" for complaint in dns_subdomain(prefix)]
    if not name:
        return [*found, "name part must be non-empty", *_QUALIFIED_NAME.complaints(name)]
    if len(name) > _QUALIFIED_NAME.longest:
        found.append(f"name part must be no more than {_QUALIFIED_NAME.longest} characters")
    return found + [c for c in _QUALIFIED_NAME.complaints(name) if c.startswith("name part")]


def config_key(value: str) -> list[str]:
    found = _CONFIG_KEY.complaints(value)
    if value == ".":
        found.append("must not be '.'")
    elif value == "..":
        found.append("must not be '..'")
    elif value.startswith(".."):
        found.append("must not start with '..'")
    return found


def env_name(value: str) -> list[str]:
    if value and all(" " <= character <= "~" and character != "=" for character in value):
        return []
    return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]


def port_name(value: str) -> list[str]:
    """An IANA service name, as container ports have."""
    found = []
    if len(value) > 15:
        found.append("must be no more than 15 characters")
    if re.fullmatch("[-a-z0-9]+", value) is None:
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if re.search("[a-z]", value) is None:
        found.append("must contain at least one letter (a-z)")
    if "--" in value:
        found.append("must not contain consecutive hyphens")
    if value[:1] == "-" or value[-1:] == "-":
        found.append("must not begin or end with a hyphen")
    return found


def port_number(value: int) -> list[str]:
    return [] if 1 <= value <= 65535 else ["must be between 1 and 65535, inclusive"]


def port(value: Any) -> list[str]:
    """A port by number or by name."""
    return port_name(value) if isinstance(value, str) else port_number(value)


def not_negative(path: str, value: int | None) -> list[Cause]:
    if value is None or value >= 0:
        return []
    return [causes.invalid(path, value, "must be greater than or equal to 0")]


def check_labels(path: str, labels: dict[str, str] | None) -> list[Cause]:
    found = []
    for key, value in (labels or {}).items():
        found += [causes.invalid(path, key, complaint) for complaint in qualified_name(key)]
        found += [causes.invalid(path, value, complaint) for complaint in label_value(value)]
    return found

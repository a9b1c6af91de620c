"""Label selectors (text and structured form) and field selectors, as the API understands them.

Sources: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ and .../field-selectors/
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

_TOKEN = re.compile(
    r"\s*(?:(?P<not>!)\s*(?P<absent>[^\s,=!()]+)"
    r"|(?P<key>[^\s,=!()]+)\s*(?:(?P<op>==|=|!=)\s*(?P<value>[^\s,=!()]*)"
    r"|\s(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?:,|$)"
)


class Requirement(NamedTuple):
    """`operator` is one of In, NotIn, Exists, DoesNotExist."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels
            case "In":
                return self.key in labels and labels[self.key] in self.values
            case _:
                return labels.get(self.key) not in self.values


class Selector(tuple[Requirement, ...]):
    """All requirements must hold; the empty selector matches everything."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self)


def parse_label_selector(text: str) -> Selector:
    """`a=b,c!=d,e in (f,g),h,!i`. Raises ValueError naming the part that cannot be read."""
    requirements: list[Requirement] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.end() == position:
            raise ValueError(f"unable to parse requirement: {text[position:]!r}")
        position = match.end()
        if match["absent"]:
            requirements.append(Requirement(match["absent"], "DoesNotExist"))
        elif match["op"]:
            operator = "NotIn" if match["op"] == "!=" else "In"
            requirements.append(Requirement(match["key"], operator, frozenset({match["value"]})))
        elif match["set"]:
            values = frozenset(value.strip() for value in match["values"].split(","))
            requirements.append(Requirement(match["key"], "In" if match["set"] == "in" else "NotIn", values))
        else:
            requirements.append(Requirement(match["key"], "Exists"))
    return Selector(requirements)


def structured_selector(selector: Mapping[str, Any]) -> Selector:
    """A LabelSelector document (`matchLabels`, `matchExpressions`). Raises ValueError on an unknown operator."""
    requirements = [
        Requirement(key, "In", frozenset({value})) for key, value in (selector.get("matchLabels") or {}).items()
    ]
    for expression in selector.get("matchExpressions") or []:
        operator = expression["operator"]
        if operator not in {"In", "NotIn", "Exists", "DoesNotExist"}:
            raise ValueError(f"{operator!r} is not a valid label selector operator")
        requirements.append(Requirement(expression["key"], operator, frozenset(expression.get("values") or [])))
    return Selector(requirements)


class FieldRequirement(NamedTuple):
    path: str
    value: str
    equal: bool = True


def parse_field_selector(text: str) -> tuple[FieldRequirement, ...]:
    """`metadata.name=x,status.phase!=Running`. Raises ValueError naming the part that cannot be read."""
    found: list[FieldRequirement] = []
    for part in filter(None, text.split(",")):
        match = re.match(r"^\s*([^=!\s]+)\s*(==|=|!=)\s*(.*?)\s*$", part)
        if match is None:
            raise ValueError(f"invalid selector: {part!r}; can't understand it")
        found.append(FieldRequirement(match[1], match[3], match[2] != "!="))
    return tuple(found)

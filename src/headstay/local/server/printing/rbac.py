"""Roles and bindings, and kinds that show when they were made in place of their age."""

from datetime import datetime
from typing import Any

from headstay.local.server.printing.table import AGE, NAME, Column, Printer
from headstay.local.server.printing.text import created, name, string
from headstay.model.objects import Obj


def _created_at(obj: Obj, now: datetime) -> list[Any]:  # noqa: ARG001 - a printer is given the time
    return [name(obj), string(obj, "metadata", "creationTimestamp")]


def _subjects(obj: Obj, kind: str) -> str:
    found = []
    for subject in obj.get("subjects") or []:
        if subject.get("kind") == kind:
            namespaced = kind == "ServiceAccount"
            text = subject.get("name", "")
            found.append(f"{subject.get('namespace', '')}/{text}" if namespaced else text)
    return ", ".join(found)


def _binding(obj: Obj, now: datetime) -> list[Any]:
    role = f"{string(obj, 'roleRef', 'kind')}/{string(obj, 'roleRef', 'name')}"
    kinds = ("User", "Group", "ServiceAccount")
    return [name(obj), role, created(obj, now), *(_subjects(obj, kind) for kind in kinds)]


CREATED_AT = Printer((NAME, Column("Created At", "date")), _created_at)
BINDING = Printer(
    (
        NAME,
        Column("Role"),
        AGE,
        Column("Users", priority=1),
        Column("Groups", priority=1),
        Column("ServiceAccounts", priority=1),
    ),
    _binding,
)

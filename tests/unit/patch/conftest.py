"""The schemas that patches are tested on: the server's own, of real kinds, and of CRDs written out in a test."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from headstay.local.server.schema.kinds import KindSchemas
from headstay.local.server.seams import Schema

_SCHEMAS = KindSchemas()


@cache
def schema_of(name: str) -> Schema:
    group, version, kind = name.split(".")
    found = _SCHEMAS.of("" if group == "core" else group, version, kind)
    assert found is not None
    return found


@pytest.fixture(scope="session")
def kind() -> Callable[[str], Schema]:
    """`kind("core.v1.Pod")`: the schema of a built-in kind."""
    return schema_of


@pytest.fixture(scope="session")
def inline() -> Callable[[dict[str, Any]], Schema]:
    """The schema of a CRD version with this `openAPIV3Schema`."""
    return _SCHEMAS.structural.root

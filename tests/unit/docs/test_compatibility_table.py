"""Each rule of the contract has an answer, and each answer is true."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[3] / "docs"

# The sections of KubeRay's behaviour that concern RayClusters; 1.4 to 1.6 are the other kinds, a group each.
SECTIONS = [
    *("0", "1", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6"),
    *("2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "2.7", "2.8", "2.9", "2.10", "2.11", "2.12"),
    *("3", "4", "4.1", "4.2", "4.3", "4.4", "4.5"),
    *("5", "5.1", "5.2", "5.3", "5.4", "5.5", "5.6"),
    *("6.1", "6.2", "6.3", "6.4", "6.5", "6.6", "9"),
]


@pytest.fixture(scope="module")
def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_compatibility", DOCS / "compatibility.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_section_is_there_in_order_and_says_something(table: ModuleType) -> None:
    assert [section.section for section in table.sections()] == SECTIONS
    assert [section.section for section in table.sections() if not section.rules] == []


def test_every_rule_has_an_answer(table: ModuleType) -> None:
    unanswered = [rule.id for section in table.sections() for rule in section.rules if not rule.verdict]
    assert unanswered == [], "give each tests, differs or not_yet"


def test_no_rule_has_two_verdicts(table: ModuleType) -> None:
    rules = [rule for section in table.sections() for rule in section.rules]
    assert [rule.id for rule in rules if rule.differs and rule.not_yet] == []


def test_ids_are_given_once(table: ModuleType) -> None:
    ids = Counter(rule.id for section in table.sections() for rule in section.rules)
    assert [name for name, count in ids.items() if count > 1] == []


def test_every_named_test_exists(table: ModuleType) -> None:
    known = table.known_tests()
    assert "tests/unit/docs/test_compatibility_table.py::test_every_named_test_exists" in known
    missing = [
        f"{rule.id}: {node}"
        for section in table.sections()
        for rule in section.rules
        for node in rule.tests
        if node not in known
    ]
    assert missing == [], "correct docs/compatibility.yaml and run python docs/compatibility.py"


def test_the_page_is_what_the_table_says(table: ModuleType) -> None:
    assert table.PAGE.read_text() == table.page(), "run python docs/compatibility.py"

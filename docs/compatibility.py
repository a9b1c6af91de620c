"""Writes `compatibility.md` from `compatibility.yaml`: `python docs/compatibility.py`.

The table says of each rule of KubeRay 1.7 that concerns RayClusters what proves that Headstay keeps it, or why it does
not. A unit test fails where an answer is missing, a named test does not exist, or the page is stale.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import yaml

HERE = Path(__file__).parent
ROOT = HERE.parent
SOURCE = HERE / "compatibility.yaml"
PAGE = HERE / "compatibility.md"


class NotYet(msgspec.Struct, forbid_unknown_fields=True):
    """A feature that is not built, and how a user who asks for it learns so."""

    feature: str
    answered: str


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    rule: str
    tests: list[str] = []
    differs: str = ""
    not_yet: NotYet | None = None

    @property
    def verdict(self) -> str:
        if self.not_yet is not None:
            return "not yet"
        if self.differs:
            return "differs"
        return "kept" if self.tests else ""


class Section(msgspec.Struct, forbid_unknown_fields=True):
    section: str
    title: str
    rules: list[Rule]


def sections() -> list[Section]:
    return msgspec.convert(yaml.safe_load(SOURCE.read_text()), list[Section])


def known_tests(root: Path = ROOT) -> set[str]:
    """The node ids of all test functions, read from their files and never run."""
    return {node for path in sorted((root / "tests").rglob("test_*.py")) for node in _nodes(path, root)}


def _nodes(path: Path, root: Path) -> Iterator[str]:
    file = path.relative_to(root).as_posix()
    for entry in ast.parse(path.read_text()).body:
        if isinstance(entry, ast.FunctionDef | ast.AsyncFunctionDef) and entry.name.startswith("test_"):
            yield f"{file}::{entry.name}"


def page() -> str:
    found = sections()
    verdicts = Counter(rule.verdict for section in found for rule in section.rules)
    about = (
        "Every rule of KubeRay 1.7 that concerns RayClusters, and the test that proves that Headstay keeps it, or the "
        "reason why it does not."
    )
    summary = (
        f"Of {sum(verdicts.values())} rules, {verdicts['kept']} are kept, {verdicts['differs']} differ on purpose, "
        f"and {verdicts['not yet']} belong to features that are not built yet."
    )
    written = "<!-- Written by docs/compatibility.py from docs/compatibility.yaml; do not edit. -->"
    lines = ["# Compatibility with KubeRay 1.7", "", written, "", about, "", summary, ""]
    lines += ["| section | about | kept | differ | not yet |", "| --- | --- | ---: | ---: | ---: |"]
    for section in found:
        counts = Counter(rule.verdict for rule in section.rules)
        row = (section.section, section.title, counts["kept"], counts["differs"], counts["not yet"])
        lines.append(f"| {' | '.join(map(str, row))} |")
    for section in found:
        lines += ["", f"## {section.section} {section.title}", ""]
        lines += ["| rule | what it says | answer |", "| --- | --- | --- |"]
        lines += [f"| {rule.id} | {_cell(rule.rule)} | {_answer(rule)} |" for rule in section.rules]
    return "\n".join(lines) + "\n"


def _answer(rule: Rule) -> str:
    parts = []
    if rule.not_yet is not None:
        parts.append(f"**Not yet** ({_cell(rule.not_yet.feature)}): {_cell(rule.not_yet.answered)}")
    if rule.differs:
        parts.append(f"**Differs**: {_cell(rule.differs)}")
    parts += [f"[{node.rpartition('::')[2]}](../{node.partition('::')[0]})" for node in rule.tests]
    return "<br>".join(parts)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())

"""Keeps the generated parts of docs/local-kubernetes.md: the kinds that are served, and the listed differences.

`python -m tests.conformance.page` rewrites them between their markers; a unit test says when that is due.
"""

from collections import Counter
from itertools import groupby
from pathlib import Path

from tests.conformance.transcript import HERE, load_entries

from headstay.local.server.builtin import builtin_kinds

PAGE = HERE.parents[1] / "docs" / "local-kubernetes.md"


def with_generated_parts(text: str) -> str:
    for name, content in (("kinds", kinds_table()), ("differences", differences_table())):
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        if not rest or not after:
            raise ValueError(f"{PAGE}: no markers around the {name}")
        text = f"{before}{begin}{content}{end}{after}"
    return text


def kinds_table() -> str:
    served = sorted((kind.resource.api_version, kind.resource.plural) for kind in builtin_kinds({}))
    lines = ["| group and version | resources |", "| --- | --- |"]
    for version, group in groupby(served, key=lambda pair: pair[0]):
        lines.append(f"| {version} | {', '.join(plural for _, plural in group)} |")
    return "\n".join(lines) + "\n"


def differences_table() -> str:
    entries = load_entries()
    counts = Counter(entry["class"] for entry in entries)
    totals = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    lines = [f"{len(entries)} entries: {totals}.", "", "| class | where | what and why |", "| --- | --- | --- |"]
    for entry in sorted(entries, key=lambda entry: (entry["class"], entry.get("transcript", ""))):
        why = " ".join(entry["why"].split()).replace("|", "\\|")
        lines.append(f"| {entry['class']} | {entry.get('transcript', 'everywhere')} | {why} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    path = Path(PAGE)
    path.write_text(with_generated_parts(path.read_text()))


if __name__ == "__main__":
    main()

"""A campaign as files: `report.json` for programs, `report.html` for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from headstay.drill.history import Run
from headstay.drill.reading import Reading
from headstay.drill.report.document import SCHEMA, About, Report, document
from headstay.drill.report.page import page

__all__ = ["SCHEMA", "About", "Report", "ReportFiles", "document", "write_report"]


@dataclass(frozen=True)
class ReportFiles:
    json: Path
    html: Path


def write_report(folder: Path, runs: Sequence[Run], about: About) -> ReportFiles:
    """Valid for any number of runs, none included. Each file is there whole or as it was before."""
    readings = [Reading(run) for run in runs]
    report = document(readings, about)
    files = ReportFiles(folder / "report.json", folder / "report.html")
    folder.mkdir(parents=True, exist_ok=True)
    _write(files.json, msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    _write(files.html, page(report, readings).encode())
    return files


def _write(path: Path, content: bytes) -> None:
    beside = path.with_suffix(f"{path.suffix}.new")
    beside.write_bytes(content)
    beside.replace(path)

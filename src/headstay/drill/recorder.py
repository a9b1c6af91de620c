"""Writes a run down while it happens: each record is a line on disk before anybody judges it.

    FOLDER/history/0001-gcs-kill.jsonl     the records of run 1
    FOLDER/runs.jsonl                      one line for each run that ended: all about it but its records

A drill that is killed leaves both as they are; a line that was cut short is passed over by whoever reads.
"""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from headstay.drill.history import Call, Record, Run, from_lines, to_lines
from headstay.drill.schedule import Planned

_ENCODER = msgspec.json.Encoder()
_OF_A_FILE = str.maketrans(dict.fromkeys("+:/ ", "-"))


class Recorder:
    """Of one run. `close` ends it and gives what is judged."""

    def __init__(self, folder: Path, planned: Planned, began: float) -> None:
        self._planned = planned
        self._began = began
        self._folder = folder
        self._records: list[Record] = []
        self._listeners: list[Callable[[Record], None]] = []
        history = folder / "history"
        history.mkdir(parents=True, exist_ok=True)
        name = f"{planned.number:04}-{planned.fault.translate(_OF_A_FILE)}.jsonl"
        self._file: BinaryIO = (history / name).open("wb", buffering=0)

    def listen(self, listener: Callable[[Record], None]) -> None:
        self._listeners.append(listener)

    def write(self, record: Record) -> None:
        """After `close` nothing is written: a late answer belongs to no run."""
        if self._file.closed:
            return
        for line in to_lines([record]):
            self._file.write(line)
        self._records.append(record)
        for listener in self._listeners:
            listener(record)

    def calls(self, operation: str) -> list[Call]:
        return [record for record in self._records if isinstance(record, Call) and record.operation == operation]

    def records(self) -> list[Record]:
        return list(self._records)

    def close(self, ended: float, ended_early: str = "") -> Run:
        self._file.close()
        planned = self._planned
        run = Run(
            number=planned.number,
            fault=planned.fault,
            recovery="InPlace" if planned.recovery == "InPlace" else "RestartHead",
            seed=planned.seed,
            began=self._began,
            ended=ended,
            records=tuple(self._records),
            ended_early=ended_early,
            rate=planned.rate,
        )
        about = {key: value for key, value in msgspec.to_builtins(run).items() if key != "records"}
        with (self._folder / "runs.jsonl").open("ab") as file:
            file.write(_ENCODER.encode(about) + b"\n")
        return run


def read_runs(folder: Path) -> list[Run]:
    """What `Recorder` wrote. Raises msgspec.ValidationError or OSError for what it did not."""
    found = []
    for line in (folder / "runs.jsonl").read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            continue
        about = msgspec.json.decode(line)
        file = next((folder / "history").glob(f"{about['number']:04}-*.jsonl"))
        with file.open("rb") as lines:
            found.append(msgspec.convert({**about, "records": ()}, Run))
            found[-1] = msgspec.structs.replace(found[-1], records=tuple(from_lines(lines)))
    return found

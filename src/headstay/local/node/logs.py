"""Container logs as conmon writes them: `<time> <stream> F|P <text>`, one file an attempt.

P is a piece of a line that goes on; its text is joined to what follows. Following survives rotation: a file that has
been replaced is read to its end, then its successor from the beginning.
"""

import asyncio
import os
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

from headstay.model import timestamps

_POLL_SECONDS = 0.15
_READ = 1 << 16


class Line(NamedTuple):
    time: bytes
    text: bytes
    ends: bool


class Selection(NamedTuple):
    """What of a log is wanted. `tail` is a number of lines from the end."""

    tail: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit: int | None = None


def parse_line(raw: bytes) -> Line:
    parts = raw.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 4:
        return Line(b"", raw.rstrip(b"\n"), True)
    return Line(parts[0], parts[3], parts[2] != b"P")


class Renderer:
    """Turns raw lines into what kubectl prints, within the selection's bounds."""

    def __init__(self, wanted: Selection) -> None:
        self._wanted = wanted
        self._left = wanted.limit
        self._fresh = True

    @property
    def full(self) -> bool:
        return self._left is not None and self._left <= 0

    def render(self, raw: bytes) -> bytes:
        line = parse_line(raw)
        if self._wanted.since is not None and line.time and _moment(line.time) < self._wanted.since:
            return b""
        prefix = line.time + b" " if self._wanted.timestamps and self._fresh else b""
        self._fresh = line.ends
        text = prefix + line.text + (b"\n" if line.ends else b"")
        if self._left is not None:
            text = text[: self._left]
            self._left -= len(text)
        return text


def _moment(text: bytes) -> datetime:
    return timestamps.parse(re.sub(r"(\.\d{6})\d+", r"\1", text.decode()))


def tail_offset(file: BinaryIO, lines: int) -> int:
    """Where the last `lines` lines begin; the pieces of a long line count as one."""
    starts: deque[int] = deque(maxlen=max(lines, 0))
    position, fresh = 0, True
    file.seek(0)
    for raw in file:
        if fresh:
            starts.append(position)
        fresh = parse_line(raw).ends
        position += len(raw)
    return starts[0] if starts and lines > 0 else position


def read(path: Path, wanted: Selection) -> Iterator[bytes]:
    """What the file holds now."""
    renderer = Renderer(wanted)
    with path.open("rb") as file:
        if wanted.tail is not None:
            file.seek(tail_offset(file, wanted.tail))
        else:
            file.seek(0)
        for raw in file:
            yield renderer.render(raw)
            if renderer.full:
                return


async def follow(path: Path, wanted: Selection, ended: Callable[[], bool]) -> AsyncIterator[bytes]:
    """What the file holds, and what comes, until `ended` says that its container has ended and all has been read."""
    renderer = Renderer(wanted)
    file = path.open("rb")
    try:
        if wanted.tail is not None:
            file.seek(tail_offset(file, wanted.tail))
        rest = b""
        while not renderer.full:
            # Both are asked before reading: what was written before is then read below.
            over, replaced = ended(), _replaced(file, path)
            block = file.read(_READ)
            if block:
                lines = (rest + block).split(b"\n")
                rest = lines.pop()
                if text := b"".join(renderer.render(line) for line in lines):
                    yield text
                continue
            if replaced:
                file.close()
                file, rest = path.open("rb"), b""
                continue
            if over:
                return
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        file.close()


def _replaced(file: BinaryIO, path: Path) -> bool:
    try:
        now = path.stat()
    except FileNotFoundError:
        return False
    return now.st_ino != os.fstat(file.fileno()).st_ino

"""Keeps Ray's dashboard from hammering at the door of a GCS that is away.

Parts of it ask again and again without a pause, more than a processor each, and so keep the next GCS from starting
where processors are few (14 s instead of 0.2 s were seen on two busy ones), or use up what the head's container may
have. So all of the dashboard stands back before a GCS starts; and where there is none for longer, the parts that do it
are stopped until there is one. They have nothing to tell meanwhile, and when they go on, their next attempt is due at
once. Who is stopped here cannot be forgotten: this process is the GCS to Ray, and when it ends, so does the head.
"""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

from .log import tell

_MAIN = b"ray/dashboard/dashboard.py"
_LOOK_EVERY = 1.0
_HAMMERING = 0.25
"""Of a processor. The busiest part of a dashboard whose GCS serves takes less than a tenth of one."""
NICENESS = 10
_STARTING = 60.0


class Dashboard:
    """The one among the descendants of `root`.

    A part that is younger than `starting` seconds is at work on its own start: stopped, it would fail its parent, and
    that the head.
    """

    def __init__(self, root: int, starting: float = _STARTING) -> None:
        self._root = root
        self._starting = starting
        self._looked: Optional[Tuple[float, Dict[int, float]]] = None
        self._stopped: List[int] = []

    def stand_back(self) -> None:
        """Lowers the priority of all its threads.

        For good, since nobody but root may raise it again. They are Ray's helpers, and have what is free.
        """
        for main, parts in self._found():
            for member in (main, *parts):
                _lower(member)

    def rest(self) -> None:
        """To be called again and again while there is no GCS. The main process is left alone: others watch over it."""
        now = time.monotonic()
        if self._looked is not None and now - self._looked[0] < _LOOK_EVERY:
            return
        before, self._looked = self._looked, (now, self._used())
        if before is None:
            return
        for part, used in self._looked[1].items():
            if used - before[1].get(part, used) > _HAMMERING * (now - before[0]) and part not in self._stopped:
                with suppress(OSError):
                    os.kill(part, signal.SIGSTOP)
                    self._stopped.append(part)
                    tell(f"{_name(part)} asks for the GCS without a pause: stopped until there is one")

    def go_on(self) -> None:
        """There is a GCS, or soon no head."""
        for part in self._stopped:
            with suppress(OSError):
                os.kill(part, signal.SIGCONT)
        self._stopped, self._looked = [], None

    def _used(self) -> Dict[int, float]:
        """Seconds of processor time of each part that has started."""
        found, second = {}, os.sysconf("SC_CLK_TCK")
        born_before = (time.clock_gettime(time.CLOCK_BOOTTIME) - self._starting) * second
        for _, parts in self._found():
            for part in parts:
                with suppress(OSError, ValueError, IndexError):
                    stat = _stat(part)
                    if int(stat[19]) <= born_before:
                        found[part] = (int(stat[11]) + int(stat[12])) / second
        return found

    def _found(self) -> Iterator[Tuple[int, List[int]]]:
        children = _children()
        for process in _descendants(self._root, children):
            if _MAIN in _command(process):
                yield process, list(_descendants(process, children))


def _children() -> Dict[int, List[int]]:
    found: Dict[int, List[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                found.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    return found


def _stat(process: int) -> List[str]:
    """The fields after the name, which may hold anything: the state, the parent, ..."""
    return Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()


def _descendants(root: int, children: Dict[int, List[int]]) -> Iterator[int]:
    for child in children.get(root, []):
        yield child
        yield from _descendants(child, children)


def _command(process: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def _name(process: int) -> str:
    return _command(process).split(b"\0")[0].split(b" ")[0].decode(errors="replace") or f"process {process}"


def _lower(process: int) -> None:
    """Linux knows priorities of threads, and a new thread has that of the one that made it."""
    with suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            with suppress(OSError):
                if os.getpriority(os.PRIO_PROCESS, int(thread.name)) < NICENESS:
                    os.setpriority(os.PRIO_PROCESS, int(thread.name), NICENESS)

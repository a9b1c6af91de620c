"""Who stands back while a GCS starts.

Parts of Ray's dashboard ask a GCS that is away again and again without a pause, a processor each, and so keep the next
one from starting where processors are few (14 s instead of 0.2 s were seen on two busy ones).
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Dict, Iterator, List

_DASHBOARD = b"ray/dashboard/dashboard.py"
NICENESS = 10


def put_dashboard_behind(root: int) -> None:
    """Lowers the priority of all threads of the dashboard among the descendants of `root`, and of its children.

    For good, since nobody but root may raise it again. They are Ray's helpers, and a processor that is free is theirs.
    """
    children = _children()
    for process in _descendants(root, children):
        if _DASHBOARD in _command(process):
            for member in (process, *_descendants(process, children)):
                _lower(member)


def _children() -> Dict[int, List[int]]:
    found: Dict[int, List[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                found.setdefault(parent, []).append(int(entry.name))
    return found


def _descendants(root: int, children: Dict[int, List[int]]) -> Iterator[int]:
    for child in children.get(root, []):
        yield child
        yield from _descendants(child, children)


def _command(process: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def _lower(process: int) -> None:
    """Linux knows priorities of threads, and a new thread has that of the one that made it."""
    with suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            with suppress(OSError):
                if os.getpriority(os.PRIO_PROCESS, int(thread.name)) < NICENESS:
                    os.setpriority(os.PRIO_PROCESS, int(thread.name), NICENESS)

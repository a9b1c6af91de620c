"""Logs of running containers are kept small: at 10 MiB a file gives way to a new one, and one old one is kept.

conmon goes on writing to the file it has open until it is told, through its control pipe, to open it again.
"""

import os
from pathlib import Path

MOST_BYTES = 10 << 20
CHECK_SECONDS = 10.0
_REOPEN = b"2 0 0\n"


def is_due(path: Path, most: int = MOST_BYTES) -> bool:
    try:
        return path.stat().st_size > most
    except FileNotFoundError:
        return False


def rotate(path: Path, control: Path) -> None:
    """Moves the log aside and has conmon begin a new one. A conmon that has just ended needs none."""
    try:
        pipe = os.open(control, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        path.replace(path.with_name(f"{path.name}.1"))
        os.write(pipe, _REOPEN)
    finally:
        os.close(pipe)

"""The CPythons of this machine, wherever they came from: the system's, pyenv's, uv's, or on PATH."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from headstay.local.node import command

_ASK = (
    "import sys,json;"
    "print(json.dumps([sys.implementation.name,sys.version_info[0],sys.version_info[1],sys.version_info[2],"
    "sys.base_prefix,sys.executable]))"
)
_SECONDS = 20.0


class Python(NamedTuple):
    version: tuple[int, int]
    patch: int
    executable: Path
    prefix: Path

    @property
    def dotted(self) -> str:
        return f"{self.version[0]}.{self.version[1]}"


def parse_version(text: str) -> tuple[int, int] | None:
    """`310`, `3.10` and `3.10.4` are (3, 10). None where the text is no Python version."""
    if found := re.fullmatch(r"(\d)(?:\.(\d+)(?:\.\d+)?|(\d+))", text):
        return int(found[1]), int(found[2] or found[3])
    return None


def candidates(home: Path, path: str) -> Iterator[Path]:
    """Executables worth asking, our own first. pyenv's shims are skipped: they are scripts that may refuse."""
    yield Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    folders = [*home.glob(".pyenv/versions/*/bin"), *home.glob(".local/share/uv/python/*/bin")]
    folders += [Path(folder) for folder in (*path.split(":"), "/usr/local/bin", "/usr/bin") if folder]
    for folder in folders:
        if folder.name != "shims":
            yield from sorted(found for found in folder.glob("python3.*") if re.fullmatch(r"python3\.\d+", found.name))


async def find() -> list[Python]:
    """One of each minor version (its newest), newest version first."""
    asked: dict[Path, Python] = {}
    for candidate in candidates(Path.home(), os.environ.get("PATH", "")):
        if candidate.exists() and (real := candidate.resolve()) not in asked and (known := await _ask(real)):
            asked[real] = known
    best: dict[tuple[int, int], Python] = {}
    for python in asked.values():
        if python.version not in best or best[python.version].patch < python.patch:
            best[python.version] = python
    return sorted(best.values(), key=lambda python: python.version, reverse=True)


async def _ask(executable: Path) -> Python | None:
    try:
        done = await command.run([str(executable), "-I", "-c", _ASK], timeout=_SECONDS)
    except (OSError, command.CommandTimeoutError):
        return None
    if done.code != 0:
        return None
    name, major, minor, patch, prefix, _ = json.loads(done.stdout)
    return Python((major, minor), patch, executable, Path(prefix)) if name == "cpython" else None

"""A directory of files that a running container sees change all at once, never half-way.

    volume/file -> ..data/file          volume/..data -> ..2026_01_02.1/          volume/..2026_01_02.1/file
One rename of `..data` is the change. The same layout as the kubelet's, which programs know to watch.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_DATA = "..data"


class File(NamedTuple):
    content: bytes
    mode: int


def write(directory: Path, files: Mapping[str, File], *, group: int | None = None) -> bool:
    """Makes `directory` hold exactly `files` (relative paths); False where it does already."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    current = directory / _DATA
    if current.exists() and _read(current) == {path: (file.content, file.mode) for path, file in files.items()}:
        return False
    fresh = _fill(directory, files, group)
    temporary = directory / f"{_DATA}_tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(fresh.name)
    temporary.replace(current)
    _link(directory, {PurePosixPath(path).parts[0] for path in files})
    for old in directory.glob("..[0-9]*"):
        if old.name != fresh.name:
            shutil.rmtree(old)
    return True


def _fill(directory: Path, files: Mapping[str, File], group: int | None) -> Path:
    number = 1 + max((int(old.name[2:]) for old in directory.glob("..[0-9]*")), default=0)
    fresh = directory / f"..{number}"
    fresh.mkdir(mode=0o755)
    for path, file in files.items():
        if ".." in PurePosixPath(path).parts or path.startswith("/"):
            raise ValueError(f"a file of a volume must lie inside it: {path}")
        target = fresh / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        if group is not None:
            os.chown(target, 0, group)
        target.chmod(file.mode)
    return fresh


def _link(directory: Path, names: set[str]) -> None:
    for name in names:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{name}")
    for entry in directory.iterdir():
        if entry.is_symlink() and entry.name != _DATA and entry.name not in names:
            entry.unlink()


def _read(current: Path) -> dict[str, tuple[bytes, int]]:
    root = current.resolve()
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode & 0o7777)
        for path in root.rglob("*")
        if path.is_file()
    }

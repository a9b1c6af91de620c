"""The control groups of Pods: v1 (and hybrid) and v2. Reading OOM kills, and removing what is left.

A kill by the kernel is only told by the group's own counter, and the runtime removes the group soon after the
container's end. So it is read at the very moment of the end, with an eventfd behind it on v1; on v2 the group above
the container's, which counts for those below it, outlives the container.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

OomVerdict = Literal["yes", "no", "maybe"]
ROOT = Path("/sys/fs/cgroup")
# As much as four busy processes for each core.
_SHARES_A_CORE = 4096
_SESSION = Path("/proc/self/autogroup")
_AS_HEAVY_AS_PODS = "-10"  # nine times the usual weight


def is_unified(root: Path = ROOT) -> bool:
    return (root / "cgroup.controllers").exists()


def hierarchies(root: Path = ROOT) -> list[Path]:
    """Where a group can have a directory: the one tree of v2, or each controller's of v1."""
    return [root] if is_unified(root) else sorted(path for path in root.iterdir() if path.is_dir())


def memory_group(pid: int, root: Path = ROOT) -> Path | None:
    """The directory of the memory group a process is in; None when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if is_unified(root) and controllers == "":
            return root / path.lstrip("/")
        if "memory" in controllers.split(","):
            return root / "memory" / path.lstrip("/")
    return None


def oom_kills(group: Path) -> int:
    """How often the kernel killed in this group for memory. 0 when the group is gone."""
    for name in ("memory.events", "memory.oom_control"):
        try:
            lines = (group / name).read_text().splitlines()
        except OSError:
            continue
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
    return 0


class OomWatch:
    """Knows whether the kernel killed in a container's group since this watch began."""

    def __init__(self, pid: int, root: Path = ROOT) -> None:
        group = memory_group(pid, root)
        self._group = group.parent if group and is_unified(root) else group
        self._before = oom_kills(self._group) if self._group else 0
        self._event = self._subscribe() if self._group and not is_unified(root) else -1

    def _subscribe(self) -> int:
        event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            control = os.open(f"{self._group}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
            try:
                Path(f"{self._group}/cgroup.event_control").write_text(f"{event} {control}")
            finally:
                os.close(control)
        except OSError:
            os.close(event)
            return -1
        return event

    def verdict(self) -> OomVerdict:
        """To be asked at the container's end, before anything else is done.

        `maybe`: we came too late, the group is gone. Its eventfd has fired, but it also does when a group is removed;
        it was the kernel if the process was killed by a signal 9 that was not ours.
        """
        if self._group is None:
            return "no"
        if self._group.exists():
            return "yes" if oom_kills(self._group) > self._before else "no"
        return "maybe" if self._fired() else "no"

    def _fired(self) -> bool:
        if self._event < 0:
            return False
        try:
            return os.eventfd_read(self._event) > 0
        except BlockingIOError:
            return False

    def close(self) -> None:
        if self._event >= 0:
            os.close(self._event)
            self._event = -1


def weigh(parent: str, cores: float, root: Path = ROOT) -> None:
    """Gives all Pods together their share of a busy machine.

    On v1 the machine's other processes usually sit in the root group, where each of them weighs as much as a whole
    group below it: with the usual weight, all Pods together would get as much time as one shell. On v2 systemd has
    put the others into groups as well, and the usual weight is a fair one.
    """
    if is_unified(root):
        return
    group = root / "cpu" / parent.lstrip("/")
    group.mkdir(parents=True, exist_ok=True)
    (group / "cpu.shares").write_text(str(int(_SHARES_A_CORE * max(cores, 1))))


def keep_up(root: Path = ROOT, session: Path = _SESSION) -> None:
    """Lets this process, and what it starts outside of Pods, have its turn however busy they are.

    On v1 the kernel groups the root group's processes by their session, and one session weighs as much as one shell
    beside all Pods (`weigh`). API, DNS and probes then took seconds to answer, which made busy Pods fail.
    """
    if not is_unified(root):
        with suppress(OSError):  # a kernel without such groups, or a host that does not let us
            session.write_text(_AS_HEAVY_AS_PODS)


def remove(parent: str, root: Path = ROOT) -> list[str]:
    """Removes the group and all below it, in every hierarchy; returns what could not be (it has processes)."""
    left: list[str] = []
    for hierarchy in hierarchies(root):
        top = hierarchy / parent.lstrip("/")
        for directory in _deepest_first(top):
            try:
                directory.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                left.append(f"{directory}: {error.strerror}")
    return left


def processes(parent: str, root: Path = ROOT) -> set[int]:
    """Every process in the group or below it, in any hierarchy."""
    found: set[int] = set()
    for hierarchy in hierarchies(root):
        for directory in _deepest_first(hierarchy / parent.lstrip("/")):
            try:
                found |= {int(pid) for pid in (directory / "cgroup.procs").read_text().split()}
            except OSError:
                continue
    return found


def _deepest_first(top: Path) -> Iterator[Path]:
    if top.is_dir():
        for folder, _, _ in os.walk(top, topdown=False):
            yield Path(folder)

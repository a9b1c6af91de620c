"""What the node agent remembers of a Pod, in memory and in one small file a Pod.

The file is written after every change, so that a new daemon takes running Pods over with their restart counts and
back-off. What podman knows better (is it running? with which code did it end?) is asked of podman at start.
"""

from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

Phase = Literal["waiting", "running", "terminated"]
CHECKPOINT = "checkpoint.json"


class Termination(msgspec.Struct):
    exit_code: int
    reason: str
    finished_at: datetime
    started_at: datetime | None = None
    message: str = ""
    container_id: str = ""


class ContainerRecord(msgspec.Struct):
    """One container of a Pod over all its restarts. `reason` and `message` say why it waits."""

    name: str
    phase: Phase = "waiting"
    id: str = ""
    pid: int = 0
    restarts: int = 0
    image_id: str = ""
    started_at: datetime | None = None
    reason: str = ""
    message: str = ""
    termination: Termination | None = None
    last: Termination | None = None
    started: bool = False
    ready: bool = False
    oom_killed: bool = False
    backoff_seconds: float = 0
    backoff_set_at: datetime | None = None
    retry_at: datetime | None = None
    start_failures: int = 0
    ever_started: bool = False


class PodRecord(msgspec.Struct):
    """A Pod on this node. `outcome` is set once and ends it: (phase, reason, message)."""

    uid: str
    namespace: str
    name: str
    started_at: datetime | None = None
    address: str = ""
    sandbox_ready: bool = False
    outcome: tuple[str, str, str] | None = None
    refusal: str = ""
    containers: dict[str, ContainerRecord] = {}

    def container(self, name: str) -> ContainerRecord:
        return self.containers.setdefault(name, ContainerRecord(name))


class Checkpoints:
    """The directories `<state>/pods/<uid>`; each holds the Pod's checkpoint, logs and volumes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def directory(self, uid: str) -> Path:
        return self._directory / uid

    def load(self) -> list[PodRecord]:
        """Every Pod that was here, readable or not: an unreadable file gives a record that knows only the uid."""
        found: list[PodRecord] = []
        for directory in sorted(self._directory.glob("*")):
            try:
                found.append(msgspec.json.decode((directory / CHECKPOINT).read_bytes(), type=PodRecord))
            except (FileNotFoundError, msgspec.MsgspecError):
                found.append(PodRecord(directory.name, "", ""))
        return found

    def save(self, record: PodRecord) -> None:
        directory = self.directory(record.uid)
        directory.mkdir(parents=True, exist_ok=True, mode=0o711)
        temporary = directory / f".{CHECKPOINT}"
        temporary.write_bytes(msgspec.json.encode(record))
        temporary.replace(directory / CHECKPOINT)

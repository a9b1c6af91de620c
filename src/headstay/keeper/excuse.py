"""Time in which a GCS could not be expected to answer: a busy or starved one is slow, not silent."""

from pathlib import Path

_FILES = (
    ("/sys/fs/cgroup/cpu.stat", "throttled_usec", 1e6),
    ("/sys/fs/cgroup/cpu/cpu.stat", "throttled_time", 1e9),
    ("/sys/fs/cgroup/cpu,cpuacct/cpu.stat", "throttled_time", 1e9),
)


def excused_seconds(process: int) -> float:
    """A counter: how long our cgroup was throttled, and how long the main thread ran or waited for a CPU.

    That thread answers the calls. One that is stopped, or hangs in a lock, does neither.
    """
    return _throttled() + _ran_or_waited(process)


def _throttled() -> float:
    """0 where no cgroup of ours is to be seen."""
    for path, field, unit in _FILES:
        try:
            for line in Path(path).read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == field:
                    return int(value) / unit
        except (OSError, ValueError):
            continue
    return 0.0


def _ran_or_waited(process: int) -> float:
    try:
        ran, waited, _ = Path(f"/proc/{process}/schedstat").read_text().split()
        return (int(ran) + int(waited)) / 1e9
    except (OSError, ValueError):
        return 0.0

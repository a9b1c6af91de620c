"""The daemon as a process: start it detached, find it, stop it.

Who holds the lock on `<run_dir>/daemon.lock` is the daemon; the kernel lets go of it whatever way the process ends,
so a stale pid file can never be mistaken for a running daemon.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import IO, Any

from headstay.local.config import LocalConfig

LOCK = "daemon.lock"
REPORT = "daemon.json"


class DaemonError(Exception):
    """The daemon did not start or stop; the message says why and where its log is."""


def acquire_lock(config: LocalConfig) -> IO[str]:
    """Held for as long as the returned file is open. Raises DaemonError if another process holds it."""
    config.run_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    lock = (config.run_dir / LOCK).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise DaemonError("another headstay daemon is running here") from error
    lock.seek(0)
    lock.truncate()
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def running_pid(config: LocalConfig) -> int | None:
    try:
        with (config.run_dir / LOCK).open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                text = lock.read().strip()
                return int(text) if text.isdigit() else None
            return None
    except FileNotFoundError:
        return None


def write_report(config: LocalConfig, report: dict[str, Any]) -> None:
    """What the daemon says of itself: `phase` (starting, ready, failed), `components`, `error`."""
    target = config.run_dir / REPORT
    temporary = target.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps({"pid": os.getpid(), **report}))
    temporary.replace(target)


def read_report(config: LocalConfig) -> dict[str, Any]:
    """The last report, {} where there is none."""
    try:
        found: dict[str, Any] = json.loads((config.run_dir / REPORT).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found


def start(
    config: LocalConfig, *, timeout: float, progress: Callable[[str], None], meanwhile: Callable[[], object]
) -> dict[str, Any]:
    """Starts the daemon if none runs, does `meanwhile`, and waits until it reports `ready`. Returns its report.

    Raises DaemonError when it fails, ends, or is not ready after `timeout` seconds (it is left running then, for a
    look at its log).
    """
    log_path = config.state_dir / "log" / "daemon.log"
    if running_pid(config) is None:
        log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (config.run_dir / REPORT).unlink(missing_ok=True)
        with log_path.open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "headstay.local"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
    else:
        child = None
    deadline = time.monotonic() + timeout
    meanwhile()
    while time.monotonic() < deadline:
        report = read_report(config)
        match report.get("phase"):
            case "ready":
                return report
            case "failed":
                raise DaemonError(f"{report.get('error', 'it gave no reason')} (log: {log_path})")
            case _:
                progress(", ".join(f"{name}: {state}" for name, state in report.get("components", {}).items()))
        if child is not None and child.poll() is not None:
            report = read_report(config)
            raise DaemonError(report.get("error") or f"it ended with code {child.returncode} (log: {log_path})")
        time.sleep(0.02)
    raise DaemonError(f"not ready after {timeout:.0f} s (log: {log_path})")


def stop(config: LocalConfig, *, timeout: float) -> bool:
    """Asks the daemon to end, and kills it after `timeout` seconds. False where none was running."""
    pid = running_pid(config)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while running_pid(config) is not None:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            deadline += 5
        time.sleep(0.02)
    return True

"""Stands in gcs_server's place: runs the real one, and starts it again when it is gone or silent.

Same arguments, same environment, same working directory, same log files: to the rest of the cluster it is the same
GCS after a short pause. This process ends only when it was told to, when the GCS was (exit code 0 after a signal to
us), or when it gives up; Ray's own `--block` then ends the head.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional

from . import redis
from .cgroup import throttled_seconds
from .probe import Endpoint, endpoint_of
from .verdict import Limits, Seen, Verdict, judge, pause

_TICK = 0.1
_CALL_EVERY = 1.0
_GRACE = 2.0
_PR_SET_PDEATHSIG = 1
GAVE_UP = 70


def tell(message: str) -> None:
    """One line in the container's log, where `kubectl logs` shows it, with the time."""
    line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} headstay-keeper: {message}\n"
    try:
        with Path(os.environ.get("HEADSTAY_KEEPER_LOG", "/dev/stderr")).open("a") as log:
            log.write(line)
    except OSError:
        sys.stderr.write(line)


class Revival(NamedTuple):
    """Why the GCS is being started again, and since when (monotonic seconds) none has served."""

    kind: str
    lost: float


class Watcher(threading.Thread):
    """Asks one incarnation again and again; a call that hangs must not keep the supervisor from seeing an exit."""

    def __init__(self, endpoint: Endpoint, wake: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._endpoint = endpoint
        self._wake = wake
        self._stop = threading.Event()
        self.answered: Optional[float] = None
        self.refused_since: Optional[float] = None

    def run(self) -> None:
        called = -_CALL_EVERY
        while not self._stop.is_set():
            now = time.monotonic()
            if self.answered is None or now - called >= _CALL_EVERY:
                called = now
                if self._endpoint.answers(timeout=_CALL_EVERY):
                    first, self.answered, self.refused_since = self.answered is None, time.monotonic(), None
                    if first:
                        self._wake()
                    self._stop.wait(_TICK)
                    continue
            if self._endpoint.accepts(timeout=_TICK):
                self.refused_since = None
            elif self.refused_since is None:
                self.refused_since = now
            else:
                self._wake()
            self._stop.wait(_TICK if self.answered else _TICK / 2)

    def stop(self) -> None:
        self._stop.set()


class Supervisor:
    def __init__(self, command: List[str], limits: Limits) -> None:
        self._command = command
        self._limits = limits
        self._endpoint = endpoint_of(command[1:])
        self._redis = redis.from_gcs_arguments(command[1:])
        self._process: Optional["subprocess.Popen[bytes]"] = None
        self._told: Optional[int] = None
        self._failures: List[float] = []
        self._libc = ctypes.CDLL(None)
        self._wake_read, self._wake_write = os.pipe()
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)

    def run(self) -> int:
        """The exit code of this process."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        lost_at = time.monotonic()
        last_served: Optional[float] = None
        revival: Optional[Revival] = None
        while True:
            process, watcher = self._start()
            began = time.monotonic()
            verdict, served = self._watch(process, watcher, began, revival)
            watcher.stop()
            if self._told is not None:
                return self._end(process)
            now = time.monotonic()
            if served is not None:
                last_served, lost_at = served, now
                self._failures = []
            else:
                self._failures = [at for at in self._failures if now - at < self._limits.window] + [now]
            tell(f"the GCS is {verdict.kind.lower()}: {verdict.why}")
            self._kill(process)
            if verdict.kind == "Late":
                return GAVE_UP
            revival = Revival(verdict.kind, lost_at)
            if not self._may_start_again(last_served):
                return GAVE_UP

    def _start(self) -> "tuple[subprocess.Popen[bytes], Watcher]":
        process = subprocess.Popen(self._command, preexec_fn=self._die_with_parent)  # noqa: PLW1509 no other way
        self._process = process
        watcher = Watcher(self._endpoint, self._nudge)
        watcher.start()
        return process, watcher

    def _watch(
        self, process: "subprocess.Popen[bytes]", watcher: Watcher, began: float, revival: Optional[Revival]
    ) -> "tuple[Verdict, Optional[float]]":
        """Until there is something to do. Returns the verdict and when it last served, if ever."""
        announced = revival is None
        throttled_at_answer = throttled_seconds()
        answered: Optional[float] = None
        while self._told is None:
            if watcher.answered != answered:
                answered, throttled_at_answer = watcher.answered, throttled_seconds()
            if revival is not None and not announced and watcher.answered is not None:
                announced = True
                self._announce(revival, watcher.answered)
            seen = Seen(
                began,
                process.poll(),
                watcher.answered,
                watcher.refused_since,
                max(0.0, throttled_seconds() - throttled_at_answer),
            )
            verdict = judge(seen, self._limits, time.monotonic())
            if verdict.kind != "Well":
                return verdict, watcher.answered
            self._sleep(1.0 if announced and watcher.answered and not watcher.refused_since else _TICK)
        return Verdict("Told"), watcher.answered

    def _announce(self, revival: Revival, served: float) -> None:
        tell(f"the GCS serves again, {served - revival.lost:.2f} s after it was found {revival.kind.lower()}")

    def _may_start_again(self, last_served: Optional[float]) -> bool:
        """Waits for its time and for Redis. False when the head had better restart."""
        if len(self._failures) >= self._limits.failures:
            tell(f"{len(self._failures)} starts in a row never served; ending, so that the head restarts")
            return False
        deadline = (last_served or time.monotonic()) + self._limits.patience - self._limits.margin
        time.sleep(pause(len(self._failures)))
        if self._redis is None:
            return True
        try:
            if redis.wait(self._redis, deadline - time.monotonic(), tell):
                return True
        except redis.RefusedError as error:
            tell(f"{error}; ending, so that the head restarts")
            return False
        tell(f"Redis has been away for nearly {self._limits.patience:.0f} s; ending, so that the head restarts")
        return False

    def _kill(self, process: "subprocess.Popen[bytes]") -> None:
        """At once: a GCS that shuts down answers what is asked of it meanwhile with errors that nobody retries."""
        process.kill()
        process.wait()

    def _end(self, process: "subprocess.Popen[bytes]") -> int:
        """We were told to end: so is the GCS, and it is given a moment."""
        process.send_signal(self._told or signal.SIGTERM)
        try:
            process.wait(timeout=_GRACE)
        except subprocess.TimeoutExpired:
            self._kill(process)
        return 0

    def _die_with_parent(self) -> None:
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def _on_signal(self, number: int, _frame: object) -> None:
        self._told = number

    def _nudge(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def _sleep(self, seconds: float) -> None:
        """Until a child ends, a signal comes, the watcher nudges, or the time is over."""
        readable, _, _ = select.select([self._wake_read], [], [], seconds)
        if readable:
            with suppress(BlockingIOError):
                os.read(self._wake_read, 512)


def main(command: List[str]) -> int:
    """`command` is gcs_server and its arguments."""
    try:
        supervisor = Supervisor(command, Limits.from_environment(os.environ))
    except ValueError as error:
        tell(f"cannot watch over this GCS ({error}); it runs as it would without us")
        os.execv(command[0], command)
    return supervisor.run()

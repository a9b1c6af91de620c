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
import time
from contextlib import suppress
from typing import List, NamedTuple, Optional

from .board import Board
from .dashboard import Dashboard
from .excuse import excused_seconds
from .gate import Gate
from .log import tell
from .probe import endpoint_of
from .serve import serve
from .verdict import End, Ends, Limits, Seen, Verdict, judge, pause
from .watch import Watcher

_TICK = 0.1
_PROMPT = 2.0  # an answer is asked for every second
_GRACE = 2.0
_PR_SET_PDEATHSIG = 1
GAVE_UP = 70


class Origin(NamedTuple):
    """What the launcher knows and gcs_server's arguments do not say."""

    incarnation: str
    ray_version: str = ""


class Outcome(NamedTuple):
    """How one incarnation of the GCS ended, and when it last served, if ever."""

    verdict: Verdict
    served: Optional[float]


class Supervisor:
    def __init__(self, command: List[str], limits: Limits, board: Board, gate: Gate) -> None:
        self._command = command
        self._limits = limits
        self._board = board
        self._gate = gate
        self._endpoint = endpoint_of(command[1:])
        self._dashboard = Dashboard(os.getppid())
        self._told: Optional[int] = None
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
        try:
            return self._keep()
        finally:
            self._dashboard.go_on()

    def _keep(self) -> int:
        last_served = time.monotonic()
        ends, reviving = Ends(), False
        while True:
            deadline = last_served + self._limits.patience - self._limits.margin
            if not self._gate.opens(deadline, self._is_told, self._dashboard.rest):
                return self._give_up()
            began = time.monotonic()
            process = self._start()
            outcome = self._watch(process, reviving=reviving)
            if self._told is not None:
                return self._end(process)
            verdict = outcome.verdict
            process.kill()  # at once: a GCS that shuts down answers what it is asked with errors that nobody retries
            tell(f"the GCS is {verdict.kind.lower()}: {verdict.why}")
            if verdict.kind == "Late":
                self._board.gcs("Ending", verdict.why)
                return self._give_up(process)
            last_served = outcome.served or last_served
            excused = self._gate.redis_away_since(began)
            ends = ends.add(End(time.monotonic(), outcome.served is not None, excused), self._limits)
            reviving = True
            self._board.lost(verdict.kind, verdict.why, last_served)
            self._board.gcs(verdict.kind, verdict.why)
            why = ends.too_many(self._limits)
            if why:
                tell(f"{why}; ending, so that the head restarts")
                self._board.gcs("Ending", why)
                return self._give_up(process)
            process.wait()
            self._dashboard.stand_back()
            time.sleep(pause(len(ends.unserved)))

    def _start(self) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(self._command, preexec_fn=self._die_with_parent)  # noqa: PLW1509 no other way
        self._board.started()
        return process

    def _watch(self, process: "subprocess.Popen[bytes]", *, reviving: bool) -> Outcome:
        """Until there is something to do."""
        watcher = Watcher(self._endpoint, self._nudge)
        watcher.start()
        began = time.monotonic()
        announced, excused_before = False, 0.0
        try:
            while self._told is None:
                answered = watcher.answered
                if answered is not None and not announced:
                    announced = True
                    self._announce(reviving=reviving)
                elif reviving and not announced:
                    self._dashboard.rest()
                excused = excused_seconds(process.pid)
                if answered is None or time.monotonic() - answered < _PROMPT:
                    excused_before = excused
                seen = Seen(
                    began,
                    process.poll(),
                    answered,
                    watcher.refused_since,
                    excused - excused_before,
                    self._gate.data_lost,
                )
                verdict = judge(seen, self._limits, time.monotonic())
                if verdict.kind != "Well":
                    return Outcome(verdict, watcher.answered)
                self._sleep(1.0 if announced and not watcher.refused_since else _TICK)
            return Outcome(Verdict("Told"), watcher.answered)
        finally:
            watcher.stop()

    def _announce(self, *, reviving: bool) -> None:
        self._gate.served()
        self._board.gcs("Serving")
        self._dashboard.go_on()
        if reviving:
            tell(f"the GCS serves again, {self._board.last_pause():.2f} s after it was lost")

    def _give_up(self, process: "Optional[subprocess.Popen[bytes]]" = None) -> int:
        """0 where we were told to end while there was no GCS."""
        self._dashboard.go_on()  # or it could not be told to end
        if process is not None:
            process.wait()
        return GAVE_UP if self._told is None else 0

    def _end(self, process: "subprocess.Popen[bytes]") -> int:
        """We were told to end: so is the GCS, and it is given a moment."""
        self._dashboard.go_on()
        self._board.gcs("Ending", f"told to by signal {self._told}")
        process.send_signal(self._told or signal.SIGTERM)
        try:
            process.wait(timeout=_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return 0

    def _die_with_parent(self) -> None:
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def _on_signal(self, number: int, _frame: object) -> None:
        self._told = number

    def _is_told(self) -> bool:
        return self._told is not None

    def _nudge(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def _sleep(self, seconds: float) -> None:
        """Until a child ends, a signal comes, the watcher nudges, or the time is over."""
        readable, _, _ = select.select([self._wake_read], [], [], seconds)
        if readable:
            with suppress(BlockingIOError):
                os.read(self._wake_read, 512)


def main(command: List[str], *origin: str) -> int:
    """`command` is gcs_server and its arguments, `origin` the fields of Origin."""
    board = Board(Origin(*origin).incarnation)
    try:
        gate = Gate(command[1:], os.environ, board, Origin(*origin).ray_version)
        supervisor = Supervisor(command, Limits.from_environment(os.environ), board, gate)
    except ValueError as error:
        tell(f"cannot watch over this GCS ({error}); it runs as it would without us")
        os.execv(command[0], command)
    serve(board, os.environ)
    return supervisor.run()

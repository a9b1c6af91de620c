"""What to make of a GCS, from what was seen of it. Pure: no clock, no process.

Times are seconds on one monotonic clock.
"""

from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple


class Limits(NamedTuple):
    """`patience` is how long the head's raylet waits for a GCS before it ends, and the head with it.

    Within `window`, at most `revivals` in all and at most `failures` starts that never served.
    """

    silence: float = 10.0
    start: float = 600.0
    refusal: float = 0.008
    revivals: float = 20
    failures: float = 5
    window: float = 120.0
    patience: float = 60.0
    margin: float = 3.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Limits":
        """Values that are no positive numbers are passed over: a typing error must not keep a head from starting."""
        names = {
            "silence": "HEADSTAY_GCS_SILENCE_S",
            "start": "HEADSTAY_GCS_START_S",
            "revivals": "HEADSTAY_GCS_REVIVALS",
            "failures": "HEADSTAY_GCS_FAILED_STARTS",
            "window": "HEADSTAY_GCS_REVIVAL_WINDOW_S",
            "patience": "RAY_gcs_rpc_server_reconnect_timeout_s",
        }
        chosen = {field: _number(environ.get(name, "")) for field, name in names.items()}
        kept: Dict[str, Any] = {field: value for field, value in chosen.items() if value is not None}
        return cls()._replace(**kept)


def _number(text: str) -> Optional[float]:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < 1e6 else None


class Seen(NamedTuple):
    """One incarnation of the GCS. `excused` is how much of the silence it was busy, or kept from the CPU.

    `data_lost` says why what it holds in memory is in Redis no more, "" while it is.
    """

    started: float
    exit_code: Optional[int] = None
    answered: Optional[float] = None
    refused_since: Optional[float] = None
    excused: float = 0.0
    data_lost: str = ""


class Verdict(NamedTuple):
    """`kind` is Well, Gone, Silent or Late; `why` is for people."""

    kind: str
    why: str = ""


def judge(seen: Seen, limits: Limits, now: float) -> Verdict:
    if seen.exit_code is not None:
        return Verdict("Gone", f"it ended with {_exit_text(seen.exit_code)}")
    if seen.answered is None:
        if now - seen.started > limits.start:
            return Verdict("Late", f"it has not answered in the {limits.start:.0f} s since its start")
        return Verdict("Well", "loading")
    if seen.refused_since is not None and now - seen.refused_since >= limits.refusal:
        return Verdict("Gone", "it served and now refuses connections")
    silence = now - seen.answered
    allowed = limits.silence + min(seen.excused, 6 * limits.silence)
    if silence > allowed:
        return Verdict("Silent", f"it accepts connections and has answered nothing for {silence:.1f} s")
    if seen.data_lost:
        return Verdict("Gone", f"ended on purpose, for a fresh start: {seen.data_lost}")
    return Verdict("Well")


class End(NamedTuple):
    """How one incarnation ended. `excused`: its Redis went away while it ran."""

    at: float
    served: bool
    excused: bool = False


class Ends(NamedTuple):
    """The incarnations that ended in the last `window`."""

    ends: Tuple[End, ...] = ()

    def add(self, end: End, limits: Limits) -> "Ends":
        return Ends((*(before for before in self.ends if end.at - before.at < limits.window), end))

    @property
    def unserved(self) -> Tuple[End, ...]:
        """Those in a row, counted from the last, that never served."""
        found = []
        for end in reversed(self.ends):
            if end.served:
                break
            found.append(end)
        return tuple(found)

    @property
    def failures(self) -> int:
        """How many of these are the GCS's own fault: a head that restarts helps no Redis."""
        return sum(not end.excused for end in self.unserved)

    def too_many(self, limits: Limits) -> str:
        """Why no more are started in place, or ""."""
        if self.failures >= limits.failures:
            return f"{self.failures} starts in a row never served"
        if len(self.ends) > limits.revivals:
            return f"it was started again {limits.revivals:.0f} times in the last {limits.window:.0f} s"
        return ""


def pause(failures: int) -> float:
    """Seconds to wait before the next start, after so many starts in a row that never served."""
    return 0.0 if failures < 1 else min(0.2 * 2 ** (failures - 1), 5.0)


def _exit_text(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"

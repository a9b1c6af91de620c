"""Is the cluster well again? Told of everything that happens, it says what is still missing. Pure: `now` is given.

Well means: nothing is broken on purpose any longer, all Pods are there and ready, nothing has failed for a while, and
each thing users do has been done, asked for after the last trouble (with Serve also a request through each hop). A
cluster that only looks well because the dying GCS still answered for a moment is not: what is asked for in the first
half second after a fault counts for nothing.
"""

from collections.abc import Iterable, Sequence

from headstay.drill.history import Call
from headstay.drill.requests import HOPS, SERVE

ONSET = 0.5
NEEDED = ("new-actor", "kv-put", "task", "placement-group")
NEEDED_OF_SERVE = (*NEEDED, *(f"{SERVE} {hop}" for hop in HOPS))


class Wellness:
    """`settle`: for how many seconds nothing may fail. `counters`: those that are expected to live."""

    def __init__(self, settle: float, counters: Iterable[str] = (), needed: Sequence[str] = NEEDED) -> None:
        self._settle = settle
        self._needed = needed
        self._trouble = 0.0
        self._answered: dict[str, float] = {}
        self._counters = set(counters)

    def trouble(self, at: float) -> None:
        """Something was broken, healed, or was found not to work."""
        self._trouble = max(self._trouble, at)

    def call(self, call: Call) -> None:
        if call.ended is None:
            return
        subject = {"increment": call.subject, SERVE: call.process}.get(call.operation, "")
        key = f"{call.operation} {subject}".strip()
        if call.outcome == "ok":
            self._answered[key] = max(self._answered.get(key, 0.0), call.began)
        elif key in self._needed or (call.operation == "increment" and call.subject in self._counters):
            self.trouble(call.ended)

    def lost(self, counter: str) -> None:
        """A counter that is dead for good is not waited for; whether it may be is for the checkers to say."""
        self._counters.discard(counter)

    def missing(self, now: float, pods: str) -> str:
        """`pods` is why the Pods are not whole, or ""."""
        if pods:
            self.trouble(now)
            return pods
        for key in (*self._needed, *(f"increment {name}" for name in sorted(self._counters))):
            if self._answered.get(key, 0.0) < self._trouble + ONSET:
                return f"no {key.replace('increment', 'answer of counter')} yet"
        quiet = now - self._trouble
        return "" if quiet >= self._settle else f"well for {quiet:.1f} of {self._settle:g} s"

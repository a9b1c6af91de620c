"""Is the cluster well again? Told of everything that happens, it says what is still missing. Pure: `now` is given.

Well means: nothing is broken on purpose any longer, all Pods are there and ready, nothing has failed for a while, and
each thing users do has been done, asked for after the last trouble (with Serve also a request through each hop). A
cluster that only looks well because the dying GCS still answered for a moment is not: what is asked for in the first
half second after a fault counts for nothing.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from headstay.drill.history import Call
from headstay.drill.requests import HOPS, SERVE, SLOW_S, lost, took

ONSET = 0.5
NEEDED = ("new-actor", "kv-put", "task", "placement-group")
NEEDED_OF_SERVE = ("new-actor", "kv-put", *(f"{SERVE} {hop}" for hop in HOPS))
CARRIED_FOR = 5.0
_ENOUGH = 10


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


class Carried:
    """Does the target carry the load? No request may have been lost or slow for CARRIED_FOR seconds.

    Else whatever is lost later may be the machine's doing and not the fault's.
    """

    def __init__(self) -> None:
        self._requests: deque[Call] = deque()

    def call(self, call: Call) -> None:
        if call.operation == SERVE:
            self._requests.append(call)

    def missing(self, now: float) -> str:
        while self._requests and (self._requests[0].ended or now) < now - CARRIED_FOR:
            self._requests.popleft()
        if len(self._requests) < _ENOUGH:
            return "too few requests have been answered yet"
        if gone := sum(lost(call) for call in self._requests):
            return f"of {len(self._requests)} requests {gone} were lost"
        slowest = max(map(took, self._requests))
        return f"requests take as much as {slowest:.1f} s" if slowest > SLOW_S else ""

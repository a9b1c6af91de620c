"""What a drill records: the only thing that checkers, figures and reports may look at.

Times are Unix seconds on the clock of the machine the drill runs on; who records on another machine's clock corrects
for the difference first. A history is a list of records in the order they were written, one JSON document a line.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

Outcome = Literal["ok", "failed", "unknown"]
"""`failed` had certainly no effect; `unknown` may have had one (a time-out, a lost answer)."""


class Call(msgspec.Struct, frozen=True, tag="call"):
    """One operation of the workload. `process` is one sequential caller (its calls never overlap), `operation` what

    it did (`increment`, `new-actor`, `task`, `named-actor`, `placement-group`, `job`, `kv-put`, `kv-get`, `serve`),
    `subject` what it did it to, `value` what came back: for `increment` the number after it, for `kv-put` what was
    written, for `kv-get` what was found or None. `ended` is None where nothing ever came back.

    `serve` is an HTTP request of an open load, which waits for no answer: there `process` is the hop it was sent
    through (`requests.HOPS`) and its calls do overlap; `subject` is the Service or Pod it was sent to, `began` when
    it was due (a load that is late does not hide it), and `value` names the Pods whose proxy and whose replica
    answered, with a space between. Its `error` begins with a word for its kind: `refused`, `reset`, `timeout`, `503`.
    """

    process: str
    operation: str
    subject: str
    began: float
    ended: float | None
    outcome: Outcome
    value: int | str | None = None
    error: str = ""


class Fault(msgspec.Struct, frozen=True, tag="fault"):
    """`injected` is when the command that did it had returned, `healed` when what had been broken on purpose was

    undone (the same as `injected` for a signal). `skipped` says why it could not be done here, or "".
    """

    name: str
    target: str
    injected: float
    healed: float | None = None
    skipped: str = ""
    detail: str = ""


class PodSeen(msgspec.Struct, frozen=True):
    """`restarts` counts those of the Ray (or Redis) container; `node` is the Ray node's state in the GCS, if read."""

    name: str
    uid: str
    role: Literal["head", "worker", "redis", "operator"]
    restarts: int
    ready: bool
    node: str = ""


class Look(msgspec.Struct, frozen=True, tag="look"):
    """All Pods of the target at one moment. A look is recorded at the start, at each change and at the end."""

    at: float
    pods: tuple[PodSeen, ...]


class Actor(msgspec.Struct, frozen=True, tag="actor"):
    """Where a detached actor of the workload lives, by the uid of the Pod. Recorded when it was made and when moved."""

    at: float
    name: str
    pod_uid: str


class Phase(msgspec.Struct, frozen=True, tag="phase"):
    """A milestone of one recovery: `detected`, `gcs-serving`, `head-ready`, `workers-back`, `first-call`."""

    at: float
    name: str
    source: str
    """Who says so: `keeper`, `operator`, `kubernetes`, `workload`."""


class Note(msgspec.Struct, frozen=True, tag="note"):
    """Something a reader of the report should know: a wait that reached its bound, a driver started anew.

    `stalled` is for how many seconds until `at` the machine that the drill runs on stood still, 0 in other notes.
    """

    at: float
    text: str
    stalled: float = 0.0


Record = Call | Fault | Look | Actor | Phase | Note


class Run(msgspec.Struct, frozen=True):
    """One fault (or one combination) on one target: what the checkers judge."""

    number: int
    fault: str
    recovery: Literal["RestartHead", "InPlace"]
    seed: int
    began: float
    ended: float
    records: tuple[Record, ...]
    ended_early: str = ""
    """Why the run did not come to its end, or ""."""
    rate: int = 0
    """Requests a second that were sent through the Serve Service meanwhile; 0 where there was no Serve."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def to_lines(records: Iterable[Record]) -> Iterator[bytes]:
    return (_encoder.encode(record) + b"\n" for record in records)


def from_lines(lines: Iterable[bytes]) -> Iterator[Record]:
    """Raises msgspec.ValidationError for a line that is no record. A last line cut short is passed over."""
    for line in lines:
        if line.endswith(b"\n"):
            yield _decoder.decode(line)


def run_as_json(run: Run) -> Any:
    return msgspec.to_builtins(run)

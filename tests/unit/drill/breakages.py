"""One promise broken in a good history, each by the smallest change that breaks it, and who should complain."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from tests.unit.drill.histories import ALL_END, Scene, good_run, worker

from headstay.drill.checkers.downtime import bound_of
from headstay.drill.history import Actor, Call, Look, Note, PodSeen, Record, Run
from headstay.drill.promises import promise
from headstay.drill.reading import Reading

replace = msgspec.structs.replace
Change = Callable[[Scene], Run | None]
"""None where the promise cannot be broken in this scene (no head restart is too many for Ray's own crash loop)."""


@dataclass(frozen=True)
class Breakage:
    change: Change
    invalid: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    perhaps_unknown: frozenset[str] = frozenset()


def _mapped(run: Run, change: Callable[[Record], Record | None]) -> Run:
    records = (change(record) for record in run.records)
    return replace(run, records=tuple(record for record in records if record is not None))


def spared(scene: Scene) -> str | None:
    """A counter whose worker the fault leaves alone."""
    return f"counter-{scene.workers - 1}" if scene.workers > scene.workers_end else None


def _answers(run: Run, name: str) -> list[Call]:
    calls = [r for r in run.records if isinstance(r, Call) and r.operation == "increment" and r.subject == name]
    return sorted((call for call in calls if call.outcome == "ok"), key=lambda call: call.began)


def _counts(scene: Scene, change: Callable[[Call, int], int | None]) -> Run | None:
    """`change` gets an answer of a spared counter and its value, and gives the value it should have had."""
    name = spared(scene)
    if name is None:
        return None

    def changed(record: Record) -> Record | None:
        if not isinstance(record, Call) or (record.operation, record.subject) != ("increment", name):
            return record
        answered = record.outcome == "ok" and isinstance(record.value, int)
        return replace(record, value=change(record, int(record.value or 0))) if answered else record

    return _mapped(good_run(scene), changed)


def reset(scene: Scene) -> Run | None:
    run, name = good_run(scene), spared(scene)
    if name is None:
        return None
    kept = [call.value for call in _answers(run, name) if call.began <= scene.injected]
    last = kept[-1]
    assert isinstance(last, int)
    return _counts(scene, lambda call, value: value if call.began <= scene.injected else value - last)


def back_by_one(scene: Scene) -> Run | None:
    name = spared(scene)
    if name is None:
        return None
    one, other = _answers(good_run(scene), name)[-2:]
    swapped = {one.value: other.value, other.value: one.value}
    return _counts(scene, lambda _call, value: int(swapped.get(value, value) or 0))


def read_too_low(scene: Scene) -> Run | None:
    """Nobody who increments notices, only who reads: the last one is told the number before the fault."""
    run, name = good_run(scene), spared(scene)
    if name is None:
        return None
    before = max(int(call.value or 0) for call in _answers(run, name) if call.began <= scene.injected)
    read = Call("reader", "named-actor", name, scene.ended - 0.3, scene.ended - 0.2, "ok", before)
    return replace(run, records=(*run.records, read))


def told_twice(scene: Scene) -> Run | None:
    name = spared(scene)
    if name is None:
        return None
    one, other = _answers(good_run(scene), name)[-2:]
    return _counts(scene, lambda _call, value: int(one.value or 0) if value == other.value else value)


def skipped(scene: Scene) -> Run | None:
    """More than all increments that ever went unanswered."""
    jump = 1 + sum(isinstance(r, Call) and r.operation == "increment" for r in good_run(scene).records)
    return _counts(scene, lambda call, value: value + (jump if call.began > scene.back else 0))


def never_heard_again(scene: Scene) -> Run | None:
    name = spared(scene)

    def silent(record: Record) -> Record:
        if isinstance(record, Call) and record.subject == name and record.began > scene.injected:
            return replace(record, outcome="failed", value=None, error="ActorDiedError")
        return record

    return None if name is None else _mapped(good_run(scene), silent)


def made_anew_elsewhere(scene: Scene) -> Run | None:
    name = spared(scene)
    run = good_run(scene)
    return None if name is None else replace(run, records=(*run.records, Actor(scene.back, name, "uid-head-0")))


def _last_look(scene: Scene, change: Callable[[PodSeen], PodSeen]) -> Run:
    def changed(record: Record) -> Record:
        if isinstance(record, Look) and record.at == scene.ended:
            return replace(record, pods=tuple(change(pod) for pod in record.pods))
        return record

    return _mapped(good_run(scene), changed)


def _to_spared_worker(scene: Scene, change: Callable[[PodSeen], PodSeen]) -> Run | None:
    if spared(scene) is None:
        return None
    _name, uid = worker(scene.workers - 1)
    return _last_look(scene, lambda pod: change(pod) if pod.uid == uid else pod)


def worker_restarted(scene: Scene) -> Run | None:
    return _to_spared_worker(scene, lambda pod: replace(pod, restarts=pod.restarts + 1))


def worker_replaced(scene: Scene) -> Run | None:
    return _to_spared_worker(scene, lambda pod: replace(pod, name="worker-other", uid="uid-other"))


def _last_reads(scene: Scene, value: Callable[[Call], str | None]) -> Run | None:
    run = good_run(scene)
    reads = [r for r in run.records if isinstance(r, Call) and r.operation == "kv-get"]
    if not reads:
        return None
    return _mapped(run, lambda record: replace(record, value=value(reads[-1])) if record is reads[-1] else record)


def write_gone(scene: Scene) -> Run | None:
    return _last_reads(scene, lambda _read: None) if scene.fault not in ALL_END else None


def write_stale(scene: Scene) -> Run | None:
    """The first value of a key, which others have replaced since."""
    puts = [r for r in good_run(scene).records if isinstance(r, Call) and r.operation == "kv-put" and r.outcome == "ok"]

    def first(read: Call) -> str | None:
        """(One that was followed by no other acknowledged write may be there beside one that was never answered.)"""
        values = [str(put.value) for put in puts if put.subject == read.subject]
        return values[0] if len(values) > 1 else str(read.value)

    run = _last_reads(scene, first)
    return None if run == good_run(scene) or scene.fault in ALL_END else run


def write_never_made(scene: Scene) -> Run | None:
    return _last_reads(scene, lambda _read: "nobody wrote this") if scene.fault not in ALL_END else None


def too_long_away(scene: Scene) -> Run | None:
    if scene.fault == "upgrade":
        return None
    scene.back = scene.injected + (bound_of(Reading(good_run(scene))) or 0) + 1
    return good_run(scene)


def too_long_away_on_a_machine_that_stood_still(scene: Scene) -> Run | None:
    run = too_long_away(scene)
    if run is None:
        return None
    return replace(run, records=(*run.records, Note(scene.back - 0.5, "it stalled", stalled=2.0)))


def away_again(scene: Scene) -> Run | None:
    """A second outage, longer than the bound, after new actors had been answered for two seconds."""
    bound = bound_of(Reading(good_run(scene))) or 0
    if bound > 3 or scene.fault == "upgrade":
        return None

    def refused(record: Record) -> Record:
        if not isinstance(record, Call) or record.operation != "new-actor":
            return record
        again = scene.back + 2 < record.began < scene.back + 2.5 + bound
        return replace(record, outcome="failed", error="again") if again else record

    return _mapped(good_run(scene), refused)


def head_restarted_once_more(scene: Scene) -> Run | None:
    rule = promise(scene.fault, scene.recovery)
    allowed = rule.head_restarts(scene.away) if rule else None
    if allowed is None:
        return None
    extra = int(allowed) + 1
    return _last_look(scene, lambda pod: replace(pod, restarts=pod.restarts + extra) if pod.role == "head" else pod)


def two_heads(scene: Scene) -> Run:
    twin = PodSeen("head-twin", "uid-twin", "head", 0, ready=True)

    def doubled(record: Record) -> Record:
        if isinstance(record, Look) and record.at == scene.ended:
            return replace(record, pods=(*record.pods, twin))
        return record

    return _mapped(good_run(scene), doubled)


def no_head_left(scene: Scene) -> Run:
    def beheaded(record: Record) -> Record:
        if isinstance(record, Look) and record.at == scene.ended:
            return replace(record, pods=tuple(pod for pod in record.pods if pod.role != "head"))
        return record

    return _mapped(good_run(scene), beheaded)


def _without(scene: Scene, gone: Callable[[Record], bool]) -> Run:
    return _mapped(good_run(scene), lambda record: None if gone(record) else record)


def nobody_asked_for_new_actors(scene: Scene) -> Run | None:
    """(In an upgrade nothing is promised of any.)"""
    asked = scene.fault != "upgrade"
    return _without(scene, lambda r: isinstance(r, Call) and r.operation == "new-actor") if asked else None


def nobody_asked_during_the_fault(scene: Scene) -> Run | None:
    def unasked(record: Record) -> bool:
        if not isinstance(record, Call) or record.operation != "new-actor":
            return False
        return scene.injected - 2 <= record.began < scene.back + 3.5

    return _without(scene, unasked) if scene.fault != "upgrade" else None


def nobody_looked(scene: Scene) -> Run:
    return _without(scene, lambda record: isinstance(record, Look))


def nobody_counted(scene: Scene) -> Run:
    return _without(scene, lambda record: isinstance(record, Call) and record.operation == "increment")


def nobody_read_back(scene: Scene) -> Run | None:
    if scene.fault in ALL_END:
        return None
    return _without(
        scene,
        lambda r: isinstance(r, Call) and r.operation == "kv-get" and r.began > scene.injected,
    )


def cut_short(scene: Scene) -> Run:
    return replace(good_run(scene), ended_early="interrupted")


def _requests(run: Run, hop: str) -> list[Call]:
    return [r for r in run.records if isinstance(r, Call) and r.operation == "serve" and r.process == hop]


def _lose(run: Run, call: Call) -> Run:
    dead = replace(call, outcome="unknown", value=None, error="timeout: no answer within 15 s")
    return _mapped(run, lambda record: dead if record is call else record)


def request_lost_at_a_worker(scene: Scene) -> Run | None:
    """Whatever the fault, but where the workers are its target."""
    run = good_run(scene)
    during = [call for call in _requests(run, "worker-proxies") if call.began > scene.injected + 0.5]
    spared = scene.fault not in {"worker-pod", "redis-flush"}
    return _lose(run, during[0]) if during and spared else None


def request_lost_through_the_service(scene: Scene) -> Run | None:
    """Long after whoever left was out of the Service."""
    run = good_run(scene)
    late = [call for call in _requests(run, "service") if call.began > scene.back + 4]
    return _lose(run, late[0]) if late and scene.fault != "redis-flush" else None


def request_lost_at_a_head_that_lives(scene: Scene) -> Run | None:
    run = good_run(scene)
    during = [call for call in _requests(run, "head-proxy") if call.began > scene.injected]
    lives = not scene.head_ends and scene.fault != "worker-pod"
    return _lose(run, during[0]) if during and lives else None


def proxy_does_not_come_back(scene: Scene) -> Run | None:
    if not scene.rate or not scene.head_ends or scene.fault == "upgrade":
        return None

    def dead(record: Record) -> Record:
        through = isinstance(record, Call) and record.process == "head-proxy" and record.began >= scene.injected
        return replace(record, outcome="failed", error="refused: x") if through else record

    return _mapped(good_run(scene), dead)


def nobody_sent_requests(scene: Scene) -> Run | None:
    return _without(scene, lambda r: isinstance(r, Call) and r.operation == "serve") if scene.rate else None


def load_stood_still(scene: Scene) -> Run | None:
    def paused(record: Record) -> bool:
        within = scene.injected + 0.5 < getattr(record, "began", 0) < scene.injected + 3.5
        return isinstance(record, Call) and record.process == "service" and within

    return _without(scene, paused) if scene.rate else None


def calls_overlap(scene: Scene) -> Run:
    run = good_run(scene)
    call = next(r for r in run.records if isinstance(r, Call) and r.operation == "task")
    return replace(run, records=(*run.records, replace(call, began=call.began + 0.01)))


ACTORS, COUNTERS, WORKERS, WRITES, DOWNTIME, HEADS, ONE, WORKLOAD, REQUESTS = (
    frozenset({name})
    for name in (
        "actors-survive",
        "counters-add-up",
        "workers-left-alone",
        "writes-kept",
        "downtime-bounded",
        "head-restarts",
        "one-head",
        "workload-ran",
        "requests-kept",
    )
)

BREAKAGES: dict[str, Breakage] = {
    "a counter begins again": Breakage(reset, ACTORS | COUNTERS),
    "a counter goes back by one": Breakage(back_by_one, COUNTERS),
    "a counter tells a number twice": Breakage(told_twice, COUNTERS),
    "a counter is found too low": Breakage(read_too_low, COUNTERS),
    "a counter skips": Breakage(skipped, COUNTERS),
    "an actor is never heard again": Breakage(never_heard_again, ACTORS, unknown=COUNTERS),
    "an actor is made anew elsewhere": Breakage(made_anew_elsewhere, ACTORS),
    "a worker restarts": Breakage(worker_restarted, WORKERS),
    "a worker is replaced": Breakage(worker_replaced, WORKERS),
    "a write is gone": Breakage(write_gone, WRITES),
    "a write is replaced by an older one": Breakage(write_stale, WRITES),
    "a key holds what nobody wrote": Breakage(write_never_made, WRITES),
    "new actors wait too long": Breakage(too_long_away, DOWNTIME),
    "the machine stood still while new actors waited": Breakage(
        too_long_away_on_a_machine_that_stood_still, unknown=DOWNTIME
    ),
    "new actors have to wait again": Breakage(away_again, DOWNTIME, perhaps_unknown=ACTORS),
    "the head restarts once more": Breakage(head_restarted_once_more, HEADS),
    "there are two heads": Breakage(two_heads, ONE),
    "there is no head left": Breakage(no_head_left, ONE),
    "nobody asked for new actors": Breakage(nobody_asked_for_new_actors, unknown=ACTORS | DOWNTIME | WORKLOAD),
    "nobody asked during the fault": Breakage(
        nobody_asked_during_the_fault, unknown=WORKLOAD, perhaps_unknown=DOWNTIME
    ),
    "nobody looked": Breakage(
        nobody_looked, unknown=ACTORS | WORKERS | HEADS | ONE | WORKLOAD, perhaps_unknown=COUNTERS
    ),
    "nobody counted": Breakage(nobody_counted, unknown=ACTORS | COUNTERS | WORKLOAD),
    "nobody read back": Breakage(nobody_read_back, unknown=WRITES),
    "a worker's proxy loses a request": Breakage(request_lost_at_a_worker, REQUESTS),
    "the Service loses a request": Breakage(request_lost_through_the_service, REQUESTS),
    "the proxy of a head that lives loses a request": Breakage(request_lost_at_a_head_that_lives, REQUESTS),
    "the head's proxy does not come back": Breakage(proxy_does_not_come_back, REQUESTS),
    "nobody sent requests": Breakage(nobody_sent_requests, unknown=REQUESTS),
    "the load stood still": Breakage(load_stood_still, unknown=REQUESTS),
    "the run was cut short": Breakage(cut_short, unknown=WORKLOAD),
    "a caller was in two places": Breakage(calls_overlap, unknown=WORKLOAD),
}

"""Histories of drills that never were: a cluster in which everything goes as promised, told by the same records.

One number decides everything in a history. Tests break one promise in it; the page's sample is made of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random

from headstay.drill.history import Actor, Call, Fault, Look, Outcome, Phase, PodSeen, Record, Run
from headstay.drill.promises import Recovery

FAULT_AT = 6.0
CALM = 8.0
"""Seconds that the workload goes on once all is well."""
DOWN: dict[Recovery, dict[str, tuple[float, float]]] = {
    "InPlace": {
        "gcs-term": (0.4, 1.9),
        "gcs-kill": (0.35, 1.4),
        "gcs-stop": (10.4, 12.5),
        "head-container": (9.0, 18.0),
        "head-pod": (8.5, 17.0),
        "worker-pod": (0.05, 3.0),
        "redis-away-20": (2.0, 12.0),
        "redis-flush": (25.0, 60.0),
        "operator-kill": (0.05, 0.2),
        "upgrade": (1.0, 2.0),
    },
    "RestartHead": {
        "gcs-term": (68.0, 79.0),
        "gcs-kill": (9.0, 22.0),
        "gcs-stop": (30.0, 60.0),
        "head-container": (9.0, 21.0),
        "head-pod": (9.5, 22.0),
        "worker-pod": (0.05, 3.0),
        "redis-away-20": (12.0, 40.0),
        "redis-flush": (30.0, 70.0),
        "operator-kill": (0.05, 0.2),
        "upgrade": (1.0, 2.0),
    },
}
AWAY = {"redis-away-20": 20.0, "redis-flush": 0.5, "upgrade": 25.0}
HEAD_ENDS = {"head-container", "head-pod", "redis-flush", "upgrade"}
ALL_END = {"redis-flush", "upgrade"}
NEW_PODS = {"head-pod", "worker-pod", "upgrade"}


@dataclass
class Scene:
    fault: str = "gcs-kill"
    recovery: Recovery = "InPlace"
    seed: int = 0
    workers: int = 2
    number: int = 1
    pace: float = 1.0
    """Longer pauses between calls make a smaller history."""
    rate: int = 0
    """Requests a second through the Serve Service."""
    random: Random = field(init=False)
    began: float = field(init=False)
    back: float = field(init=False)

    def __post_init__(self) -> None:
        self.random = _dice(self)
        self.began = 1_790_000_000.0 + self.seed * 1000
        self.away = AWAY.get(self.fault, 0.0)
        self.back = self.injected + self.away + self.random.uniform(*DOWN[self.recovery][self.fault])

    @property
    def injected(self) -> float:
        return self.began + FAULT_AT

    @property
    def ended(self) -> float:
        return self.back + CALM

    @property
    def head_ends(self) -> bool:
        restarts = self.recovery == "RestartHead" and (self.fault.startswith(("gcs", "redis")))
        return restarts or self.fault in HEAD_ENDS

    @property
    def workers_end(self) -> int:
        return self.workers if self.fault in ALL_END else int(self.fault == "worker-pod")

    def down(self, at: float) -> bool:
        return self.injected <= at < self.back


def _dice(scene: Scene) -> Random:
    return Random(f"{scene.fault} {scene.recovery} {scene.seed}")


def good_run(scene: Scene) -> Run:
    scene.random = _dice(scene)
    records: list[Record] = [_fault(scene), *_looks(scene), *_phases(scene)]
    for number in range(scene.workers):
        records += _counter(scene, number)
    for operation, pause in (("new-actor", 0.1), ("task", 0.5), ("named-actor", 0.7), ("job", 3.0)):
        records += _through_the_gcs(scene, operation, pause * scene.pace)
    records += _keys(scene)
    records += _requests(scene)
    records.sort(key=_when)
    about = (scene.number, scene.fault, scene.recovery, scene.seed, scene.began, scene.ended)
    return Run(*about, records=tuple(records), rate=scene.rate)


def _when(record: Record) -> float:
    if isinstance(record, Call):
        return record.ended or record.began
    return record.injected if isinstance(record, Fault) else record.at


def _fault(scene: Scene) -> Fault:
    target = "worker-0" if scene.fault == "worker-pod" else "head-a"
    return Fault(scene.fault, target, scene.injected, healed=scene.injected + scene.away)


def _pods(scene: Scene, *, after: bool, ready: bool = True) -> Iterator[PodSeen]:
    """`after` the fault has taken what it takes."""
    new_head = after and scene.head_ends and scene.fault in NEW_PODS
    restarts = int(after and scene.head_ends and not new_head)
    yield PodSeen("head-b" if new_head else "head-a", f"uid-head-{int(new_head)}", "head", restarts, ready, "ALIVE")
    for number in range(scene.workers):
        ends = after and number < scene.workers_end
        new = ends and scene.fault in NEW_PODS
        name, uid = (f"worker-{number}-new", f"uid-worker-{number}-new") if new else worker(number)
        yield PodSeen(name, uid, "worker", int(ends and not new), not ends or ready, "ALIVE")
    yield PodSeen("redis-0", "uid-redis", "redis", 0, ready=True)


def worker(number: int) -> tuple[str, str]:
    return f"worker-{number}", f"uid-worker-{number}"


def _looks(scene: Scene) -> Iterator[Look]:
    yield Look(scene.began + 0.1, tuple(_pods(scene, after=False)))
    if scene.head_ends or scene.workers_end:
        yield Look(scene.injected + 0.3 * (scene.back - scene.injected), tuple(_pods(scene, after=True, ready=False)))
        yield Look(scene.back, tuple(_pods(scene, after=True)))
    yield Look(scene.ended, tuple(_pods(scene, after=True)))


def _phases(scene: Scene) -> Iterator[Phase]:
    down = scene.back - scene.injected
    yield Phase(scene.injected + 0.3 * down, "detected", "keeper" if scene.recovery == "InPlace" else "kubernetes")
    yield Phase(scene.injected + 0.6 * down, "gcs-serving", "keeper" if scene.recovery == "InPlace" else "operator")
    if scene.head_ends:
        yield Phase(scene.injected + 0.85 * down, "head-ready", "kubernetes")
    yield Phase(scene.back + 0.8, "workers-back", "operator")


def _counter(scene: Scene, number: int) -> Iterator[Record]:
    """A detached actor on worker `number`, incremented by a caller of its own, straight through the fault."""
    name, process, random = f"counter-{number}", f"caller-{number}", scene.random
    _pod, uid = worker(number)
    yield Actor(scene.began, name, uid)
    value, at = 0, scene.began + 0.2
    ends = number < scene.workers_end
    while at < scene.ended - 1:
        if ends and scene.down(at):
            yield Call(process, "increment", name, at, at + 0.05, "failed", error="ActorDiedError")
            at = scene.back + 0.05
            ends, value = False, 0
            home = f"{uid}-new" if scene.fault in NEW_PODS else uid
            yield Actor(scene.back, name, home)
            continue
        took = random.uniform(0.002, 0.02)
        if random.random() < 0.02:
            value += random.random() < 0.5
            yield Call(process, "increment", name, at, at + 1, "unknown", error="GetTimeoutError")
            at += 1
        else:
            value += 1
            yield Call(process, "increment", name, at, at + took, "ok", value)
            at += took
        at += random.uniform(0.1, 0.3) * scene.pace


def _through_the_gcs(scene: Scene, operation: str, pause: float) -> Iterator[Call]:
    """What needs the GCS fails while it is away: at once, or by a time-out."""
    random, at, number = scene.random, scene.began + 0.2, 0
    subject = {"named-actor": "counter-0"}.get(operation)
    while at < scene.ended - 0.2:
        number += 1
        took = random.uniform(0.02, 0.08)
        outcome: Outcome = "ok"
        if scene.down(at) or scene.down(at + took):
            outcome = random.choice(("failed", "unknown"))
            took = min(2.0, max(0.01, scene.back - at)) if outcome == "unknown" else 0.03
        error = "" if outcome == "ok" else "RaySystemError: GCS unavailable"
        yield Call(operation, operation, subject or f"{operation}-{number}", at, at + took, outcome, error=error)
        at = max(at + took + pause, scene.back + 0.01 if outcome == "unknown" and at + took >= scene.back else 0)


def _keys(scene: Scene) -> Iterator[Call]:
    """One caller writes to a few keys in turn, reads some of them, and reads all of them at the end."""
    random, at, number = scene.random, scene.began + 0.2, 0
    stored: dict[str, str] = {}
    while at < scene.ended - 1:
        number += 1
        key, took = f"key-{random.randrange(4)}", random.uniform(0.005, 0.03)
        if scene.down(at) or scene.down(at + took):
            outcome: Outcome = random.choice(("failed", "unknown"))
            if outcome == "unknown" and random.random() < 0.5:
                stored[key] = f"v{number}"
            yield Call("keys", "kv-put", key, at, at + took, outcome, f"v{number}", error="RpcError")
        elif key in stored and random.random() < 0.5:
            yield Call("keys", "kv-get", key, at, at + took, "ok", stored[key])
        else:
            stored[key] = f"v{number}"
            yield Call("keys", "kv-put", key, at, at + took, "ok", f"v{number}")
        if scene.fault in ALL_END and scene.down(at):
            stored.clear()
        at += took + random.uniform(0.1, 0.4) * scene.pace
    for key, value in stored.items():
        at += 0.02
        yield Call("keys", "kv-get", key, at, at + 0.01, "ok", value)


def _requests(scene: Scene) -> Iterator[Call]:
    """An open load: each is sent when it is due, whatever became of the others."""
    random, rate = scene.random, scene.rate
    for hop, each in (("service", rate), ("worker-proxies", rate / 5), ("head-proxy", rate / 5)):
        for number in range(int((scene.ended - scene.began - 0.5) * each)):
            due = scene.began + 0.2 + number / each
            took = random.uniform(0.003, 0.03)
            answer = f"{'head-a' if hop == 'head-proxy' else 'worker-0'} worker-0"
            if _may_be_lost(scene, hop, due) and random.random() < 0.7:
                yield Call(hop, "serve", hop, due, due + took, "failed", error="refused: nobody listens")
            else:
                yield Call(hop, "serve", hop, due, due + took, "ok", answer)


def _may_be_lost(scene: Scene, hop: str, due: float) -> bool:
    if not scene.injected <= due < scene.back - 0.1 or scene.fault == "upgrade":
        return False
    if scene.fault == "redis-flush" or (hop == "head-proxy" and scene.head_ends):
        return True
    leaves = scene.fault == "worker-pod" or (scene.head_ends and hop == "service")
    return leaves and due < scene.injected + 1


def campaign(seed: int = 0, runs: int = 3, pace: float = 1.0, rate: int = 0) -> list[Run]:
    """Every fault in both ways, so many times."""
    scenes = [
        Scene(fault, recovery, seed + number, number=number, pace=pace, rate=rate)
        for number, (fault, recovery) in enumerate(
            (fault, recovery) for _ in range(runs) for recovery in DOWN for fault in DOWN[recovery]
        )
    ]
    return [good_run(replace(scene, number=scene.number + 1)) for scene in scenes]

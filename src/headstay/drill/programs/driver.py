"""The workload: a Ray driver that does a little of everything, over and over, and tells of each call.

    python3 -u -c START '{"name": "worker", "operations": [...], "pace": 1, "probe_period": 0.1, "probe_bound": 2}'

One JSON document a line. In: {"do": "ping" | "probe" | "counters" | "read" | "nodes" | "keeper" | "clean", "id": ...}.
Out: {"ready": ...}, {"began": ...} and {"ended": ...} for each call, {"lost": COUNTER}, and {"reply": id, ...}. All
times are Unix seconds of this machine's clock; who reads corrects them. The end of its input is the end of it.

Every operation is a thread, that is one caller that waits for its answer. A caller whose answer never came takes
another name for its next call, since the old call may still have its effect.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import urllib.request
from typing import Any, Callable, Dict, List, Sequence

import ray
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_get, _internal_kv_put
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

SPACE = "headstay-drill"
KV = SPACE.encode()
SHORT = 2  # seconds until an answer counts as lost
LONG = 10
PERIODS = {"increment": 0.25, "kv-put": 0.2, "task": 0.5, "named-actor": 0.5, "placement-group": 1.0, "job": 10.0}
JOB_BOUND = 120

setup = json.loads(sys.argv[1])
lock = threading.Lock()
probing = threading.Event()
counters: Dict[str, Any] = {}
numbers = iter(range(1, 1 << 62))


def say(**fields: Any) -> None:
    text = json.dumps(fields) + "\n"
    with lock:
        sys.stdout.write(text)
        sys.stdout.flush()


def describe(failure: BaseException) -> str:
    return ("%s: %s" % (type(failure).__name__, " ".join(str(failure).split())))[:300]


class CertainlyNotError(Exception):
    """The operation had no effect, for certain."""


class Caller:
    def __init__(self, role: str) -> None:
        self.role = role
        self.life = 1

    def call(self, operation: str, subject: str, deed: Callable[[], Any]) -> Any:
        """Runs `deed`, tells of it, and returns what it returned, or None if it failed."""
        mine = next(numbers)
        process = "%s/%s.%d" % (setup["name"], self.role, self.life)
        say(began=mine, process=process, operation=operation, subject=subject, at=time.time())
        value, outcome, error = None, "ok", ""
        try:
            value = deed()
        except CertainlyNotError as refusal:
            outcome, error = "failed", str(refusal)
        except Exception as failure:  # noqa: BLE001  whatever Ray makes of it: the caller goes on, as a user's would
            outcome, error = "unknown", describe(failure)
            self.life += 1
        say(ended=mine, at=time.time(), outcome=outcome, value=value, error=error)
        return value


class Counter:
    def __init__(self) -> None:
        self.value = 0

    def increment(self) -> int:
        self.value += 1
        return self.value

    def read(self) -> int:
        return self.value


class Answer:
    def now(self) -> int:
        return 1


def same(given: int) -> int:
    return given


# A head without CPUs, as it should be, has room for what asks for none.
CounterActor: Any = ray.remote(num_cpus=0)(Counter)
AnswerActor: Any = ray.remote(num_cpus=0.001)(Answer)
echo: Any = ray.remote(num_cpus=0.001, max_retries=0)(same)


def every(period: float, deed: Callable[[], Any]) -> None:
    def loop() -> None:
        while True:
            began = time.monotonic()
            deed()
            time.sleep(max(0.02, period - (time.monotonic() - began)))

    threading.Thread(target=loop, daemon=True).start()


def count(name: str) -> None:
    """Increments for ever: that a dead counter stays dead is worth knowing too."""
    caller = Caller("increment-" + name)
    dead: List[str] = []

    def once() -> Any:
        try:
            return ray.get(counters[name].increment.remote(), timeout=SHORT)
        except ray.exceptions.RayActorError as error:
            if "unavailable" not in type(error).__name__.lower() and not dead:
                dead.append(name)
                say(lost=name, at=time.time(), why=describe(error))
            raise

    def loop() -> None:
        while name in counters:
            began = time.monotonic()
            caller.call("increment", name, once)
            period = PERIODS["increment"] * setup["pace"] * (4 if dead else 1)
            time.sleep(max(0.02, period - (time.monotonic() - began)))

    threading.Thread(target=loop, daemon=True).start()


def new_actor() -> Any:
    actor = AnswerActor.options(lifetime="detached", namespace=SPACE).remote()
    try:
        return ray.get(actor.now.remote(), timeout=setup["probe_bound"])
    finally:
        ray.kill(actor)


def probe() -> None:
    caller = Caller("new-actor")
    while True:
        probing.wait()
        caller.call("new-actor", "", new_actor)
        time.sleep(setup["probe_period"])


def put(key: str, caller: Caller) -> None:
    def deed() -> str:
        _internal_kv_put(key.encode(), key.encode(), overwrite=True, namespace=KV)
        return key

    caller.call("kv-put", key, deed)


def get(key: str, caller: Caller) -> None:
    def deed() -> Any:
        found = _internal_kv_get(key.encode(), namespace=KV)
        return None if found is None else found.decode()

    caller.call("kv-get", key, deed)


def named_actor(name: str, caller: Caller) -> None:
    def deed() -> Any:
        try:
            handle = ray.get_actor(name, namespace=SPACE)
        except ValueError as missing:
            raise CertainlyNotError("there is no actor of this name: %s" % missing) from missing
        return ray.get(handle.read.remote(), timeout=LONG)

    caller.call("named-actor", name, deed)


def group() -> None:
    made = placement_group([{"CPU": 0.001}])
    try:
        if not made.wait(SHORT):
            raise TimeoutError("not placed within %d s" % SHORT)
    finally:
        remove_placement_group(made)


def jobs_url() -> str:
    node = ray._private.worker.global_worker.node  # noqa: SLF001  (what its own job client asks)
    return "http://%s/api/jobs/" % node.address_info["webui_url"]


def ask(url: str, body: Any = None, timeout: float = LONG) -> Any:
    headers = {"Content-Type": "application/json"} if body else {}
    request = urllib.request.Request(url, body, headers)  # noqa: S310  (the dashboard's and the keeper's)
    with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
        return json.load(answer)


def job() -> Any:
    made = ask(jobs_url(), json.dumps({"entrypoint": "true"}).encode(), 30)["submission_id"]
    end = time.monotonic() + JOB_BOUND
    while time.monotonic() < end:
        time.sleep(0.5)
        try:
            status = ask(jobs_url() + made)["status"]
        except OSError:
            continue  # the dashboard is away with its head; the job's end is what is asked for
        if status in ("SUCCEEDED", "FAILED", "STOPPED"):
            return status
    raise TimeoutError("job %s has not ended within %d s" % (made, JOB_BOUND))


def begin(operations: Sequence[str]) -> None:
    """The endless callers. Keys of this driver's writes are told apart by the moment it began."""
    life = "%x" % int(time.time() * 1000)
    written = iter(range(1, 1 << 62))

    def next_key() -> str:
        return "%s-%s-%d" % (setup["name"], life, next(written))

    def all_named(caller: Caller) -> None:
        for name in list(counters):
            named_actor(name, caller)

    putter, tasker, namer, grouper, jobber = (Caller(role) for role in ("kv", "task", "named", "group", "job"))
    deeds: Dict[str, Callable[[], Any]] = {
        "kv-put": lambda: put(next_key(), putter),
        "task": lambda: tasker.call("task", "", lambda: ray.get(echo.remote(7), timeout=SHORT)),
        "named-actor": lambda: all_named(namer),
        "placement-group": lambda: grouper.call("placement-group", "", group),
        "job": lambda: jobber.call("job", "", job),
    }
    for operation in operations:
        if operation in deeds:
            every(PERIODS[operation] * setup["pace"], deeds[operation])
    if "new-actor" in operations:
        threading.Thread(target=probe, daemon=True).start()


def make_counter(wanted: Dict[str, str]) -> str:
    """`node` is the address of the Ray node it shall live on; one that is there already is used as it is."""
    name = wanted["name"]
    node = next((n["NodeID"] for n in ray.nodes() if n["Alive"] and n["NodeManagerAddress"] == wanted["node"]), None)
    try:
        handle = ray.get_actor(name, namespace=SPACE)
    except ValueError:
        if node is None:
            return "no living Ray node has the address %s" % wanted["node"]
        handle = CounterActor.options(
            name=name,
            namespace=SPACE,
            lifetime="detached",
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        ).remote()
    ray.get(handle.read.remote(), timeout=30)
    if name not in counters:
        counters[name] = handle
        if "increment" in setup["operations"]:
            count(name)
    return ""


def on_counters(order: Any) -> Dict[str, Any]:
    """Forgets those that are not asked for, which are of a cluster or a Pod that is no more."""
    for name in set(counters) - {wanted["name"] for wanted in order["counters"]}:
        counters.pop(name, None)
    problems = {}
    for wanted in order["counters"]:
        try:
            problem = make_counter(wanted)
        except Exception as error:  # noqa: BLE001  one that fails leaves the others be
            problem = describe(error)
        if problem:
            problems[wanted["name"]] = problem
    return {"problems": problems}


def on_read(order: Any) -> Dict[str, Any]:
    """The last reads of a run: every acknowledged write and every counter."""
    reader = Caller("reader")
    for key in order["keys"]:
        get(key, reader)
    for name in order["counters"]:
        named_actor(name, reader)
    return {}


def on_nodes(_: Any) -> Dict[str, Any]:
    return {"nodes": {n["NodeManagerAddress"]: "ALIVE" if n["Alive"] else "DEAD" for n in sorted_nodes()}}


def sorted_nodes() -> List[Dict[str, Any]]:
    """The dead first: an address may have belonged to a node that died before."""
    return sorted(ray.nodes(), key=lambda node: node["Alive"])


def on_keeper(order: Any) -> Dict[str, Any]:
    port = os.environ.get(order["variable"]) or order["port"]
    return {"state": ask("http://127.0.0.1:%s/v1/state" % port, timeout=3)}


def on_clean(order: Any) -> Dict[str, Any]:
    """Takes away what a drill leaves in somebody's cluster."""
    for name in order["counters"]:
        counters.pop(name, None)
        with contextlib.suppress(ValueError):  # it is gone already
            ray.kill(ray.get_actor(name, namespace=SPACE))
    return {"keys": _internal_kv_del(b"", del_by_prefix=True, namespace=KV)}


def on_probe(order: Any) -> Dict[str, Any]:
    if order["on"]:
        probing.set()
    else:
        probing.clear()
    return {}


ORDERS: Dict[str, Callable[[Any], Dict[str, Any]]] = {
    "ping": lambda _order: {},
    "probe": on_probe,
    "counters": on_counters,
    "read": on_read,
    "nodes": on_nodes,
    "keeper": on_keeper,
    "clean": on_clean,
}


def obey(order: Any) -> None:
    try:
        answer = ORDERS[order["do"]](order)
    except Exception as error:  # noqa: BLE001  who asked is told
        answer = {"problem": describe(error)}
    say(reply=order["id"], at=time.time(), **answer)


class Paced:
    """Ray's own listener for error messages asks again at once for as long as there is no GCS: a core, for nothing."""

    def __init__(self, subscriber: Any) -> None:
        self._subscriber = subscriber

    def poll(self, *given: Any, **named: Any) -> Any:
        began = time.monotonic()
        answer = self._subscriber.poll(*given, **named)
        if answer[1] is None and time.monotonic() - began < 0.05:
            time.sleep(0.2)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._subscriber, name)


def main() -> None:
    ray.init(log_to_driver=False, logging_level="ERROR", namespace=SPACE)
    worker = ray._private.worker.global_worker  # noqa: SLF001  (there is no setting for it)
    if getattr(worker, "gcs_error_subscriber", None) is not None:
        worker.gcs_error_subscriber = Paced(worker.gcs_error_subscriber)
    new_actor()  # imports, exports and a first worker process are no part of any measurement
    say(ready=True, at=time.time())
    begin(setup["operations"])
    for line in iter(sys.stdin.readline, ""):
        order = json.loads(line)
        if order["do"] in ("ping", "probe"):
            obey(order)  # at once: their time is what matters
        else:
            threading.Thread(target=obey, args=(order,), daemon=True).start()
    os._exit(0)  # threads that wait for a GCS that is away must not keep the process


if __name__ == "__main__":
    main()

"""The workload: drivers on a worker and on the head that do a little of everything, and the counters they use.

A driver that dies is noted and started anew; a counter has one life and one name, so that no reader ever has to guess
whether a value that went back was another counter's.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from headstay.drill.driver import Driver, Hears, until_connected
from headstay.drill.history import Actor, Call, Note, Record
from headstay.drill.kube import ExecError, Kube
from headstay.drill.onlooker import Onlooker, PodNow, Role
from headstay.model.keeper_state import DEFAULT_KEEPER_PORT, KEEPER_PORT

OPERATIONS: dict[Role, tuple[str, ...]] = {
    "worker": ("increment", "new-actor", "kv-put", "task", "named-actor", "placement-group", "job"),
    "head": ("named-actor", "task"),
}
# Each process that Ray starts is a second of a processor: with tasks, placement groups and jobs on two processors there
# was nothing left for 50 requests a second.
OPERATIONS_BESIDE_SERVE: dict[Role, tuple[str, ...]] = {
    "worker": ("increment", "new-actor", "kv-put", "named-actor"),
    "head": ("named-actor",),
}
_AGAIN = 1.0
PROBE_PERIOD = 0.1
"""Between two questions for a new actor."""
_PROBE_BOUND = 2.0
_PACE_BESIDE_SERVE = 2
# Asked for more often, or given up and asked for again, new actors would be the load that is measured.
_PROBE_PERIOD_BESIDE_SERVE = 2.5
_PROBE_BOUND_BESIDE_SERVE = 10.0


@dataclass(frozen=True)
class Counter:
    """A detached actor that counts, and the Pod it was put on."""

    name: str
    pod_uid: str
    address: str


class Workload:
    """`start` it once the Pods are there. `attach` says who records, None for nobody."""

    def __init__(self, kube: Kube, onlooker: Onlooker) -> None:
        self._kube = kube
        self._onlooker = onlooker
        self._drivers: dict[Role, Driver] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._write: Callable[[Record], None] | None = None
        self._attached = 0.0
        self._lost: Callable[[str], None] = lambda _name: None
        self._made = 0
        self._probing = False
        self.counters: dict[str, Counter] = {}
        """Those that are alive, as far as anybody noticed."""

    def start(self) -> None:
        roles: tuple[Role, ...] = ("worker", "head")
        self._tasks = [asyncio.create_task(self._keep(role)) for role in roles]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks, self._drivers, self.counters = [], {}, {}

    def attach(self, write: Callable[[Record], None], lost: Callable[[str], None]) -> None:
        self._write, self._lost, self._attached = write, lost, time.time()
        for counter in self.counters.values():
            write(Actor(self._attached, counter.name, counter.pod_uid))

    def detach(self) -> None:
        """Calls that have not come back are written down as such."""
        for driver in self._drivers.values():
            for call in driver.open_calls():
                self._call(call)
        self._write, self._lost = None, lambda _name: None

    def place_of_driver(self) -> str:
        """The worker Pod that the measuring driver is in, or ""."""
        driver = self._drivers.get("worker")
        return driver.pod.seen.name if driver else ""

    def clock(self, pod: str) -> float:
        return next((driver.offset for driver in self._drivers.values() if driver.pod.seen.name == pod), 0.0)

    def asking(self) -> bool:
        """Whether a new actor has been asked for and not been answered."""
        driver = self._drivers.get("worker")
        return driver is not None and driver.open_since("new-actor") is not None

    async def probe(self, *, on: bool) -> None:
        """Ask for new actors, or no longer. A driver that is started anew is told so too."""
        self._probing = on
        driver = self._drivers.get("worker")
        if driver is not None and driver.ready.is_set():
            await driver.ask("probe", timeout=10, on=on)

    async def read(self, keys: list[str], counters: list[str], *, timeout: float) -> None:
        await self._of("worker").ask("read", timeout=timeout, keys=keys, counters=counters)

    async def nodes(self) -> dict[str, str]:
        found: dict[str, str] = (await self._of("worker").ask("nodes", timeout=20))["nodes"]
        return found

    async def keeper(self) -> object:
        """What the keeper of the head says of itself. Raises ExecError where there is none."""
        head = self._of("head")
        return (await head.ask("keeper", timeout=5, variable=KEEPER_PORT, port=DEFAULT_KEEPER_PORT))["state"]

    async def clean(self, counters: list[str]) -> None:
        await self._of("worker").ask("clean", timeout=30, counters=counters)

    async def ready(self, timeout: float) -> None:
        """Both drivers are connected. Raises ExecError after `timeout`."""
        try:
            await until_connected(self._connected, self._tasks, timeout)
        except TimeoutError as late:
            raise ExecError(f"the workload's drivers did not connect within {timeout:.0f} s") from late

    def _connected(self) -> bool:
        return all((driver := self._drivers.get(role)) and driver.ready.is_set() for role in OPERATIONS)

    async def ensure_counters(self) -> None:
        """One for the head and each worker; those of Pods that are gone are forgotten. Raises ExecError."""
        pods = [*self._onlooker.of("worker"), *self._onlooker.of("head")]
        here = {pod.seen.uid for pod in pods}
        self.counters = {name: counter for name, counter in self.counters.items() if counter.pod_uid in here}
        have = {counter.pod_uid for counter in self.counters.values()}
        for pod in pods:
            if pod.seen.uid not in have:
                counter = self._new_counter(pod)
                self.counters[counter.name] = counter
        for role in ("worker", "head"):
            await self._tell_counters(self._of(role))

    def _new_counter(self, pod: PodNow) -> Counter:
        self._made += 1
        return Counter(f"counter-{pod.seen.role}-{self._made}-{pod.seen.uid[:8]}", pod.seen.uid, pod.address)

    async def _tell_counters(self, driver: Driver) -> None:
        wanted = [{"name": counter.name, "node": counter.address} for counter in self.counters.values()]
        problems = (await driver.ask("counters", timeout=60, counters=wanted))["problems"]
        if problems:
            raise ExecError("; ".join(f"{name}: {problem}" for name, problem in problems.items()))

    def _of(self, role: Role) -> Driver:
        driver = self._drivers.get(role)
        if driver is None or not driver.ready.is_set():
            raise ExecError(f"the workload's driver on the {role} is not there")
        return driver

    async def _keep(self, role: Role) -> None:
        """Starts a driver, and another one when it has died, for as long as the drill lasts."""
        while True:
            pod = next((pod for pod in self._onlooker.of(role) if pod.seen.ready), None)
            if pod is not None:
                driver = Driver(self._kube, role, pod, self._setup(role), Hears(self._call, self._counter_lost))
                self._drivers[role] = driver
                greeting = asyncio.create_task(self._greet(driver))
                try:
                    why = await driver.run()
                except ExecError as error:
                    why = str(error)
                finally:
                    greeting.cancel()
                self._note(f"the driver on the {role} ended and is started anew: {why or 'it said nothing'}")
            await asyncio.sleep(_AGAIN)

    def _setup(self, role: Role) -> dict[str, object]:
        """Beside Serve it is a light load."""
        if not self._onlooker.shape.serve:
            timing = {"pace": 1, "probe_period": PROBE_PERIOD, "probe_bound": _PROBE_BOUND}
            return {"operations": OPERATIONS[role], **timing}
        return {
            "operations": OPERATIONS_BESIDE_SERVE[role],
            "pace": _PACE_BESIDE_SERVE,
            "probe_period": _PROBE_PERIOD_BESIDE_SERVE,
            "probe_bound": _PROBE_BOUND_BESIDE_SERVE,
        }

    async def _greet(self, driver: Driver) -> None:
        """A driver that was started anew goes on with the counters of the one before."""
        await driver.ready.wait()
        try:
            if driver.name == "worker":
                await driver.ask("probe", timeout=10, on=self._probing)
            self._forget_the_gone()
            if self.counters:
                await self._tell_counters(driver)
        except ExecError as error:
            self._note(f"the driver on the {driver.name} could not go on where the last one stopped: {error}")

    def _forget_the_gone(self) -> None:
        """Nobody who has seen a counter die is left, where the driver's own cluster went."""
        here = {pod.seen.uid for pod in self._onlooker.pods()}
        for counter in list(self.counters.values()):
            if counter.pod_uid not in here:
                self._counter_lost(counter.name, "its Pod is gone")

    def _call(self, call: Call) -> None:
        """One that began before this run is no part of it."""
        if self._write is not None and call.began >= self._attached:
            self._write(call)

    def _counter_lost(self, name: str, why: str) -> None:
        if self.counters.pop(name, None) is not None:
            self._note(f"counter {name} is dead: {why}")
            self._lost(name)

    def _note(self, text: str) -> None:
        if self._write is not None:
            self._write(Note(time.time(), text))

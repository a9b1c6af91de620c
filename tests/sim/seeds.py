"""One run for one seed: which flows, which weather, who dies when. `python -m tests.sim.seeds FIRST LAST` runs many."""

import asyncio
import hashlib
import logging
import random
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.sim import virtual_time
from tests.sim.kubelet import Ending
from tests.sim.manifests import cluster
from tests.sim.network import Weather
from tests.sim.virtual_time import VirtualLoop
from tests.sim.world import Kit, World, seeded, world

from headstay.model.ray import GROUP_NAME, HEAD, WORKER
from headstay.model.ray_names import head_ingress
from headstay.plan.raycluster.cleanup_policy import CLEANUP_POLICY
from headstay.plan.raycluster.settings import CleanupMode, Settings

MOST_WRITES = 60
"""Writes of the operator for one thing that happened; beyond it something goes round in circles."""


_NAME_IS_FREE_AFTER = 600.0


class Outcome(NamedTuple):
    """`broken` is empty when all went well; `history` digests every change of the store, and when."""

    seed: int
    broken: list[str]
    history: str
    log: list[str]

    def told(self) -> str:
        return "\n".join([f"seed {self.seed}", *self.broken, "---", *self.log])


def run_seed(seed: int, kit: Kit | None = None) -> Outcome:
    with seeded(seed):
        return virtual_time.run(_run(seed, kit))


async def _run(seed: int, kit: Kit | None) -> Outcome:
    """Up to the first complaint: what comes after it may be its consequence."""
    script = random.Random(seed)
    weather = _weather(script)
    mode: CleanupMode = "Mandatory" if script.random() < 0.1 else "BestEffort"
    settings = Settings(redis_access=script.random() < 0.8, cleanup_mode=mode)
    kit = kit or Kit(operators=script.choice([1, 1, 2]), settings=settings)
    async with world(kit, weather) as found:
        play = asyncio.create_task(_Script(found, script).play())
        complaint = asyncio.create_task(found.judges.heard.wait())
        await asyncio.wait({play, complaint}, return_when=asyncio.FIRST_COMPLETED)
        if play.done() and (bug := play.exception()) is not None:
            found.judges.complain("".join(traceback.format_exception(bug)))
        digest = hashlib.sha256(repr(found.history).encode()).hexdigest()
        return Outcome(seed, list(found.judges.broken), digest, list(found.judges.log))


def _weather(script: random.Random) -> Weather:
    """A few kinds of fault at a time: all at once, nothing would ever happen."""
    weather = Weather()
    for name in script.sample(sorted(vars(weather)), k=script.randint(0, 4)):
        setattr(weather, name, script.choice([0.02, 0.1, 0.3]))
    if weather.watch_lags:
        weather.watch_lags = 0.7
    return weather


class _Script:
    def __init__(self, played_in: World, script: random.Random) -> None:
        self._world = played_in
        self._script = script
        self._standing: set[str] = set()
        self._acts = 0

    async def play(self) -> None:
        found, script = self._world, self._script
        found.restart_after = script.choice([0.5, 2.0, 10.0])
        found.cleanup = script.choice([Ending(1.0), Ending(1.0), Ending(1.0, 1, "refused"), None])
        for name in ("a", "b")[: script.choice([1, 1, 2])]:
            await self._create(name)
        for _ in range(script.randint(2, 6)):
            await asyncio.sleep(script.choice([0.0, 0.05, 1.0, 5.0, 30.0]) * script.random())
            act = script.choice(self._repertoire())
            found.judges.log.append(f"{asyncio.get_running_loop().time():.3f} user: {act.__name__}")
            await act(script.choice(["a", "b"]) if len(self._standing) > 1 else "a")
            self._acts += 1
        await asyncio.sleep(30.0 * script.random())
        found.weather.calm()
        found.judges.redis.trouble = ""
        for node in found.nodes:
            found.kubelet.bring_back(node)
        if script.random() < 0.3:
            for name in sorted(self._standing):
                await self._delete(name)
        if found.kit.settings.cleanup_mode == "Mandatory":
            found.cleanup = Ending(1.0)
            found.tasks.append(asyncio.create_task(self._try_again()))
        if not found.kit.settings.redis_access:
            found.tasks.append(asyncio.create_task(self._pay()))
        await found.converge(self._standing)
        if found.judges.own_writes > MOST_WRITES * (self._acts + 2):
            found.judges.complain(f"{found.judges.own_writes} writes for {self._acts} acts")

    async def _try_again(self) -> None:
        """What the condition of a cluster that is held advises."""
        while True:
            await asyncio.sleep(30.0)
            for job in self._world.failed_jobs():
                await self._world.delete_job(job)

    async def _pay(self) -> None:
        """What the command in a debt does, once its head is gone."""
        while True:
            await asyncio.sleep(30.0)
            await self._world.pay_by_hand()

    def _repertoire(self) -> list[Callable[[str], Awaitable[None]]]:
        calm = [self._scale, self._suspend, self._upgrade, self._again, self._create_other]
        more = [self._name_worker, self._want_ingress, self._touch_ingress, self._trouble_redis]
        hurt = [self._fail_head, self._delete_head, self._crash_head, self._fail_worker, self._lose_node]
        return [*calm, *more, *hurt, self._kill, self._kill_after_a_write, self._pause]

    async def _create(self, name: str) -> None:
        script = self._script
        more = {"upgradeStrategy": {"type": "Recreate"}} if script.random() < 0.5 else {}
        ft, workers, slices = script.random() < 0.7, script.randint(0, 3), script.choice([0, 0, 1, 2])
        storage = script.choice(["", "", "shared"])
        policy = script.choice([{}, {}, {}, {CLEANUP_POLICY: "Operator"}, {CLEANUP_POLICY: "Retain"}])
        await self._world.create(
            name, ft=ft, workers=workers, slices=slices, storage=storage, annotations=policy, **more
        )
        self._standing.add(name)

    async def _create_other(self, name: str) -> None:
        if "b" not in self._standing:
            await self._create("b")

    async def _scale(self, name: str) -> None:
        await self._world.scale(name, self._script.choice(["w", "w", "m"]), self._script.randint(0, 4))

    async def _name_worker(self, name: str) -> None:
        for pod in self._world.pods(name, WORKER)[-1:]:
            named = {"workersToDelete": [pod["metadata"]["name"]]}
            await self._world.edit_group(name, pod["metadata"]["labels"][GROUP_NAME], scaleStrategy=named)

    async def _want_ingress(self, name: str) -> None:
        host = self._script.choice(["ray.example", "other.example"])
        await self._world.edit(name, headGroupSpec={"enableIngress": True, "ingressOptions": {"host": host}})

    async def _touch_ingress(self, name: str) -> None:
        await self._world.drop_ingress(head_ingress(name))

    async def _trouble_redis(self, _: str) -> None:
        self._world.judges.redis.trouble = self._script.choice(["away", "NOAUTH", ""])

    async def _suspend(self, name: str) -> None:
        await self._world.edit(name, suspend=True)
        if self._script.random() < 0.7:
            await asyncio.sleep(self._script.choice([0.1, 3.0, 20.0]))
            await self._world.edit(name, suspend=False)

    async def _upgrade(self, name: str) -> None:
        shown = self._world.judges.clusters().get(name)
        if shown is None or shown.spec.get("upgradeStrategy") is None:
            return
        spec = cluster(name)["spec"] | {
            key: shown.spec[key] for key in ("headGroupSpec", "workerGroupSpecs") if key in shown.spec
        }
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            group["template"]["spec"]["containers"][0]["image"] = f"rayproject/ray:2.{10 + self._acts}.0"
        await self._world.edit(name, headGroupSpec=spec["headGroupSpec"], workerGroupSpecs=spec["workerGroupSpecs"])

    async def _delete(self, name: str) -> None:
        self._standing.discard(name)
        await self._world.delete(name)

    async def _again(self, name: str) -> None:
        await self._delete(name)
        if self._script.random() < 0.7 or not self._standing:
            # The name is free only when the finalizer is gone, at the latest after the deletion timeout; where cleanup
            # is mandatory and fails, not before somebody mends that.
            try:
                async with asyncio.timeout(_NAME_IS_FREE_AFTER):
                    await self._create(name)
            except TimeoutError:
                if self._world.kit.settings.cleanup_mode != "Mandatory":
                    self._world.judges.complain(f"{name} is still there")

    async def _fail_head(self, name: str) -> None:
        await self._world.fail_pod(name, HEAD)

    async def _delete_head(self, name: str) -> None:
        await self._world.delete_pod(name, HEAD)

    async def _crash_head(self, name: str) -> None:
        await self._world.crash_pod(name, HEAD)

    async def _fail_worker(self, name: str) -> None:
        await self._world.fail_pod(name, WORKER)

    async def _lose_node(self, _: str) -> None:
        node = self._script.choice(self._world.nodes)
        self._world.kubelet.lose(node)
        asyncio.get_running_loop().call_later(self._script.uniform(1, 60), self._world.kubelet.bring_back, node)

    async def _kill(self, _: str) -> None:
        self._world.kill(self._script.choice(sorted(self._world.operators)))

    async def _kill_after_a_write(self, _: str) -> None:
        self._world.kill_in(self._script.randint(1, 6))

    async def _pause(self, _: str) -> None:
        """The leader stops as a whole, as on a machine that swaps, and goes on as if nothing had been."""
        loop, leader = asyncio.get_running_loop(), self._world.leader
        if leader is not None and isinstance(loop, VirtualLoop):
            loop.freeze(leader.name)
            loop.call_later(self._script.choice([1.0, 12.0, 40.0]), loop.thaw, leader.name)


def main(first: int, last: int, step: int = 1, share: int = 0) -> int:
    """Runs every `step`th of seeds first..last-1 and prints a line for each that failed; their number."""
    failed = 0
    for seed in range(first + share, last, step):
        outcome = run_seed(seed)
        if outcome.broken:
            failed += 1
            print(f"seed {seed}: {outcome.broken[0]}", flush=True)
    return failed


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    if sys.argv[1] == "--history":
        print(run_seed(int(sys.argv[2])).history)
    else:
        sys.exit(1 if main(*map(int, sys.argv[1:])) else 0)

"""The end of a run: waiting until all is as the specs say and the operator rests, and what is wrong until then."""

import asyncio
from typing import TYPE_CHECKING

import msgspec
from tests.sim.records import is_ready, owner_of, wanted_storage

from headstay.model.objects import Obj
from headstay.model.ray import HEAD, RAYCLUSTERS, WORKER, RayCluster
from headstay.model.ray_names import head_ingress
from headstay.plan.raycluster.journal import read_journal
from headstay.plan.raycluster.writer import CONFLICT

if TYPE_CHECKING:
    from tests.sim.world import World

_REST = 20.0
_CHILDREN = ("pods", "services", "jobs.batch", "ingresses.networking.k8s.io")
_INGRESSES = "ingresses.networking.k8s.io"


async def converge(world: "World", wanted: set[str], seconds: float) -> None:
    """Waits until the clusters named, and no others, are as their specs say, then that the operator rests."""
    loop = asyncio.get_running_loop()
    until, calm_since = loop.time() + seconds, loop.time()
    judges, writes, looked_at, why = world.judges, -1, -1, ""
    while True:
        if looked_at != world.changes or why or world.leader is None:
            looked_at, why = world.changes, world.unlike(wanted) or _caches_unlike_lists(world)
        if why or judges.own_writes != writes:
            calm_since, writes = loop.time(), judges.own_writes
        if loop.time() - calm_since >= _REST:
            break
        if loop.time() > until:
            judges.complain(f"not converged after {seconds:g} s: {why or 'the operator never rests'}")
            return
        await asyncio.sleep(1.0)
    for text in (*judges.orphans(world.api.store), *judges.redis.forgotten()):
        judges.complain(text)


def unlike(world: "World", wanted: set[str]) -> str:
    """What is not yet as it should be, or ""."""
    found = world.judges.clusters()
    if set(found) != wanted:
        return f"there are clusters {sorted(found)}, not {sorted(wanted)}"
    for name, shown in sorted(found.items()):
        if shown.deleting:
            return f"{name} is still being deleted, finalizers {shown.metadata.finalizers}"
        if (why := _unlike_spec(world, name, shown.spec, shown.status)) and not _is_rightly_refused(world, shown):
            return f"{name}: {why}"
        if why := _unlike_records(world, shown):
            return f"{name}: {why}"
    if owed := sorted(world.judges.redis.debts):
        return f"debts of {owed}"
    store = world.api.store
    if not wanted and (left := [key.text for table in _CHILDREN for key, _ in store.entries(table)]):
        return f"left behind: {', '.join(left)}"
    return ""


def _unlike_records(world: "World", shown: RayCluster) -> str:
    found = [record for record in read_journal(shown) if record.how == "InPlace"]
    if len(found) != world.records.get(shown.name, 0):
        return f"recoveries written down: {[record.id for record in found]}, there were {world.records}"
    unfinished = [record.id for record in found if record.workers is None]
    return f"recoveries {unfinished} are not complete" if unfinished else ""


def _unlike_spec(world: "World", name: str, spec: Obj, status: Obj) -> str:
    suspended = bool(spec.get("suspend"))
    heads, workers = world.pods(name, HEAD), world.pods(name, WORKER)
    want_heads = 0 if suspended else 1
    if len(heads) != want_heads or not all(map(is_ready, heads)):
        return f"{len(heads)} head Pods, {want_heads} wanted"
    for group in spec["workerGroupSpecs"]:
        of_group = [pod for pod in workers if pod["metadata"]["labels"]["ray.io/group"] == group["groupName"]]
        want = 0 if suspended else group["replicas"] * group.get("numOfHosts", 1)
        if len(of_group) != want or not all(map(is_ready, of_group)):
            return f"{len(of_group)} Pods in group {group['groupName']}, {want} wanted"
    state = "suspended" if suspended else "ready"
    if status.get("state") != state:
        return f"state is {status.get('state')}, not {state}"
    if kept := [pod["metadata"]["name"] for pod in workers if pod["metadata"]["uid"] in world.must_go]:
        return f"{kept} did not come back to the GCS, and are still there"
    if not suspended and status.get("readyWorkerReplicas", 0) != len(workers):
        return f"status tells of {status.get('readyWorkerReplicas')} ready workers, there are {len(workers)}"
    images = {pod["spec"]["containers"][0]["image"] for pod in (*heads, *workers)}
    wants = {spec["headGroupSpec"]["template"]["spec"]["containers"][0]["image"]}
    if images and images != wants:
        return f"Pods run {sorted(images)}, not {sorted(wants)}"
    return _unlike_ingress(world, name, spec["headGroupSpec"]) if not suspended else ""


def _is_rightly_refused(world: "World", refused: RayCluster) -> bool:
    """Without a head, told so, and because of one that stands. Workers of a head that it had before may be left."""
    if not refused.is_true(CONFLICT) or world.pods(refused.name, HEAD):
        return False
    storage = {
        shown.metadata.uid: wanted_storage({"metadata": {"uid": shown.metadata.uid}, "spec": shown.spec})
        for shown in world.judges.clusters().values()
    }
    return any(
        storage[other.metadata.uid] == storage[refused.metadata.uid]
        and other.name != refused.name
        and not _unlike_spec(world, other.name, other.spec, other.status)
        for other in world.judges.clusters().values()
    )


def _unlike_ingress(world: "World", name: str, head: Obj) -> str:
    if not head.get("enableIngress"):
        return ""
    entries = [entry for key, entry in world.api.store.entries(_INGRESSES) if key.name == head_ingress(name)]
    if not entries:
        return "its Ingress is missing"
    found = msgspec.json.decode(entries[0].value)
    host = (head.get("ingressOptions") or {}).get("host")
    if found["spec"]["rules"][0].get("host") != host:
        return f"its Ingress is for host {found['spec']['rules'][0].get('host')}, not {host}"
    return "" if owner_of(found) in world.judges.live_clusters else "its Ingress belongs to nobody"


def _caches_unlike_lists(world: "World") -> str:
    """Once nothing changes any more, what the leader holds must be what the server holds."""
    leader = world.leader
    if leader is None:
        return "nobody leads"
    for reflector in leader.reflectors:
        table = f"{reflector.resource.plural}.{reflector.resource.group}".rstrip(".")
        held = {found.metadata.name: found.metadata.resource_version for found in reflector.cache.list()}
        listed = {key.name: str(entry.revision) for key, entry in world.api.store.entries(table)}
        selected = reflector.resource != RAYCLUSTERS
        if any(listed.get(name) != held[name] for name in held) or (len(held) < len(listed) and not selected):
            return f"the cache of {reflector.resource} holds {held}, the list {listed}"
    return ""

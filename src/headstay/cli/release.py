"""`headstay operator release-finalizers`: for clusters that no operator will ever clean up after.

Without an operator a RayCluster with the Redis cleanup finalizer cannot be deleted, and no RayService. This takes the
finalizers off, and names the storage namespaces whose keys then stay in Redis. Other finalizers are not touched.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import typer

from headstay.cli.output import Output, UserError, console, print_json
from headstay.controllers.manifests import LEASE
from headstay.model.errors import StatusError, is_conflict, is_not_found
from headstay.model.objects import Obj
from headstay.model.ray import RAYCLUSTERS, REDIS_CLEANUP_FINALIZER, RayCluster, RayObject
from headstay.model.rayservice import RAYSERVICE_FINALIZER, RAYSERVICES, RayService
from headstay.model.resource import LEASES, Resource
from headstay.model.timestamps import parse
from headstay.plan.raycluster.identity import storage_namespace_env
from headstay.runtime.client import Client, TransportError
from headstay.runtime.http import HttpClient
from headstay.runtime.kubeconfig import ConfigError, load_kubeconfig

_LEASES = (LEASE, "ray-operator-leader")
_TRIES = 3
_PAGE = 500


@dataclass(frozen=True)
class Options:
    kubeconfig: Path | None
    context: str
    namespace: str
    all_namespaces: bool
    assume_yes: bool
    force: bool
    output: Output


class Held(NamedTuple):
    """An object with a finalizer of ours, and of a RayCluster the storage namespace that stays behind."""

    resource: Resource
    namespace: str
    name: str
    deleting: bool
    storage: str = ""

    @property
    def finalizer(self) -> str:
        return REDIS_CLEANUP_FINALIZER if self.resource == RAYCLUSTERS else RAYSERVICE_FINALIZER

    def as_json(self) -> dict[str, Any]:
        found = {
            "kind": self.resource.kind,
            "namespace": self.namespace,
            "name": self.name,
            "beingDeleted": self.deleting,
        }
        return found | ({"storageNamespace": self.storage} if self.storage else {})


def release_finalizers(options: Options) -> None:
    """Raises UserError when nothing may or can be done, and when a finalizer stayed on."""
    if options.output is Output.json and not options.assume_yes:
        raise UserError("-o json asks no questions", hint="Add --yes.", code=2)
    if options.namespace and options.all_namespaces:
        raise UserError("--namespace and --all-namespaces exclude each other", code=2)
    try:
        asyncio.run(_run(options))
    except (ConfigError, StatusError, TransportError) as error:
        raise UserError(str(error)) from error


async def _run(options: Options) -> None:
    config = load_kubeconfig(options.kubeconfig, options.context)
    namespace = "" if options.all_namespaces else options.namespace or config.namespace
    async with HttpClient(config) as client:
        if not options.force:
            await _refuse_beside_an_operator(client)
        held = [one async for one in _all_held(client, namespace)]
        if not held:
            _say_nothing_to_do(options, namespace)
            return
        if not options.assume_yes:
            _ask(held)
        failed = {one: why for one in held if (why := await _release(client, one))}
    _report(options, held, failed)


async def _all_held(client: Client, namespace: str) -> AsyncIterator[Held]:
    """RayServices first: with its own finalizer off, one that is being deleted lets its RayClusters go, too."""
    try:
        async for item in _all(client, RAYSERVICES, namespace):
            service = msgspec.json.decode(item, type=RayService)
            if RAYSERVICE_FINALIZER in service.metadata.finalizers:
                yield _held(RAYSERVICES, service)
    except StatusError as error:
        if not is_not_found(error):  # a cluster without that CRD has no RayServices
            raise
    async for item in _all(client, RAYCLUSTERS, namespace):
        cluster = msgspec.json.decode(item, type=RayCluster)
        if REDIS_CLEANUP_FINALIZER in cluster.metadata.finalizers:
            storage = storage_namespace_env(cluster).get("value") or "(taken from the head Pod's environment)"
            yield _held(RAYCLUSTERS, cluster)._replace(storage=storage)


def _held(resource: Resource, found: RayObject) -> Held:
    return Held(resource, found.namespace, found.name, found.deleting)


async def _all(client: Client, resource: Resource, namespace: str) -> AsyncIterator[bytes]:
    token = ""
    while True:
        page = await client.list_page(resource, namespace, limit=_PAGE, continue_token=token)
        for item in page.items:
            yield item
        token = page.continue_token
        if not token:
            return


async def _refuse_beside_an_operator(client: Client) -> None:
    """An operator that runs puts the finalizer on again, and takes it off by itself after a deletion."""
    try:
        leases = [msgspec.json.decode(item) async for item in _all(client, LEASES, "")]
    except StatusError as error:
        raise UserError(f"cannot tell whether an operator still runs: {error}", hint="Add --force to go on.") from error
    for lease in leases:
        if lease["metadata"]["name"] in _LEASES and _is_held(lease, datetime.now(UTC)):
            where = f"{lease['metadata']['namespace']}/{lease['metadata']['name']}"
            holder = lease["spec"]["holderIdentity"]
            raise UserError(
                f"an operator is running (Lease {where}, held by {holder}): it would put the finalizer on again",
                hint="Delete the RayCluster and let it clean up, or stop it first. A Lease that was left behind runs "
                "out by itself. --force goes on all the same.",
            )


def _is_held(lease: Obj, now: datetime) -> bool:
    spec = lease.get("spec") or {}
    if not spec.get("holderIdentity") or not spec.get("renewTime"):
        return False
    return parse(spec["renewTime"]) + timedelta(seconds=spec.get("leaseDurationSeconds") or 15) > now


def _ask(held: list[Held]) -> None:
    console.print(f"The finalizers of Headstay will be taken off {len(held)} objects:")
    for one in held:
        console.print(f"  {_line(one)}", soft_wrap=True)
    if not typer.confirm("Their keys in Redis are then yours to remove. Go on?"):
        raise UserError("nothing was changed")


def _line(one: Held) -> str:
    state = ", being deleted" if one.deleting else ""
    keys = f"; keys of storage namespace {one.storage} stay in Redis" if one.storage else ""
    return f"{one.resource.kind} {one.namespace}/{one.name}{state}{keys}"


async def _release(client: Client, one: Held) -> str:
    """Why the finalizer is still on, or "". The version that was read is the precondition of each try."""
    why = ""
    for _ in range(_TRIES):
        try:
            found = await client.get(one.resource, one.namespace, one.name)
            rest = [name for name in found["metadata"].get("finalizers") or [] if name != one.finalizer]
            metadata = {"finalizers": rest or None, "resourceVersion": found["metadata"]["resourceVersion"]}
            await client.patch(one.resource, one.namespace, one.name, {"metadata": metadata})
        except StatusError as error:
            if is_not_found(error):
                return ""
            why = str(error)
            if not is_conflict(error):
                return why
        except TransportError as error:
            return str(error)
        else:
            return ""
    return why


def _say_nothing_to_do(options: Options, namespace: str) -> None:
    if options.output is Output.json:
        print_json({"released": [], "failed": []})
    else:
        where = f"in namespace {namespace}" if namespace else "in any namespace"
        console.print(f"No object {where} has a finalizer of Headstay.")


def _report(options: Options, held: list[Held], failed: dict[Held, str]) -> None:
    released = [one for one in held if one not in failed]
    if options.output is Output.json:
        failures = [one.as_json() | {"error": why} for one, why in failed.items()]
        print_json({"released": [one.as_json() for one in released], "failed": failures})
    else:
        for one in released:
            console.print(f"released {_line(one)}", soft_wrap=True)
        for one, why in failed.items():
            console.print(
                f"[bold red]not released[/] {one.resource.kind} {one.namespace}/{one.name}: {why}", soft_wrap=True
            )
    if failed:
        raise SystemExit(1)

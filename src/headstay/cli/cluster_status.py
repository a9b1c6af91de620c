"""`headstay status CLUSTER`: one RayCluster's fault tolerance in one look, on any Kubernetes."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from headstay.cli.output import Output, UserError, console, print_json
from headstay.model.errors import StatusError, is_not_found
from headstay.model.meta import Pod
from headstay.model.ray import CLUSTER, HEAD, NODE_TYPE, RAYCLUSTERS, WORKER, RayCluster
from headstay.model.resource import PODS
from headstay.model.timestamps import parse
from headstay.plan.raycluster.aftercare import REDIS_DATA, WORKERS_RETURNED, spans
from headstay.plan.raycluster.heads import GCS_SERVING
from headstay.plan.raycluster.identity import ft_enabled
from headstay.plan.raycluster.in_place import KEEPER_PORT_ANNOTATION
from headstay.plan.raycluster.journal import Record, read_journal
from headstay.plan.raycluster.redis_check import REDIS_REACHABLE
from headstay.runtime.client import Client, TransportError
from headstay.runtime.http import HttpClient
from headstay.runtime.kubeconfig import ConfigError, load_kubeconfig

_PHASES = ("detect", "restart", "ready", "total", "answered", "workers")


@dataclass(frozen=True)
class Options:
    cluster: str
    kubeconfig: Path | None
    context: str
    namespace: str
    output: Output


def show(options: Options) -> None:
    """Raises UserError where there is no such RayCluster, or no Kubernetes to ask."""
    try:
        found = asyncio.run(_gather(options))
    except (ConfigError, StatusError, TransportError) as error:
        raise UserError(str(error)) from error
    if options.output is Output.json:
        print_json(found)
    else:
        _print(found)


async def _gather(options: Options) -> dict[str, Any]:
    config = load_kubeconfig(options.kubeconfig, options.context)
    namespace = options.namespace or config.namespace
    async with HttpClient(config) as client:
        try:
            document = await client.get(RAYCLUSTERS, namespace, options.cluster)
        except StatusError as error:
            if is_not_found(error):
                raise UserError(
                    f"there is no RayCluster {options.cluster} in namespace {namespace}",
                    hint="kubectl get rayclusters --all-namespaces",
                ) from error
            raise
        pods = await _pods(client, namespace, options.cluster)
    return report(msgspec.convert(document, RayCluster), pods)


async def _pods(client: Client, namespace: str, cluster: str) -> list[Pod]:
    page = await client.list_page(PODS, namespace, label_selector=f"{CLUSTER}={cluster}")
    return [msgspec.json.decode(item, type=Pod) for item in page.items]


def report(cluster: RayCluster, pods: list[Pod]) -> dict[str, Any]:
    """What is shown, as data."""
    heads = [pod for pod in pods if pod.metadata.labels.get(NODE_TYPE) == HEAD]
    workers = [pod for pod in pods if pod.metadata.labels.get(NODE_TYPE) == WORKER]
    living = [pod for pod in heads if pod.metadata.deletion_timestamp is None]
    head = next(iter(living or heads), None)
    return {
        "namespace": cluster.namespace,
        "name": cluster.name,
        "state": cluster.status.get("state", ""),
        "faultTolerance": _mode(cluster, head),
        "head": _head(head),
        "gcs": _condition(cluster, GCS_SERVING),
        "redis": _condition(cluster, REDIS_DATA) or _condition(cluster, REDIS_REACHABLE),
        "workers": {
            "desired": cluster.status.get("desiredWorkerReplicas", 0),
            "ready": sum(1 for pod in workers if pod.ready),
            "returned": _condition(cluster, WORKERS_RETURNED),
        },
        "recoveries": [_recovery(record) for record in read_journal(cluster)],
    }


def _mode(cluster: RayCluster, head: Pod | None) -> str:
    """As the head that runs has it: the annotation may have changed since it was made."""
    if not ft_enabled(cluster):
        return "Off"
    return "InPlace" if head is not None and KEEPER_PORT_ANNOTATION in head.metadata.annotations else "RestartHead"


def _head(head: Pod | None) -> dict[str, Any] | None:
    if head is None:
        return None
    return {
        "pod": head.metadata.name,
        "phase": head.status.phase,
        "ready": head.ready,
        "restarts": head.ray_container.restart_count if head.ray_container else 0,
    }


def _condition(cluster: RayCluster, kind: str) -> dict[str, str] | None:
    found = cluster.condition(kind)
    if found is None:
        return None
    return {
        "status": found.status,
        "reason": found.reason,
        "message": found.message,
        "since": found.last_transition_time or "",
    }


def _recovery(record: Record) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(record)
    return told | {"seconds": {phase: round(length, 3) for phase, length in spans(record).items()}}


def _print(found: dict[str, Any]) -> None:
    grid = Table.grid(padding=(0, 2))
    head, workers = found["head"], found["workers"]
    grid.add_row("[bold]RayCluster[/]", Text(f"{found['namespace']}/{found['name']} {found['state']}"))
    grid.add_row("[bold]fault tolerance[/]", found["faultTolerance"])
    grid.add_row("[bold]head[/]", Text(_head_text(head)))
    if found["gcs"]:
        grid.add_row("[bold]GCS[/]", _said(found["gcs"]))
    if found["redis"]:
        grid.add_row("[bold]Redis[/]", _said(found["redis"]))
    grid.add_row("[bold]workers[/]", f"{workers['ready']} ready of {workers['desired']}")
    if workers["returned"]:
        grid.add_row("", _said(workers["returned"]))
    console.print(grid)
    _print_recoveries(found["recoveries"])


def _head_text(head: dict[str, Any] | None) -> str:
    if head is None:
        return "none"
    state = "ready" if head["ready"] else f"not ready, {head['phase']}"
    return f"{head['pod']} {state}, restarts {head['restarts']}"


def _said(condition: dict[str, str]) -> Text:
    text = Text(condition["reason"], style="" if condition["status"] == "True" else "bold red")
    return text if condition["status"] == "True" else text.append(f" {condition['message']}", style="not bold")


def _print_recoveries(recoveries: list[dict[str, Any]]) -> None:
    if not recoveries:
        console.print("\nNo recovery is written down.")
        return
    table = Table(title="Recoveries (seconds)", title_justify="left", box=None, padding=(0, 1), header_style="bold")
    for heading in ("lost", "how"):
        table.add_column(heading, no_wrap=True)
    for heading in _PHASES:
        table.add_column(heading, justify="right", no_wrap=True)
    for one in recoveries:
        lengths = [f"{one['seconds'][phase]:.2f}" if phase in one["seconds"] else "-" for phase in _PHASES]
        table.add_row(_moment(one), one["how"], *lengths)
    console.print()
    console.print(table)
    for one in recoveries:
        if why := _why(one):
            console.print(Text(f" {_moment(one)}  {why}"), soft_wrap=True)


def _why(recovery: dict[str, Any]) -> str:
    return "; ".join(filter(None, (recovery.get("why"), "Redis had lost its data" if recovery.get("dataLost") else "")))


def _moment(recovery: dict[str, Any]) -> str:
    text = recovery.get("lost") or recovery.get("detected") or recovery.get("ready") or ""
    return parse(text).astimezone().strftime("%Y-%m-%d %H:%M:%S") if text else "-"

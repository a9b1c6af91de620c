"""`headstay drill`: what was asked for, checked and put together; the drill itself is `headstay.drill`."""

import asyncio
import os
import platform
import secrets
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import typer
import yaml

from headstay import __version__
from headstay.cli import lifecycle
from headstay.cli.drill_view import LiveView, Quiet, View, list_faults, show_plan, show_result
from headstay.cli.kubectl import Kubectl
from headstay.cli.output import Output, UserError
from headstay.cli.quickstart.place import sample_path
from headstay.drill.campaign import Campaign
from headstay.drill.expression import Combination, ExpressionError, parse
from headstay.drill.faults import KINDS, rules
from headstay.drill.history import Run
from headstay.drill.kube import DrillError, Kube
from headstay.drill.manifest import Wanted
from headstay.drill.onlooker import OPERATOR_LABEL
from headstay.drill.place import OwnPlace, Place, TargetPlace
from headstay.drill.report import About, ReportFiles, write_report
from headstay.drill.safety import ALLOWED, target_refusal
from headstay.drill.schedule import Planned, schedule
from headstay.local.config import LocalConfig
from headstay.model.errors import StatusError
from headstay.model.objects import Obj, annotations
from headstay.model.ray import RAYCLUSTERS
from headstay.model.resource import PODS
from headstay.runtime.client import TransportError
from headstay.runtime.http import HttpClient
from headstay.runtime.kubeconfig import ClusterConfig, ConfigError, find_cluster_config

REDIS_IMAGE = "redis:7.4"
SERVE_SAMPLE = "ray-service.gcs-ft.yaml"
FASTEST = 1000
"""More requests a second than one program sends evenly."""
_RECOVERIES = {"InPlace": ["InPlace"], "RestartHead": ["RestartHead"], "both": ["InPlace", "RestartHead"]}


@dataclass(frozen=True)
class Options:
    """As typed; "" and None are what was not."""

    faults: str
    runs: int
    recovery: str
    seed: int | None
    out: Path | None
    workers: int
    image: str
    ray_version: str
    serve: str
    target: str
    namespace: str
    context: str
    kubeconfig: Path | None
    dry_run: bool
    list: bool
    output: Output


@dataclass(frozen=True)
class Asked:
    """What the options come to, before any cluster has been looked at."""

    options: Options
    combinations: Sequence[Combination]
    rates: Sequence[int]
    """Of requests to Serve, a second: one for each campaign within the campaign; [0] is a drill without Serve."""
    seed: int
    folder: Path


def drill(options: Options) -> None:
    """Raises UserError (code 2 for what was asked wrongly); exits 1 when not all was found valid."""
    if options.list:
        list_faults(options.output)
        return
    asked = _asked(options)
    try:
        valid = asyncio.run(_drill(asked))
    except (ConfigError, StatusError, TransportError) as error:
        raise UserError(str(error)) from error
    except DrillError as error:
        raise UserError(str(error), hint=error.hint) from error
    if not valid:
        raise SystemExit(1)


def _asked(options: Options) -> Asked:
    rates = _rates(options.serve)
    try:
        combinations = parse(options.faults, rules(serve=bool(options.serve)))
    except ExpressionError as error:
        raise UserError(str(error), hint="headstay drill --list says what each does.", code=2) from error
    steps = [step for combination in combinations for step in combination.steps]
    if not options.serve and (needs := [str(step) for step in steps if KINDS[step.name].of_serve]):
        raise UserError(f"--faults: {needs[0]} needs a RayService", hint="Add --serve 50, for one.", code=2)
    if options.target and options.serve:
        raise UserError("--serve is for a RayService the drill makes, not for a --target", code=2)
    if options.recovery not in {*_RECOVERIES, ""}:
        raise UserError(f"--recovery is InPlace, RestartHead or both, not {options.recovery!r}", code=2)
    if options.target and options.recovery:
        raise UserError("--recovery is for a cluster the drill makes; a --target recovers as it was made to", code=2)
    if options.target and (options.image or options.ray_version):
        raise UserError("--image and --ray-version are for a cluster the drill makes, not for a --target", code=2)
    if options.namespace and not options.target:
        raise UserError("--namespace says where the --target is; without one a drill makes its own", code=2)
    seed = options.seed if options.seed is not None else secrets.randbelow(1_000_000)
    folder = options.out or Path(f"headstay-drill-{datetime.now():%Y%m%d-%H%M%S}")  # noqa: DTZ005  (the user's own time)
    if not options.dry_run:
        Kubectl(os.environ)  # which says so where there is none
    if not options.dry_run and folder.exists() and any(folder.iterdir()):
        raise UserError(f"--out {folder} is not empty", hint="Name a new folder: a history is never mixed.", code=2)
    return Asked(options, combinations, rates, seed, folder)


def _rates(text: str) -> list[int]:
    if not text:
        return [0]
    try:
        rates = [int(part) for part in text.split(",")]
    except ValueError:
        rates = []
    if not rates or not all(0 < rate <= FASTEST for rate in rates):
        raise UserError(
            f"--serve is requests a second, whole numbers from 1 to {FASTEST} with commas between, not {text!r}",
            hint="--serve 50 for one load, --serve 10,50,100 for three.",
            code=2,
        )
    return list(dict.fromkeys(rates))


async def _drill(asked: Asked) -> bool:
    """Whether all was done and found valid."""
    config = _config(asked.options)
    async with HttpClient(config) as client:
        namespace = asked.options.namespace or config.namespace
        if asked.options.target:
            kube = Kube(client, namespace, _kubectl_options(asked.options))
            target = await _target(asked.options, kube)
            place: Place = target
            recoveries = [await target.recovery()]
        else:
            name = f"headstay-drill-{secrets.token_hex(3)}"
            kube = Kube(client, name, _kubectl_options(asked.options))
            place, recoveries = _own_place(asked, kube), _RECOVERIES[asked.options.recovery or "InPlace"]
        planned = schedule(asked.combinations, recoveries, runs=asked.options.runs, seed=asked.seed, rates=asked.rates)
        if asked.options.dry_run:
            show_plan(place, config.context, planned, asked.seed, asked.options.output)
            return True
        return await _carry_out(asked, place, planned, await _versions(client, place))


def _config(options: Options) -> ClusterConfig:
    """As kubectl finds its own; where nothing leads anywhere, a local Headstay that is up."""
    return find_cluster_config(_kubeconfig(options), options.context)


def _kubeconfig(options: Options) -> Path | None:
    if options.kubeconfig is not None or options.context or os.environ.get("KUBECONFIG"):
        return options.kubeconfig
    local = LocalConfig.from_environment()
    return local.kubeconfig if lifecycle.is_up(local) else None


def _kubectl_options(options: Options) -> tuple[str, ...]:
    path = _kubeconfig(options)
    found = [f"--kubeconfig={path}"] if path is not None else []
    return (*found, *([f"--context={options.context}"] if options.context else []))


def _own_place(asked: Asked, kube: Kube) -> OwnPlace:
    path, kind = (sample_path(SERVE_SAMPLE), "RayService") if asked.options.serve else (sample_path(), "RayCluster")
    documents: list[Obj] = list(yaml.safe_load_all(path.read_text()))
    sample = next(document for document in documents if document["kind"] == kind)
    hands = any(KINDS[step.name].needs_hands for combination in asked.combinations for step in combination.steps)
    wanted = Wanted(
        drill=kube.namespace,
        namespace=kube.namespace,
        sample=sample,
        redis_image=REDIS_IMAGE,
        workers=asked.options.workers,
        hands=hands,
        image=asked.options.image
        or (f"rayproject/ray:{asked.options.ray_version}" if asked.options.ray_version else ""),
        version=asked.options.ray_version,
    )
    return OwnPlace(kube, wanted)


async def _target(options: Options, kube: Kube) -> TargetPlace:
    """The cluster, if it may be broken: it says so itself, or the person at the terminal types its name."""
    cluster = await kube.find(RAYCLUSTERS, options.target)
    if cluster is None:
        raise UserError(
            f"there is no RayCluster {options.target} in namespace {kube.namespace}", hint="See --namespace."
        )
    typed = ""
    if target_refusal(options.target, annotations(cluster), typed) and not options.dry_run and sys.stdin.isatty():
        typed = typer.prompt(f"This breaks RayCluster {kube.namespace}/{options.target}. Type its name to go on")
    refusal = target_refusal(options.target, annotations(cluster), typed)
    command = f"kubectl annotate -n {kube.namespace} raycluster {options.target} {ALLOWED}=true"
    if refusal and not options.dry_run:
        raise UserError(refusal, hint=f"If it may be broken: {command}")
    return TargetPlace(kube, cluster, refusal=f"{refusal}; if it may be broken: {command}" if refusal else "")


async def _versions(client: HttpClient, place: Place) -> dict[str, str]:
    return {"headstay": __version__, **(await _kubernetes(client)), **place.versions()}


async def _kubernetes(client: HttpClient) -> dict[str, str]:
    try:
        return {"kubernetes": str(msgspec.json.decode(await client.get_raw("/version"))["gitVersion"])}
    except (StatusError, TransportError, KeyError, msgspec.DecodeError):
        return {}  # a server may keep that to itself


async def _operators_visible(kube: Kube) -> bool:
    try:
        await kube.list(PODS, "", selector=OPERATOR_LABEL)
    except (StatusError, TransportError):
        return False
    return True


async def _carry_out(asked: Asked, place: Place, planned: Sequence[Planned], versions: dict[str, str]) -> bool:
    view: View = Quiet() if asked.options.output is Output.json else LiveView(planned)
    campaign = Campaign(place, planned, asked.folder, view, operators=await _operators_visible(place.kube))
    place.tell(view.says)
    started = time.time()
    hurry = asyncio.Event()
    task = asyncio.create_task(campaign.go())
    with view, _Interrupts(task, hurry, view):
        problem, hint = await _outcome(task, campaign)
        files = _report(asked, campaign.runs, started, versions, problem)
        left = await place.remove(hurry)
    return show_result(files, problem or left, hint, asked.options.output)


async def _outcome(task: "asyncio.Task[None]", campaign: Campaign) -> tuple[str, str]:
    """Why the campaign did not come to its end, and a hint; both "" if it did."""
    try:
        await task
    except asyncio.CancelledError:
        return campaign.problem or "interrupted", ""
    except DrillError as error:
        return str(error), error.hint
    return "", ""


class _Interrupts:
    """The first Ctrl-C (or SIGTERM) ends the campaign in good order; the second no longer waits for anything."""

    def __init__(self, task: "asyncio.Task[None]", hurry: asyncio.Event, view: View) -> None:
        self._task = task
        self._hurry = hurry
        self._view = view
        self._asked_once = False

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._asked)

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)

    def _asked(self) -> None:
        if self._asked_once:
            self._view.says("Leaving now. What is broken heals by itself; the namespace goes by itself.")
            self._hurry.set()
        else:
            self._asked_once = True
            self._view.says("Ending: what was broken is healed, the report written, what was made removed.")
        self._task.cancel()


def _report(asked: Asked, runs: Sequence[Run], started: float, versions: dict[str, str], problem: str) -> ReportFiles:
    about = About(
        title=f"Drill of {asked.options.target}" if asked.options.target else "Drill",
        command=shlex.join(["headstay", *sys.argv[1:]]),
        seed=asked.seed,
        started=started,
        versions=versions,
        machine=f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs (where the drill ran)",
        partial=problem,
    )
    return write_report(asked.folder, runs, about)

"""The operator's configuration file (`--config`), in the words of KubeRay's: `config.ray.io/v1alpha1`, `Configuration`.

What it says wins over flags. A field that means nothing here is accepted and named once in the log, also one that is
not known, as KubeRay passes those over; what asks for something that is not built is refused.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml

from headstay.model.objects import Obj
from headstay.model.ray import (
    CLUSTER,
    ENV_REDIS_ADDRESS,
    ENV_STORAGE_NAMESPACE,
    EXTERNAL_STORAGE_NAMESPACE,
    FT_ENABLED,
    GROUP_NAME,
    HOST_INDEX,
    IDENTIFIER,
    IS_RAY_NODE,
    NODE_TYPE,
    OPERATOR_VERSION,
    OVERWRITE_CONTAINER_CMD,
    RECREATE_HASH,
    REPLICA_INDEX,
    REPLICA_NAME,
    SERVE,
)
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.validation_shapes import container_problems, env_problems

API_VERSION = "config.ray.io/v1alpha1"
KIND = "Configuration"

_OURS = "headstay.io/"
# By these the operator tells what a Pod is; one for all Pods would say something wrong of most.
_LABELS = {CLUSTER, GROUP_NAME, HOST_INDEX, IDENTIFIER, IS_RAY_NODE, NODE_TYPE, REPLICA_INDEX, REPLICA_NAME, SERVE}
_ANNOTATIONS = {EXTERNAL_STORAGE_NAMESPACE, FT_ENABLED, OPERATOR_VERSION, OVERWRITE_CONTAINER_CMD, RECREATE_HASH}
# One of these for all clusters would put their tables into one place in Redis, where they destroy each other.
_STORAGE = {ENV_REDIS_ADDRESS, ENV_STORAGE_NAMESPACE}
_ENCODERS = {"json": "json", "console": "text"}


class ConfigurationError(Exception):
    """The file cannot be used; the text names the file, the field and what to write instead."""


class Configuration(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of KubeRay's. "", 0 and empty lists are as good as absent, as in Go."""

    metrics_addr: str = ""
    leader_election_namespace: str = ""
    watch_namespace: str = ""
    enable_leader_election: bool | None = None
    reconcile_concurrency: Annotated[int, msgspec.Meta(ge=0)] = 0
    log_stdout_encoder: str = ""

    default_container_envs: list[Obj] = []
    head_sidecar_containers: list[Obj] = []
    worker_sidecar_containers: list[Obj] = []
    default_pod_annotations: dict[str, str] = {}
    default_pod_labels: dict[str, str] = {}

    batch_scheduler: str = ""
    enable_batch_scheduler: bool = False

    def flags(self) -> dict[str, object]:
        """What the file says of things that are flags, by the names of their values."""
        said: dict[str, object] = {
            "metrics_address": self.metrics_addr,
            "leader_election_namespace": self.leader_election_namespace,
            "watch_namespace": self.watch_namespace,
            "reconcile_concurrency": self.reconcile_concurrency,
            "log_format": _ENCODERS.get(self.log_stdout_encoder),
        }
        found = {name: value for name, value in said.items() if value}
        if self.metrics_addr == "0":
            found["metrics_address"] = ""
        if self.enable_leader_election is not None:
            found["leader_election"] = self.enable_leader_election
        return found

    def on(self, settings: Settings) -> Settings:
        """The settings with what the file says of all clusters' Pods."""
        return replace(
            settings,
            container_envs=tuple(self.default_container_envs),
            head_sidecars=tuple(self.head_sidecar_containers),
            worker_sidecars=tuple(self.worker_sidecar_containers),
            pod_annotations=dict(self.default_pod_annotations),
            pod_labels=dict(self.default_pod_labels),
        )


class Reading(msgspec.Struct, frozen=True):
    configuration: Configuration = Configuration()
    without_effect: tuple[str, ...] = ()
    """Fields of the file that change nothing here."""


def read_configuration(path: Path) -> Reading:
    """Raises ConfigurationError."""
    try:
        return parse_configuration(path.read_text())
    except OSError as error:
        raise ConfigurationError(f"--config: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"--config: {path} is not text in UTF-8") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"--config: {path}: {error}") from error


def parse_configuration(text: str) -> Reading:
    document = _document(text)
    known = {field.encode_name for field in msgspec.structs.fields(Configuration)}
    try:
        found = msgspec.convert({name: value for name, value in document.items() if name in known}, Configuration)
    except msgspec.ValidationError as error:
        raise ConfigurationError(_in_words(error)) from error
    if problem := next(_problems(found), ""):
        raise ConfigurationError(problem)
    others = tuple(name for name in document if name not in known | {"apiVersion", "kind"})
    return Reading(found, others)


def _document(text: str) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigurationError("not YAML" + (f" at line {mark.line + 1}" if mark else "")) from error
    except ValueError as error:  # what looks like a date or a number, and is none
        raise ConfigurationError(f"not YAML: {error}; put the value in quotes") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"not a {KIND}: begin with apiVersion: {API_VERSION} and kind: {KIND}")
    for field, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if document.get(field) != wanted:
            raise ConfigurationError(f"{field} is {document.get(field)!r}: use {wanted}")
    return {str(name): value for name, value in document.items() if value is not None}


def _in_words(error: msgspec.ValidationError) -> str:
    what, _, where = str(error).partition(" - at `")
    field = where.rstrip("`").removeprefix("$.").replace("[...]", "")
    return f"{field}: {what.replace(' | null', '').replace('`', '')}"


def _problems(found: Configuration) -> Iterator[str]:
    if found.metrics_addr not in {"", "0"} and not found.metrics_addr.rpartition(":")[2].isdecimal():
        yield f'metricsAddr is {found.metrics_addr!r}: use HOST:PORT or :PORT, or "0" for none'
    if found.log_stdout_encoder not in {"", *_ENCODERS}:
        yield f"logStdoutEncoder is {found.log_stdout_encoder!r}: use json or console"
    if found.enable_batch_scheduler or found.batch_scheduler not in {"", "default"}:
        field = "enableBatchScheduler" if found.enable_batch_scheduler else "batchScheduler"
        yield f"{field}: Headstay has no gang scheduling; remove the field, or stay with KubeRay for these clusters"
    yield from _env_problems(found.default_container_envs)
    yield from _sidecar_problems(found.head_sidecar_containers, "headSidecarContainers")
    yield from _sidecar_problems(found.worker_sidecar_containers, "workerSidecarContainers")
    for field, names, taken in (
        ("defaultPodAnnotations", found.default_pod_annotations, _ANNOTATIONS),
        ("defaultPodLabels", found.default_pod_labels, _LABELS),
    ):
        for name in names:
            if name in taken or name.startswith(_OURS):
                yield f"{field}[{name}] is the operator's own to set, Pod by Pod; remove it"


def _env_problems(entries: list[Obj]) -> Iterator[str]:
    yield from env_problems(entries, "defaultContainerEnvs")
    for index, entry in enumerate(entries):
        if not entry.get("name"):
            yield f"defaultContainerEnvs[{index}].name is missing"
        elif entry["name"] in _STORAGE:
            yield (
                f"defaultContainerEnvs[{index}].name is {entry['name']}: clusters that share it destroy each other's "
                "tables; remove it, and set gcsFaultToleranceOptions in each RayCluster"
            )


def _sidecar_problems(containers: list[Obj], field: str) -> Iterator[str]:
    names: set[str] = set()
    for index, container in enumerate(containers):
        path = f"{field}[{index}]"
        yield from container_problems(container, path)
        for needed in ("name", "image"):
            if not container.get(needed):
                yield f"{path}.{needed} is missing"
        if container["name"] in names:
            yield f"{path}.name is {container['name']!r} a second time: give each container a name of its own"
        names.add(container["name"])

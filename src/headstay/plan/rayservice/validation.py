"""The rules a RayService must keep, in KubeRay's order; the first one broken is the answer.

They run in the loop and never at admission, as RayCluster's do, and deletion comes before them.
"""

import re
from collections.abc import Iterator

from headstay.model.rayservice import INCREMENTAL, INITIALIZING_TIMEOUT, NEW_CLUSTER, RayService
from headstay.plan.raycluster.plan import EventDraft
from headstay.plan.raycluster.services import serve_ports
from headstay.plan.raycluster.validation import is_dns_label, spec_problem
from headstay.plan.rayservice.generations import pseudo_cluster
from headstay.plan.rayservice.serve_config import ServeConfigError, serve_config

MAX_NAME = 47
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PIECE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|ns)")

Rules = Iterator[str]


def validate(service: RayService) -> EventDraft | None:
    """The Warning to record, or None for a RayService that may be acted on."""
    for reason, rules in (("InvalidRayServiceMetadata", _metadata), ("InvalidRayServiceSpec", _spec)):
        for problem in rules(service):
            note = f"RayService {service.namespace}/{service.name} is not acted on: {problem}"
            return EventDraft("Warning", reason, "Validate", note)
    return None


def initializing_timeout(service: RayService) -> float | None:
    """Seconds, or None where there is none. Raises ValueError for what is no time."""
    text = service.annotations.get(INITIALIZING_TIMEOUT, "").strip()
    return seconds_of(text) if text else None


def seconds_of(text: str) -> float:
    """A Go duration (`1h30m`, `90s`) or whole seconds (`90`); must be above zero."""
    if text.isascii() and text.isdigit():
        seconds = float(text)
    elif _PIECE.sub("", text) or not text:
        raise ValueError(text)
    else:
        seconds = sum(float(piece[1]) * _UNITS[piece[2]] for piece in _PIECE.finditer(text))
    if seconds <= 0:
        raise ValueError(text)
    return seconds


def _metadata(service: RayService) -> Rules:
    name = service.name
    if len(name) > MAX_NAME:
        yield f"metadata.name has {len(name)} characters; use at most {MAX_NAME}: RayClusters are named after it"
    if not is_dns_label(name):
        yield (
            f'metadata.name "{name}" is not a DNS label: use lower-case letters, digits and "-", starting with a letter'
        )
    try:
        initializing_timeout(service)
    except ValueError:
        text = service.annotations[INITIALIZING_TIMEOUT]
        yield f'metadata.annotations[{INITIALIZING_TIMEOUT}] is "{text}"; use a time above zero such as "10m" or "600"'


def _spec(service: RayService) -> Rules:
    spec = service.spec
    if (service.cluster_spec.get("authOptions") or {}).get("enableK8sTokenAuth"):
        yield "rayClusterConfig.authOptions.enableK8sTokenAuth is not supported for a RayService; remove the field"
    if problem := spec_problem(pseudo_cluster(service)):
        yield f"rayClusterConfig: {problem}"
    head_service = (service.cluster_spec.get("headGroupSpec") or {}).get("headService") or {}
    if name := (head_service.get("metadata") or {}).get("name"):
        yield (
            f'rayClusterConfig.headGroupSpec.headService.metadata.name is "{name}"; remove it: each RayCluster of an '
            "upgrade needs a head Service of its own"
        )
    kind = service.upgrade_type
    if kind not in {"", "None", NEW_CLUSTER, INCREMENTAL}:
        yield f"upgradeStrategy.type is {kind}; use {NEW_CLUSTER}, {INCREMENTAL} or None"
    delay = spec.get("rayClusterDeletionDelaySeconds")
    if delay is not None and delay < 0:
        yield f"rayClusterDeletionDelaySeconds is {delay}; it cannot be negative"
    if kind == INCREMENTAL:
        yield from _incremental(service)
    try:
        serve_config(str(spec.get("serveConfigV2") or ""))
    except ServeConfigError as error:
        yield f"serveConfigV2 {error}"
    if not serve_ports(pseudo_cluster(service)):
        yield (
            'rayClusterConfig.headGroupSpec.template lists ports and none is named "serve"; add '
            '{"name": "serve", "containerPort": 8000} to its first container: requests come in there'
        )


def _incremental(service: RayService) -> Rules:
    if not pseudo_cluster(service).autoscaling:
        yield f"upgradeStrategy.type {INCREMENTAL} needs rayClusterConfig.enableInTreeAutoscaling"
    path = "upgradeStrategy.clusterUpgradeOptions"
    options = (service.spec.get("upgradeStrategy") or {}).get("clusterUpgradeOptions")
    if options is None:
        yield f"upgradeStrategy.type {INCREMENTAL} needs {path}"
        return
    surge, step, interval = (options.get(key) for key in ("maxSurgePercent", "stepSizePercent", "intervalSeconds"))
    surge = 100 if surge is None else surge
    if not 0 <= surge <= 100:
        yield f"{path}.maxSurgePercent is {surge}; use 0 to 100"
    if step is None or not 0 <= step <= 100:
        yield f"{path}.stepSizePercent is {step}; use 0 to 100"
    elif step > surge:
        yield f"{path}.stepSizePercent {step} is above maxSurgePercent {surge}"
    if interval is None or interval <= 0:
        yield f"{path}.intervalSeconds is {interval}; use a number above zero"
    if not options.get("gatewayClassName"):
        yield f"{path}.gatewayClassName is not set; name a GatewayClass"

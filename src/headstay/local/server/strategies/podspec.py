"""Defaults of a Pod's spec and of everything in it, as `kubectl get -o yaml` shows them.

What holds for every embedded template comes first; what holds for Pods alone is `default_pod`. Idempotent.
"""

from collections.abc import Iterator
from typing import Any

from headstay.local.server.strategies.base import put
from headstay.model.objects import Obj

CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
_VOLUME_MODES = ("secret", "configMap", "downwardAPI", "projected")


def containers(spec: Obj, *lists: str) -> Iterator[Obj]:
    """The containers of a Pod's spec, init containers first; or those of the given lists."""
    for name in lists or CONTAINER_LISTS:
        for container in spec.get(name) or []:
            if isinstance(container, dict):
                yield container


def default_template(template: Obj) -> None:
    """A Pod template, as in a Deployment."""
    if isinstance(template.get("spec"), dict):
        default_pod_spec(template["spec"])


def default_pod_spec(spec: Obj) -> None:
    put(
        spec,
        dnsPolicy="ClusterFirst",
        restartPolicy="Always",
        schedulerName="default-scheduler",
        terminationGracePeriodSeconds=30,
    )
    put(spec, securityContext={})
    _service_account_alias(spec)
    for volume in spec.get("volumes") or []:
        _default_volume(volume)
    for container in containers(spec):
        _default_container(container)


def default_pod(pod: Obj) -> None:
    """What Pods have beyond templates: requests from limits, service links, host ports."""
    spec = pod.setdefault("spec", {})
    default_pod_spec(spec)
    put(spec, enableServiceLinks=True)
    for container in containers(spec, "initContainers", "containers"):
        resources = container["resources"]
        if limits := resources.get("limits"):
            resources["requests"] = limits | (resources.get("requests") or {})
        if spec.get("hostNetwork"):
            for port in container.get("ports") or []:
                if not port.get("hostPort"):
                    port["hostPort"] = port.get("containerPort")


def _service_account_alias(spec: Obj) -> None:
    """`serviceAccount` is the old name of `serviceAccountName`: either says the other, the new one wins."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def _default_container(container: Obj) -> None:
    put(
        container,
        imagePullPolicy="Always" if _is_latest(container.get("image") or "") else "IfNotPresent",
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    put(container, resources={})
    for port in container.get("ports") or []:
        put(port, protocol="TCP")
    for variable in container.get("env") or []:
        source = (variable.get("valueFrom") or {}).get("fieldRef")
        if source is not None:
            put(source, apiVersion="v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            _default_probe(container[name])
    for handler in (container.get("lifecycle") or {}).values():
        if isinstance(handler, dict):
            _default_http_get(handler)


def _default_probe(probe: Obj) -> None:
    for name, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(name):
            probe[name] = value
    _default_http_get(probe)
    if probe.get("grpc") is not None:
        put(probe["grpc"], service="")


def _default_http_get(handler: Obj) -> None:
    request = handler.get("httpGet")
    if request is not None:
        for name, value in (("path", "/"), ("scheme", "HTTP")):
            if not request.get(name):
                request[name] = value


def _default_volume(volume: Obj) -> None:
    if all(value is None for key, value in volume.items() if key != "name"):
        volume["emptyDir"] = {}
    for kind in _VOLUME_MODES:
        if volume.get(kind) is not None:
            put(volume[kind], defaultMode=0o644)
    if volume.get("hostPath") is not None:
        put(volume["hostPath"], type="")
    for source in (volume.get("projected") or {}).get("sources") or []:
        if source.get("serviceAccountToken") is not None:
            put(source["serviceAccountToken"], expirationSeconds=3600)
        _default_field_refs((source.get("downwardAPI") or {}).get("items"))
    _default_field_refs((volume.get("downwardAPI") or {}).get("items"))
    claim = ((volume.get("ephemeral") or {}).get("volumeClaimTemplate") or {}).get("spec")
    if claim is not None:
        put(claim, volumeMode="Filesystem")


def _default_field_refs(items: list[Any] | None) -> None:
    for item in items or []:
        if item.get("fieldRef") is not None:
            put(item["fieldRef"], apiVersion="v1")


def _is_latest(image: str) -> bool:
    """Whether the image is named by the tag `latest`, said or (with neither tag nor digest) meant."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return tag == "latest" or (not tag and not digest)

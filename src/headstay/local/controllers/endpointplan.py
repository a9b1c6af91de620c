"""What EndpointSlices and Endpoints a Service should have, given the Pods of its namespace. Pure.

A Service's slices are numbered, and their names follow from its uid and the number: a stale cache cannot make twins,
and a Service with one set of ports keeps one slice for life. The rules of readiness are Kubernetes': an endpoint is
`ready` when its Pod is and is not on its way out, or always where the Service publishes addresses that are not ready;
it is `serving` when its Pod is ready, whether or not it is on its way out.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple

from headstay.local.network.views import SERVICE_NAME_LABEL, Service, ServicePort
from headstay.model.meta import Pod
from headstay.model.objects import Obj
from headstay.model.resource import ENDPOINT_SLICES, ENDPOINTS, SERVICES, Resource

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SLICES_MANAGER = "endpointslice-controller.k8s.io"
MIRROR_MANAGER = "endpointslicemirroring-controller.k8s.io"
ENDPOINTS_MANAGED_BY = "endpoints.kubernetes.io/managed-by"
ENDPOINTS_MANAGER = "endpoint-controller"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"
HEADLESS_LABEL = "service.kubernetes.io/headless"
SLICE_CAPACITY = 100
FINISHED = frozenset({"Succeeded", "Failed"})
_NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"

Port = tuple[str, str, int]
"""(name, protocol, number)"""
Ports = tuple[Port, ...]


class Place(NamedTuple):
    """One Pod behind a Service, with the numbers that the Service's ports have in it."""

    pod: Pod
    ports: Ports
    ready: bool

    @property
    def terminating(self) -> bool:
        return self.pod.metadata.deletion_timestamp is not None


def is_selected(service: Service) -> bool:
    """Whether this controller makes its endpoints: it has a selector, and addresses at all."""
    return bool(service.spec.selector) and service.spec.type != "ExternalName"


def selects(service: Service, labels: Mapping[str, str]) -> bool:
    wanted = service.spec.selector or {}
    return is_selected(service) and all(labels.get(key) == value for key, value in wanted.items())


def places(service: Service, pods: Iterable[Pod]) -> list[Place]:
    """The Pods that belong behind `service`: selected, with an address, not finished."""
    found = [
        Place(pod, _ports_in(service, pod), pod.ready)
        for pod in pods
        if selects(service, pod.metadata.labels) and pod.status.pod_ip and pod.status.phase not in FINISHED
    ]
    return sorted(found, key=lambda place: place.pod.metadata.name)


def _ports_in(service: Service, pod: Pod) -> Ports:
    ports = [(port, _number_in(port, pod)) for port in service.spec.ports]
    return tuple((port.name, port.protocol, number) for port, number in ports if number is not None)


def _number_in(port: ServicePort, pod: Pod) -> int | None:
    """A named target port is looked up in the Pod's own containers; it may differ from Pod to Pod."""
    target = port.target_port or port.port
    if isinstance(target, int):
        return target
    if target.isdigit():
        return int(target)
    named = (
        declared.container_port
        for container in pod.spec.containers
        for declared in container.ports
        if declared.name == target and declared.protocol == port.protocol
    )
    return next(named, None)


def wanted_slices(service: Service, pods: Iterable[Pod]) -> list[Obj]:
    """Each set of ports has slices of its own, of at most 100 endpoints; without any Pod there is one empty slice."""
    grouped: dict[Ports, list[Obj]] = {}
    for place in places(service, pods):
        grouped.setdefault(place.ports, []).append(_endpoint(service, place))
    meta = service.metadata
    owner = _owner(SERVICES, meta.name, meta.uid)
    found = [(ports, chunk) for ports, members in sorted((grouped or {(): []}).items()) for chunk in _chunks(members)]
    return [_slice(service, owner, SLICES_MANAGER, _Content(*each, n)) for n, each in enumerate(found)]


def _chunks(members: Sequence[Obj]) -> list[Sequence[Obj]]:
    return [members[start : start + SLICE_CAPACITY] for start in range(0, len(members), SLICE_CAPACITY)] or [[]]


def _endpoint(service: Service, place: Place) -> Obj:
    pod = place.pod
    endpoint: Obj = {
        "addresses": [pod.status.pod_ip],
        "conditions": {
            "ready": service.spec.publish_not_ready_addresses or (place.ready and not place.terminating),
            "serving": place.ready,
            "terminating": place.terminating,
        },
        "targetRef": _reference(pod),
    }
    if pod.spec.node_name:
        endpoint["nodeName"] = pod.spec.node_name
    return endpoint | _hostname(service, pod)


def _hostname(service: Service, pod: Pod) -> Obj:
    """Only where the Pod names this Service as its subdomain."""
    named = pod.spec.hostname and pod.spec.subdomain == service.metadata.name
    return {"hostname": pod.spec.hostname} if named else {}


def _reference(pod: Pod) -> Obj:
    meta = pod.metadata
    return {"kind": "Pod", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid}


def _owner(resource: Resource, name: str, uid: str) -> Obj:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


class _Content(NamedTuple):
    """`number` counts the slices of one Service."""

    ports: Ports
    endpoints: Sequence[Obj]
    number: int


def _slice(service: Service, owner: Obj, manager: str, content: _Content) -> Obj:
    meta = service.metadata
    return {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": ENDPOINT_SLICES.kind,
        "metadata": {
            "name": f"{meta.name}-{_suffix(f'{meta.uid} {manager} {content.number}')}",
            "namespace": meta.namespace,
            "labels": _labels(service) | {SERVICE_NAME_LABEL: meta.name, MANAGED_BY: manager},
            "ownerReferences": [owner],
        },
        "addressType": "IPv4",
        "endpoints": list(content.endpoints),
        "ports": [{"name": name, "protocol": protocol, "port": port} for name, protocol, port in content.ports],
    }


def _suffix(text: str) -> str:
    value = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    letters = []
    for _ in range(5):
        value, rest = divmod(value, len(_NAME_ALPHABET))
        letters.append(_NAME_ALPHABET[rest])
    return "".join(letters)


def _labels(service: Service) -> dict[str, str]:
    """The Service's own, which its endpoints carry too."""
    return dict(service.metadata.labels) | ({HEADLESS_LABEL: ""} if service.headless else {})


def wanted_endpoints(service: Service, pods: Iterable[Pod]) -> Obj:
    """The older form: one subset for each set of ports. Pods on their way out are not in it."""
    tolerant = service.spec.publish_not_ready_addresses
    subsets: dict[Ports, dict[str, list[Obj]]] = {}
    for place in sorted(places(service, pods), key=lambda place: ip_address(place.pod.status.pod_ip).packed):
        if (place.terminating and not tolerant) or not (place.ports or service.headless):
            continue
        kind = "addresses" if place.ready or tolerant else "notReadyAddresses"
        subsets.setdefault(place.ports, {}).setdefault(kind, []).append(_address(service, place.pod))
    meta = service.metadata
    document: Obj = {
        "apiVersion": ENDPOINTS.api_version,
        "kind": ENDPOINTS.kind,
        "metadata": {
            "name": meta.name,
            "namespace": meta.namespace,
            "labels": _labels(service) | {ENDPOINTS_MANAGED_BY: ENDPOINTS_MANAGER},
        },
    }
    if subsets:
        document["subsets"] = [_subset(ports, kinds) for ports, kinds in sorted(subsets.items())]
    return document


def _subset(ports: Ports, kinds: Mapping[str, list[Obj]]) -> Obj:
    named = [
        ({"name": name} if name else {}) | {"port": number, "protocol": protocol} for name, protocol, number in ports
    ]
    return dict(kinds) | ({"ports": named} if named else {})


def _address(service: Service, pod: Pod) -> Obj:
    address: Obj = {"ip": pod.status.pod_ip, "targetRef": _reference(pod)}
    if pod.spec.node_name:
        address["nodeName"] = pod.spec.node_name
    return address | _hostname(service, pod)


def mirrored_slices(service: Service, endpoints: Obj) -> list[Obj]:
    """Slices for a Service without a selector whose Endpoints somebody wrote by hand."""
    meta = endpoints["metadata"]
    if (meta.get("labels") or {}).get(SKIP_MIRROR) == "true" or service.spec.selector:
        return []
    owner = _owner(ENDPOINTS, meta["name"], meta["uid"])
    found: list[_Content] = []
    for subset in endpoints.get("subsets") or []:
        ports = tuple(
            (port.get("name") or "", port.get("protocol") or "TCP", port["port"]) for port in subset.get("ports") or []
        )
        members = [_mirrored(address, ready=True) for address in subset.get("addresses") or []]
        members += [_mirrored(address, ready=False) for address in subset.get("notReadyAddresses") or []]
        found += [_Content(ports, chunk, 0) for chunk in _chunks(members)]
    return [
        _slice(service, owner, MIRROR_MANAGER, content._replace(number=number)) for number, content in enumerate(found)
    ]


def _mirrored(address: Mapping[str, Any], *, ready: bool) -> Obj:
    kept = {key: address[key] for key in ("hostname", "nodeName", "targetRef") if address.get(key)}
    return {"addresses": [address["ip"]], "conditions": {"ready": ready}} | kept

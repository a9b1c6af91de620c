"""Keeps EndpointSlices and Endpoints equal to what Services select, and the API's own Service in being.

Everything for a key is computed anew and written where it differs from the cache; a write that loses a race comes
back with a fresher cache. Slices of other managers are never touched.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from headstay.local.config import LocalConfig
from headstay.local.controllers import endpointplan as plan
from headstay.local.controllers.informers import Informers
from headstay.local.network.views import SERVICE_NAME_LABEL, EndpointSlice, Service
from headstay.model.errors import StatusError, is_not_found
from headstay.model.meta import Pod
from headstay.model.objects import Obj, ObjectKey, key_of
from headstay.model.resource import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES, Resource
from headstay.runtime.client import Client
from headstay.runtime.controller import Controller, Result
from headstay.runtime.views import Document

BY_SERVICE = "service"
BY_LABEL = "label"
BY_SELECTOR = "selector"
API = ObjectKey("default", "kubernetes")
_OURS = frozenset({plan.SLICES_MANAGER, plan.MIRROR_MANAGER})


def _service_of(found: Document) -> list[str]:
    name = found.metadata.labels.get(SERVICE_NAME_LABEL)
    return [str(ObjectKey(found.metadata.namespace, name))] if name else []


def _labels_of(pod: Pod) -> list[str]:
    return [_pair(pod.metadata.namespace, *label) for label in pod.metadata.labels.items()]


def _selector_of(service: Service) -> list[str]:
    selector = service.spec.selector or {}
    return [_whole(service.metadata.namespace, selector, sorted(selector))] if plan.is_selected(service) else []


def _whole(namespace: str, labels: Mapping[str, str], keys: Iterable[str]) -> str:
    return f"{namespace}/{','.join(f'{key}={labels[key]}' for key in keys)}"


def _pair(namespace: str, key: str, value: str) -> str:
    return f"{namespace}/{key}={value}"


def is_ending(error: StatusError) -> bool:
    """The namespace is being deleted and takes nothing new: there is nothing left to keep up."""
    return any(cause.reason == "NamespaceTerminating" for cause in error.causes)


class EndpointsController:
    def __init__(self, config: LocalConfig, client: Client, informers: Informers) -> None:
        self._config = config
        self._client = client
        self._services = informers.of(SERVICES, Service, {BY_SELECTOR: _selector_of})
        self._pods = informers.of(PODS, Pod, {BY_LABEL: _labels_of})
        self._selector_keys: set[tuple[str, ...]] = set()
        self._services.on_change(self._note_selector)
        self._slices = informers.of(ENDPOINT_SLICES, Document, {BY_SERVICE: _service_of})
        self._endpoints = informers.of(ENDPOINTS, Document)
        self._controller: Controller[ObjectKey] = Controller("endpoints", self._reconcile)
        self._controller.watches(self._services, lambda s: [ObjectKey(s.metadata.namespace, s.metadata.name)])
        self._controller.watches(self._pods, self._services_of)
        self._controller.watches(self._endpoints, lambda e: [ObjectKey(e.metadata.namespace, e.metadata.name)])
        self._controller.watches(self._slices, self._key_of_slice)

    async def run(self) -> None:
        """Until cancelled; the reflectors are the informers' owner's to run."""
        self._controller.enqueue(API)
        await self._controller.run()

    def _services_of(self, pod: Pod) -> list[ObjectKey]:
        """Selectors ask for few different sets of keys; with each of them a Pod's labels spell one whole selector."""
        meta = pod.metadata
        return [
            ObjectKey(meta.namespace, service.metadata.name)
            for keys in self._selector_keys
            if meta.labels.keys() >= set(keys)
            for service in self._services.cache.by_index(BY_SELECTOR, _whole(meta.namespace, meta.labels, keys))
        ]

    def _note_selector(self, _: Service | None, service: Service | None) -> None:
        if service is not None and plan.is_selected(service):
            self._selector_keys.add(tuple(sorted(service.spec.selector or {})))

    def _pods_near(self, service: Service) -> list[Pod]:
        """Those with the rarest label of its selector: all that it selects, and few more."""
        namespace, pods = service.metadata.namespace, self._pods.cache
        pairs = [_pair(namespace, *label) for label in (service.spec.selector or {}).items()]
        return pods.by_index(BY_LABEL, min(pairs, key=lambda pair: pods.count(BY_LABEL, pair)))

    def _key_of_slice(self, found: Document) -> list[ObjectKey]:
        name = found.metadata.labels.get(SERVICE_NAME_LABEL)
        return [ObjectKey(found.metadata.namespace, name)] if name else []

    async def _reconcile(self, key: ObjectKey) -> Result:
        if key == API:
            await self._keep_api_service()
            return Result()
        service = self._services.cache.get(key)
        try:
            if service is None:
                await self._remove_all(key)
            elif plan.is_selected(service):
                pods = self._pods_near(service)
                await self._write_slices(key, plan.wanted_slices(service, pods), plan.SLICES_MANAGER)
                await self._write(ENDPOINTS, plan.wanted_endpoints(service, pods), self._endpoints.cache.get(key))
            elif (endpoints := self._endpoints.cache.get(key)) is not None:
                await self._write_slices(key, plan.mirrored_slices(service, endpoints.obj()), plan.MIRROR_MANAGER)
        except StatusError as error:
            if not is_ending(error):
                raise
        return Result()

    async def _remove_all(self, key: ObjectKey) -> None:
        """The Service is gone; the garbage collector would come too, but DNS and rules should not wait for it."""
        for manager in _OURS:
            await self._write_slices(key, [], manager)
        endpoints = self._endpoints.cache.get(key)
        if endpoints and endpoints.metadata.labels.get(plan.ENDPOINTS_MANAGED_BY) == plan.ENDPOINTS_MANAGER:
            await self._delete(ENDPOINTS, endpoints)

    async def _write_slices(self, key: ObjectKey, wanted: list[Obj], manager: str) -> None:
        """New and changed ones first: nobody should see a moment without endpoints that there never was."""
        mine = {
            found.metadata.name: found
            for found in self._slices.cache.by_index(BY_SERVICE, str(key))
            if found.metadata.labels.get(plan.MANAGED_BY) == manager
        }
        for document in wanted:
            await self._write(ENDPOINT_SLICES, document, mine.pop(document["metadata"]["name"], None))
        for found in mine.values():
            await self._delete(ENDPOINT_SLICES, found)

    async def _write(self, resource: Resource, wanted: Obj, held: Document | None) -> None:
        if held is None:
            await self._client.create(resource, wanted)
            return
        current = held.obj()
        if _same(wanted, current):
            return
        meta = current["metadata"] | wanted["metadata"]
        await self._client.update(resource, wanted | {"metadata": meta})

    async def _delete(self, resource: Resource, found: Document) -> None:
        meta = found.metadata
        try:
            await self._client.delete(resource, meta.namespace, meta.name, uid=meta.uid)
        except StatusError as error:
            if not is_not_found(error):
                raise

    async def _keep_api_service(self) -> None:
        service, endpoints, found = api_service(self._config)
        # Only made, never corrected: its address is immutable and the rest is the administrator's to change.
        if self._services.cache.get(API) is None:
            await self._client.create(SERVICES, service)
        await self._write(ENDPOINTS, endpoints, self._endpoints.cache.get(API))
        await self._write(ENDPOINT_SLICES, found, self._slices.cache.get(key_of(found)))


def _same(wanted: Obj, current: Obj) -> bool:
    """Whether `current` says all that `wanted` does, however the server spells what is empty."""
    parts: tuple[tuple[str, ...], ...] = (("metadata", "labels"), ("metadata", "ownerReferences"), ("subsets",))
    if any((_at(wanted, path) or None) != (_at(current, path) or None) for path in parts):
        return False
    return _places(wanted) == _places(current)


def _at(document: Obj, path: tuple[str, ...]) -> Any:
    found: Any = document
    for step in path:
        found = (found or {}).get(step)
    return found


def _places(document: Obj) -> tuple[Any, Any]:
    """A slice's endpoints and ports, defaults filled in."""
    view = msgspec.convert({key: document.get(key) for key in ("endpoints", "ports")}, EndpointSlice)
    return view.endpoints or [], view.ports or []


def api_service(config: LocalConfig) -> tuple[Obj, Obj, Obj]:
    """`kubernetes.default.svc`, its Endpoints and its EndpointSlice."""
    meta = {"name": API.name, "namespace": API.namespace}
    address, port = str(config.bridge_address), config.api_port
    service: Obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta | {"labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": str(config.api_service_address),
            "clusterIPs": [str(config.api_service_address)],
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
            "sessionAffinity": "None",
        },
    }
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    endpoints: Obj = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": meta | {"labels": {plan.SKIP_MIRROR: "true"}},
        "subsets": [{"addresses": [{"ip": address}], "ports": ports}],
    }
    found: Obj = {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": ENDPOINT_SLICES.kind,
        "metadata": meta | {"labels": {SERVICE_NAME_LABEL: API.name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": ports,
    }
    return service, endpoints, found

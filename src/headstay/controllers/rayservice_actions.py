"""Carries out one action of a RayService's plan, with its precondition, and records what came of it."""

import hashlib
import logging

import msgspec

from headstay.controllers.recorder import ServiceRecorder
from headstay.gcs.dashboard import Dashboard, DashboardError, RefusedError
from headstay.model.errors import StatusError, is_already_exists, is_not_found
from headstay.model.meta import View
from headstay.model.objects import Obj, ObjectKey
from headstay.model.ray import RAYCLUSTERS, SERVE, RayCluster
from headstay.model.rayservice import RAYSERVICES, RayService
from headstay.model.resource import CONFIGMAPS, PODS, SERVICES
from headstay.plan.raycluster.plan import EventDraft
from headstay.plan.rayservice.deployment import remembered
from headstay.plan.rayservice.generations import DEPLOYED, DEPLOYED_CONFIG
from headstay.plan.rayservice.observing import dashboard_url
from headstay.plan.rayservice.plan import (
    Action,
    CreateCluster,
    CreateService,
    DeleteCluster,
    DeployServe,
    LabelHead,
    RecordStorage,
    SetFinalizers,
    UpdateCluster,
    UpdateService,
)
from headstay.runtime.client import Client, TransportError
from headstay.runtime.errors import Transient

log = logging.getLogger(__name__)

STORAGE_RECORD = "headstay.io/rayservice-storage"
"""Label of the ConfigMaps in which storage namespaces outlive their RayServices."""


class _Record(View):
    data: dict[str, str] = msgspec.field(default_factory=dict)


class StorageBook:
    """Which storage namespace a RayService used last: ConfigMaps in the operator's own namespace."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def read(self, service: ObjectKey, given: str) -> str:
        """Nothing where nothing is recorded for a RayService of that name that chose the same storage namespace."""
        try:
            found = await self._client.get(CONFIGMAPS, self._namespace, _record_name(service))
        except StatusError as error:
            if is_not_found(error):
                return ""
            raise
        data = msgspec.convert(found, _Record).data
        return data.get("namespace", "") if data.get("given") == given else ""

    async def write(self, service: ObjectKey, record: RecordStorage) -> None:
        name = _record_name(service)
        data = {"rayService": str(service), "given": record.given, "namespace": record.namespace}
        document: Obj = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": self._namespace, "labels": {STORAGE_RECORD: "true"}},
            "data": data,
        }
        try:
            if not record.namespace:
                await self._client.delete(CONFIGMAPS, self._namespace, name)
                return
            await self._client.create(CONFIGMAPS, document)
        except StatusError as error:
            if is_already_exists(error):
                await self._client.patch(CONFIGMAPS, self._namespace, name, {"data": data})
            elif not is_not_found(error) or record.namespace:
                raise


def _record_name(service: ObjectKey) -> str:
    return f"headstay-rayservice-{hashlib.sha256(str(service).encode()).hexdigest()[:20]}"


class ServiceActor:
    """Raises what the API or the dashboard says, after recording it where there is an Event for that."""

    def __init__(self, client: Client, recorder: ServiceRecorder, dashboard: Dashboard, book: StorageBook) -> None:
        self._client = client
        self._recorder = recorder
        self._dashboard = dashboard
        self._book = book

    async def act(self, service: RayService, action: Action) -> None:
        match action:
            case CreateCluster():
                await self._create_cluster(service, action)
            case UpdateCluster():
                await self._update_cluster(service, action)
            case DeleteCluster():
                await self._delete_cluster(service, action)
            case CreateService():
                await self._create_service(service, action)
            case UpdateService():
                await self._update_service(service, action)
            case LabelHead():
                await self._label(service, action)
            case DeployServe():
                await self._deploy(service, action)
            case SetFinalizers():
                await self._set_finalizers(service, action)
            case RecordStorage():
                await self._book.write(service.key, action)

    async def _create_cluster(self, service: RayService, action: CreateCluster) -> None:
        name = action.obj["metadata"]["name"]
        try:
            await self._client.create(RAYCLUSTERS, action.obj)
        except StatusError as error:
            if is_already_exists(error):
                await self._insist_on_ours(service, name)
                return
            self._tell(
                service, "Warning", "FailedToCreateRayCluster", "Create", _failed("create RayCluster", name, error)
            )
            raise
        except TransportError as error:
            self._tell(
                service, "Warning", "FailedToCreateRayCluster", "Create", _failed("create RayCluster", name, error)
            )
            raise
        self._tell(service, "Normal", "CreatedRayCluster", "Create", f"Created RayCluster {service.namespace}/{name}")
        if action.explained is not None:
            self._record(service, action.explained)

    async def _insist_on_ours(self, service: RayService, name: str) -> None:
        """An answer that was lost, or a cache that is behind; any other cluster of this name is in the way."""
        found = msgspec.convert(await self._client.get(RAYCLUSTERS, service.namespace, name), RayCluster)
        if not any(owner.uid == service.metadata.uid for owner in found.metadata.owner_references):
            raise Transient(f"RayCluster {name} exists and belongs to somebody else")

    async def _update_cluster(self, service: RayService, action: UpdateCluster) -> None:
        name = action.cluster.name
        metadata = (action.patch.get("metadata") or {}) | {"resourceVersion": action.cluster.metadata.resource_version}
        try:
            await self._client.patch(RAYCLUSTERS, service.namespace, name, action.patch | {"metadata": metadata})
        except StatusError as error:
            if is_not_found(error):
                return
            if action.why and error.reason != "Conflict":
                note = _failed("update RayCluster", name, error)
                self._tell(service, "Warning", "FailedToUpdateRayCluster", "Update", note)
            raise
        if action.why:
            note = f"Updated RayCluster {service.namespace}/{name}: {action.why}"
            self._tell(service, "Normal", "UpdatedRayCluster", "Update", note)

    async def _delete_cluster(self, service: RayService, action: DeleteCluster) -> None:
        """A RayService that the cache shows as it was may have promoted this very cluster since."""
        metadata = action.cluster.metadata
        if not action.even_if_used:
            now = msgspec.convert(await self._client.get(RAYSERVICES, service.namespace, service.name), RayService)
            if metadata.name in {now.active, now.pending}:
                raise Transient(f"RayCluster {metadata.name} is in use by now")
        try:
            await self._client.delete(
                RAYCLUSTERS, metadata.namespace, metadata.name, uid=metadata.uid, propagation="Background"
            )
        except StatusError as error:
            if is_not_found(error):
                return
            note = _failed("delete RayCluster", metadata.name, error)
            self._tell(service, "Warning", "FailedToDeleteRayCluster", "Delete", note)
            raise
        note = f"Deleted RayCluster {metadata.namespace}/{metadata.name}: {action.why}"
        self._tell(service, "Normal", "DeletedRayCluster", "Delete", note)

    async def _create_service(self, service: RayService, action: CreateService) -> None:
        name = action.obj["metadata"]["name"]
        try:
            await self._client.create(SERVICES, action.obj)
        except StatusError as error:
            if is_already_exists(error) and await self._owns_service(service, name):
                return
            self._tell(service, "Warning", "FailedToCreateService", "Create", _failed("create Service", name, error))
            raise
        self._tell(service, "Normal", "CreatedService", "Create", f"Created Service {service.namespace}/{name}")

    async def _owns_service(self, service: RayService, name: str) -> bool:
        found = await self._client.get(SERVICES, service.namespace, name)
        owners = found["metadata"].get("ownerReferences") or []
        return any(owner.get("uid") == service.metadata.uid for owner in owners)

    async def _update_service(self, service: RayService, action: UpdateService) -> None:
        metadata = action.of.metadata
        patch = action.patch | {"metadata": {"resourceVersion": metadata.resource_version}}
        try:
            await self._client.patch(SERVICES, metadata.namespace, metadata.name, patch)
        except StatusError as error:
            if not is_not_found(error) and error.reason != "Conflict":
                note = _failed("update Service", metadata.name, error)
                self._tell(service, "Warning", "FailedToUpdateService", "Update", note)
            raise
        note = f"Updated Service {metadata.namespace}/{metadata.name}: {action.why}"
        self._tell(service, "Normal", "UpdatedService", "Update", note)

    async def _label(self, service: RayService, action: LabelHead) -> None:
        metadata = action.pod.metadata
        value = "true" if action.serves else "false"
        patch = {"metadata": {"uid": metadata.uid, "labels": {SERVE: value}}}
        try:
            await self._client.patch(PODS, metadata.namespace, metadata.name, patch)
        except StatusError as error:
            if is_not_found(error):
                return
            if error.reason != "Conflict":
                note = _failed("label head Pod", metadata.name, error)
                self._tell(service, "Warning", "FailedToUpdateHeadPodServeLabel", "Update", note)
            raise
        note = f"Label {SERVE} of head Pod {metadata.namespace}/{metadata.name} is now {value}: {action.why}"
        self._tell(service, "Normal", "UpdatedHeadPodServeLabel", "Update", note)

    async def _deploy(self, service: RayService, action: DeployServe) -> None:
        """A crash between the two writes sends the same configuration once more, which Serve takes for what it is."""
        cluster = action.cluster
        # Dashboards know no Lease: who does not lead any more, or lags, must not bring an older configuration back.
        now = msgspec.convert(await self._client.get(RAYSERVICES, service.namespace, service.name), RayService)
        if now.metadata.generation != service.metadata.generation or now.metadata.uid != service.metadata.uid:
            raise Transient("the RayService has changed since it was looked at")
        try:
            await self._dashboard.deploy(dashboard_url(cluster, action.head), action.config)
        except DashboardError as error:
            refused = isinstance(error, RefusedError)
            verb = "refused" if refused else "did not take"
            note = f"RayCluster {cluster.name} {verb} the Serve configuration: {error}"
            self._tell(service, "Warning", "FailedToUpdateServeApplications", "Update", note)
            raise
        accepted = {DEPLOYED: action.hash, DEPLOYED_CONFIG: remembered(cluster, action.config)}
        patch = {"metadata": {"uid": cluster.metadata.uid, "annotations": accepted}}
        try:
            await self._client.patch(RAYCLUSTERS, cluster.namespace, cluster.name, patch)
        except StatusError as error:
            if not is_not_found(error):
                raise
        note = f"Updated Serve applications on RayCluster {cluster.namespace}/{cluster.name}"
        self._tell(service, "Normal", "UpdatedServeApplications", "Update", note)

    async def _set_finalizers(self, service: RayService, action: SetFinalizers) -> None:
        metadata = {
            "finalizers": list(action.finalizers) or None,
            "resourceVersion": service.metadata.resource_version,
        }
        try:
            await self._client.patch(RAYSERVICES, service.namespace, service.name, {"metadata": metadata})
        except StatusError as error:
            if not is_not_found(error):
                raise

    def _tell(self, service: RayService, kind: str, reason: str, verb: str, note: str) -> None:
        self._record(service, EventDraft("Warning" if kind == "Warning" else "Normal", reason, verb, note))

    def _record(self, service: RayService, event: EventDraft) -> None:
        log.log(
            logging.WARNING if event.type == "Warning" else logging.INFO, "RayService %s: %s", service.key, event.note
        )
        self._recorder.record(service, event)


def _failed(what: str, name: str, error: Exception) -> str:
    return f"Failed to {what} {name}: {error}"

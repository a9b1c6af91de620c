"""PersistentVolumeClaims on one machine: a directory each, made when it is claimed, gone when the claim is.

    claim without a volume, class `standard` (or none named)  -> a PersistentVolume for it, both bound to each other
    PersistentVolume of ours whose claim is gone               -> directory and object deleted (policy Delete)
Level-triggered: every step is found again from the two objects.
"""

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Any

import msgspec

from headstay.local.config import LocalConfig
from headstay.local.node.volumes import VolumeError
from headstay.model.errors import StatusError, is_already_exists, is_not_found
from headstay.model.meta import ObjectMeta, View
from headstay.model.objects import Obj, ObjectKey, dig
from headstay.model.resource import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, Resource
from headstay.runtime.client import Client
from headstay.runtime.controller import Controller, Result
from headstay.runtime.reflector import Reflector

log = logging.getLogger(__name__)
STANDARD = "standard"
PROVISIONER = "headstay.io/local"
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False)


class Claim(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: dict[str, Any] = msgspec.field(default_factory=dict)


class Provisioner:
    def __init__(self, config: LocalConfig, client: Client) -> None:
        self._client = client
        self._directory = config.state_dir / "volumes"
        self._claims = Reflector(client, PERSISTENT_VOLUME_CLAIMS, Claim)
        self._volumes = Reflector(client, PERSISTENT_VOLUMES, Claim)
        self._controller: Controller[ObjectKey] = Controller("local-volumes", self._reconcile)
        self._controller.watches(self._claims, lambda claim: [ObjectKey(claim.metadata.namespace, claim.metadata.name)])
        self._controller.watches(self._volumes, _claim_of)

    async def run(self) -> None:
        """Until cancelled."""
        await self._make_class()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._claims.run(), name="claims")
            group.create_task(self._volumes.run(), name="volumes")
            group.create_task(self._controller.run(), name="local-volumes")

    async def path(self, namespace: str, claim: str) -> Path:
        """Implements `volumes.Claims`."""
        try:
            found = await self._client.get(PERSISTENT_VOLUME_CLAIMS, namespace, claim)
            if dig(found, "status", "phase") != "Bound":
                raise VolumeError(f'persistentvolumeclaim "{claim}" is not bound yet')
            volume = await self._client.get(PERSISTENT_VOLUMES, "", found["spec"]["volumeName"])
        except StatusError as error:
            raise VolumeError(error.message) from error
        place = dig(volume, "spec", "hostPath", "path") or dig(volume, "spec", "local", "path")
        if place is None:
            raise VolumeError(f"persistentvolume {volume['metadata']['name']}: only hostPath and local are supported")
        return Path(place)

    async def _make_class(self) -> None:
        metadata = {"name": STANDARD, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
        document: Obj = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": metadata,
            "provisioner": PROVISIONER,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "Immediate",
        }
        try:
            await self._client.create(STORAGE_CLASSES, document)
        except StatusError as error:
            if not is_already_exists(error):
                log.warning("storage class %s: %s", STANDARD, error)

    async def _reconcile(self, key: ObjectKey) -> Result:
        claim = self._claims.cache.get(key)
        for volume in self._volumes.cache.list():
            if _claim_of(volume) == [key] and _is_ours(volume):
                owner = dig(volume.spec, "claimRef", "uid")
                if claim is None or claim.metadata.uid != owner:
                    await self._reclaim(volume)
        if claim is None or claim.metadata.deletion_timestamp or claim.status.get("phase") == "Bound":
            return Result()
        if claim.spec.get("storageClassName", STANDARD) != STANDARD and not claim.spec.get("volumeName"):
            return Result()
        name = claim.spec.get("volumeName") or f"pvc-{claim.metadata.uid}"
        if not claim.spec.get("volumeName"):
            await self._provision(claim, name)
        await self._bind(key, claim, name)
        return Result()

    async def _provision(self, claim: Claim, name: str) -> None:
        directory = self._directory / name
        await asyncio.to_thread(_make_directory, directory)
        reference = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": claim.metadata.namespace,
            "name": claim.metadata.name,
            "uid": claim.metadata.uid,
        }
        document: Obj = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER}},
            "spec": {
                "capacity": {"storage": dig(claim.spec, "resources", "requests", "storage") or "1Gi"},
                "accessModes": claim.spec.get("accessModes") or ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": STANDARD,
                "volumeMode": "Filesystem",
                "hostPath": {"path": str(directory), "type": "DirectoryOrCreate"},
                "claimRef": reference,
            },
        }
        try:
            await self._client.create(PERSISTENT_VOLUMES, document)
        except StatusError as error:
            if not is_already_exists(error):
                raise

    async def _bind(self, key: ObjectKey, claim: Claim, name: str) -> None:
        volume = await self._client.get(PERSISTENT_VOLUMES, "", name)
        bound = {"volumeName": name, "storageClassName": dig(volume, "spec", "storageClassName") or ""}
        annotations = {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
        patch = {"metadata": {"uid": claim.metadata.uid, "annotations": annotations}, "spec": bound}
        await self._client.patch(PERSISTENT_VOLUME_CLAIMS, *key, patch)
        status = {
            "phase": "Bound",
            "accessModes": dig(volume, "spec", "accessModes"),
            "capacity": dig(volume, "spec", "capacity"),
        }
        await self._client.patch(PERSISTENT_VOLUMES, "", name, {"status": {"phase": "Bound"}}, subresource="status")
        await self._client.patch(PERSISTENT_VOLUME_CLAIMS, *key, {"status": status}, subresource="status")

    async def _reclaim(self, volume: Claim) -> None:
        name = volume.metadata.name
        if volume.spec.get("persistentVolumeReclaimPolicy") != "Delete":
            await self._client.patch(
                PERSISTENT_VOLUMES, "", name, {"status": {"phase": "Released"}}, subresource="status"
            )
            return
        await asyncio.to_thread(shutil.rmtree, self._directory / name, ignore_errors=True)
        try:
            await self._client.delete(PERSISTENT_VOLUMES, "", name, uid=volume.metadata.uid)
        except StatusError as error:
            if not is_not_found(error):
                raise


def _claim_of(volume: Claim) -> list[ObjectKey]:
    reference = volume.spec.get("claimRef")
    return [ObjectKey(reference.get("namespace") or "", reference.get("name") or "")] if reference else []


def _is_ours(volume: Claim) -> bool:
    return volume.metadata.annotations.get("pv.kubernetes.io/provisioned-by") == PROVISIONER


def _make_directory(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o777)

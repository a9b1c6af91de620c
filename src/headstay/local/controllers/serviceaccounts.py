"""What every namespace has from the start: the service account `default` and the cluster's CA certificate.

Pods are refused until the account is there, so it is made the moment the namespace is seen.
"""

import asyncio

import msgspec

from headstay.local.controllers.endpoints import is_ending
from headstay.local.controllers.informers import Informers
from headstay.model.errors import StatusError, is_not_found
from headstay.model.meta import Named, ObjectMeta, View
from headstay.model.objects import Obj, ObjectKey
from headstay.model.resource import CONFIGMAPS, NAMESPACES, SERVICE_ACCOUNTS
from headstay.runtime.client import Client
from headstay.runtime.controller import Controller, Result
from headstay.runtime.reflector import Reflector

ACCOUNT = "default"
ROOT_CA = "kube-root-ca.crt"
ROOT_CA_KEY = "ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class RootCa(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    data: dict[str, str] = msgspec.field(default_factory=dict)


class ServiceAccountsController:
    def __init__(self, client: Client, informers: Informers, ca_pem: str) -> None:
        self._client = client
        self._ca_pem = ca_pem
        self._namespaces = informers.of(NAMESPACES, Named)
        self._accounts = informers.of(SERVICE_ACCOUNTS, Named)
        # A reflector of its own: only this one name, not every ConfigMap of the cluster.
        self._root_cas = Reflector(client, CONFIGMAPS, RootCa, field_selector=f"metadata.name={ROOT_CA}")
        self._controller: Controller[str] = Controller("serviceaccounts", self._reconcile)
        self._controller.watches(self._namespaces, lambda namespace: [namespace.metadata.name])
        self._controller.watches(self._accounts, lambda a: [a.metadata.namespace] if a.metadata.name == ACCOUNT else [])
        self._controller.watches(self._root_cas, lambda found: [found.metadata.namespace])

    async def run(self) -> None:
        """Until cancelled; the informers' reflectors are their owner's to run."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._root_cas.run(), name=f"reflector/{ROOT_CA}")
            group.create_task(self._controller.run(), name="serviceaccounts")

    async def _reconcile(self, name: str) -> Result:
        namespace = self._namespaces.cache.get(ObjectKey("", name))
        if namespace is None or namespace.metadata.deletion_timestamp:
            return Result()
        try:
            await self._keep(name)
        except StatusError as error:
            if not is_ending(error) and not is_not_found(error):
                raise
        return Result()

    async def _keep(self, namespace: str) -> None:
        if self._accounts.cache.get(ObjectKey(namespace, ACCOUNT)) is None:
            meta = {"name": ACCOUNT, "namespace": namespace}
            account: Obj = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
            await self._client.create(SERVICE_ACCOUNTS, account)
        held = self._root_cas.cache.get(ObjectKey(namespace, ROOT_CA))
        wanted = {ROOT_CA_KEY: self._ca_pem}
        if held is None:
            await self._client.create(CONFIGMAPS, self._root_ca(namespace))
        elif held.data != wanted:
            version = held.metadata.resource_version
            document = self._root_ca(namespace)
            document["metadata"]["resourceVersion"] = version
            await self._client.update(CONFIGMAPS, document)

    def _root_ca(self, namespace: str) -> Obj:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": ROOT_CA,
                "namespace": namespace,
                "annotations": {"kubernetes.io/description": DESCRIPTION},
            },
            "data": {ROOT_CA_KEY: self._ca_pem},
        }

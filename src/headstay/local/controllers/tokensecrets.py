"""Fills Secrets of type kubernetes.io/service-account-token, and removes them with their ServiceAccount.

Kubernetes stopped making these by itself, but still fills those that a user makes for a client outside the cluster.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable

import msgspec

from headstay.local.controllers.informers import Informers
from headstay.model.errors import StatusError, is_not_found
from headstay.model.meta import Named, ObjectMeta, View
from headstay.model.objects import Obj, ObjectKey
from headstay.model.resource import SECRETS, SERVICE_ACCOUNTS
from headstay.runtime.controller import Controller, Result
from headstay.runtime.reflector import Reflector

TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"

Issue = Callable[[Obj, str], str]
"""(ServiceAccount, name of the Secret) -> token."""


class TokenSecret(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    data: dict[str, str] = msgspec.field(default_factory=dict)


class TokenSecrets:
    def __init__(self, informers: Informers, issue: Issue, ca_pem: str) -> None:
        self._client = informers.client
        self._issue = issue
        self._ca = ca_pem.encode()
        self._accounts = informers.of(SERVICE_ACCOUNTS, Named)
        # A reflector of its own: other Secrets are nobody's business here.
        self._secrets = Reflector(self._client, SECRETS, TokenSecret, field_selector=f"type={TYPE}")
        self._secrets.cache.add_index("account", lambda secret: [_account_of(secret)])
        self._controller: Controller[ObjectKey] = Controller("token-secrets", self._reconcile)
        self._controller.watches(self._secrets, lambda found: [_key(found.metadata)])
        self._controller.watches(self._accounts, self._secrets_of)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._secrets.run(), name="reflector/token-secrets")
            group.create_task(self._controller.run(), name="token-secrets")

    def _secrets_of(self, account: Named) -> list[ObjectKey]:
        found = self._secrets.cache.by_index("account", str(_key(account.metadata)))
        return [_key(secret.metadata) for secret in found]

    async def _reconcile(self, key: ObjectKey) -> Result:
        secret = self._secrets.cache.get(key)
        if secret is None or secret.metadata.deletion_timestamp:
            return Result()
        try:
            await self._keep(key, secret)
        except StatusError as error:
            if not is_not_found(error):
                raise
        return Result()

    async def _keep(self, key: ObjectKey, secret: TokenSecret) -> None:
        name = secret.metadata.annotations.get(ACCOUNT_NAME, "")
        account = await self._account(ObjectKey(key.namespace, name))
        uid = secret.metadata.annotations.get(ACCOUNT_UID)
        if account is None or (uid and uid != account["metadata"]["uid"]):
            await self._client.delete(SECRETS, *key, uid=secret.metadata.uid)
            return
        if uid and {"token", "ca.crt", "namespace"} <= secret.data.keys():
            return
        wanted = {"ca.crt": self._ca, "namespace": key.namespace.encode()}
        if "token" not in secret.data:
            wanted["token"] = self._issue(account, key.name).encode()
        patch = {
            "metadata": {
                "resourceVersion": secret.metadata.resource_version,
                "annotations": {ACCOUNT_UID: account["metadata"]["uid"]},
            },
            "data": {entry: b64encode(value).decode() for entry, value in wanted.items()},
        }
        await self._client.patch(SECRETS, *key, patch)

    async def _account(self, key: ObjectKey) -> Obj | None:
        """Asked of the API, not of the cache: a Secret is often made in one file with its account, just after it."""
        try:
            return await self._client.get(SERVICE_ACCOUNTS, *key)
        except StatusError as error:
            if is_not_found(error):
                return None
            raise


def _key(metadata: ObjectMeta) -> ObjectKey:
    return ObjectKey(metadata.namespace, metadata.name)


def _account_of(secret: TokenSecret) -> str:
    return str(ObjectKey(secret.metadata.namespace, secret.metadata.annotations.get(ACCOUNT_NAME, "")))

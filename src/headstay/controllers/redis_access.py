"""Reaching Redis from here, with credentials read from Secrets at that moment and kept nowhere."""

import base64
import binascii
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace

from headstay.gcs.cleaning import RedisRefusedError, RedisTarget, RedisUnreachableError, clean
from headstay.gcs.measuring import Size, measure
from headstay.model.errors import StatusError, is_not_found
from headstay.model.objects import dig
from headstay.model.resource import CONFIGMAPS, SECRETS
from headstay.plan.raycluster.identity import CLUSTER_DOMAIN, address_from_afar
from headstay.plan.raycluster.mounted_files import ObjectRef
from headstay.plan.raycluster.storage import SecretRef, Storage
from headstay.runtime.client import Client

_FIELDS = {"RAY_REDIS_CA_CERT": "ca_file", "RAY_REDIS_CLIENT_CERT": "client_cert", "RAY_REDIS_CLIENT_KEY": "client_key"}


class CleaningError(Exception):
    """The keys, or some of them, are still there; the text is for people and holds no password."""


class CredentialsGoneError(CleaningError):
    """An object that says how to get in, or its key, is not there any more."""


class RedisAccess:
    def __init__(self, client: Client, domain: str = CLUSTER_DOMAIN) -> None:
        self._client = client
        self._domain = domain

    async def clean(self, storage: Storage, namespace: str, *, password: str = "", seconds: float) -> int:
        """The number of keys removed. `namespace` is that of the Secrets; `password` is one in plain text.

        Raises CleaningError within about `seconds`, and what the API says of the Secret.
        """
        async with self._target(storage, namespace, password) as target:
            return (await clean(target, storage.namespace, seconds=seconds)).removed

    async def measure(self, storage: Storage, namespace: str, *, password: str = "", seconds: float) -> Size:
        """What the storage namespace takes; raises as `clean` does."""
        async with self._target(storage, namespace, password) as target:
            return await measure(target, storage.namespace, seconds=seconds)

    @asynccontextmanager
    async def _target(self, storage: Storage, namespace: str, password: str) -> AsyncIterator[RedisTarget]:
        """Errors of Redis come out of it as CleaningError."""
        contents = {found.variable: await self._content(namespace, found.source) for found in storage.tls_files}
        plain = await self._without_tls(storage, namespace, password)
        try:
            with _files(contents) as paths:
                yield replace(plain, **{_FIELDS[variable]: path for variable, path in paths.items()})
        except (RedisUnreachableError, RedisRefusedError) as error:
            raise CleaningError(str(error)) from error

    async def _without_tls(self, storage: Storage, namespace: str, password: str) -> RedisTarget:
        username = storage.username
        if storage.username_from is not None:
            username = (await self._secret(namespace, storage.username_from)).decode()
        if storage.password_from is not None:
            password = (await self._secret(namespace, storage.password_from)).decode()
        address = storage.address
        if storage.address_from is not None:
            text = (await self._content(namespace, storage.address_from)).decode().strip()
            found = address_from_afar(text, namespace, self._domain)
            if found is None:
                where = f"{storage.address_from.kind} {namespace}/{storage.address_from}"
                raise CredentialsGoneError(f"{where} holds no Redis address that can be reached from outside the head")
            address = found
        return RedisTarget(address=address, username=username, password=password, server_name=storage.server_name)

    async def _secret(self, namespace: str, reference: SecretRef) -> bytes:
        return await self._content(namespace, ObjectRef("Secret", reference.name, reference.key))

    async def _content(self, namespace: str, reference: ObjectRef) -> bytes:
        where = f"{reference.kind} {namespace}/{reference.name}"
        resource = SECRETS if reference.kind == "Secret" else CONFIGMAPS
        try:
            found = await self._client.get(resource, namespace, reference.name)
        except StatusError as error:
            if is_not_found(error):
                raise CredentialsGoneError(f"{where} is gone") from error
            raise
        plain = dig(found, "data", reference.key) if reference.kind == "ConfigMap" else None
        encoded = dig(found, "data" if reference.kind == "Secret" else "binaryData", reference.key)
        if plain is None and encoded is None:
            raise CredentialsGoneError(f"{where} has no key {reference.key!r} any more")
        try:
            content = plain.encode() if plain is not None else base64.b64decode(encoded)
            content.decode()
        except (binascii.Error, UnicodeError) as error:
            raise CredentialsGoneError(f"{where}/{reference.key} cannot be read as text") from error
        return content


@contextmanager
def _files(contents: dict[str, bytes]) -> Iterator[dict[str, str]]:
    """Paths by variable. The content is in this process's memory alone: private keys touch no disk."""
    with ExitStack() as stack:
        paths: dict[str, str] = {}
        for variable, content in contents.items():
            handle = os.memfd_create(variable)
            stack.callback(os.close, handle)
            os.write(handle, content)
            paths[variable] = f"/proc/self/fd/{handle}"
        yield paths

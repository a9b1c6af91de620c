"""Removing keys from Redis from here, with credentials read from Secrets at that moment and kept nowhere."""

import base64
import binascii

from headstay.gcs.cleaning import RedisRefusedError, RedisTarget, RedisUnreachableError, clean
from headstay.model.errors import StatusError, is_not_found
from headstay.model.objects import dig
from headstay.model.resource import SECRETS
from headstay.plan.raycluster.storage import SecretRef, Storage
from headstay.runtime.client import Client


class CleaningError(Exception):
    """The keys, or some of them, are still there; the text is for people and holds no password."""


class CredentialsGoneError(CleaningError):
    """The Secret, or its key, is not there any more."""


class RedisAccess:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def clean(self, storage: Storage, namespace: str, *, password: str = "", seconds: float) -> int:
        """The number of keys removed. `namespace` is that of the Secrets; `password` is one in plain text.

        Raises CleaningError within about `seconds`, and what the API says of the Secret.
        """
        username = await self._secret(namespace, storage.username_from) or storage.username
        secret = await self._secret(namespace, storage.password_from) or password
        target = RedisTarget(address=storage.address, username=username, password=secret)
        try:
            return (await clean(target, storage.namespace, seconds=seconds)).removed
        except (RedisUnreachableError, RedisRefusedError) as error:
            raise CleaningError(str(error)) from error

    async def _secret(self, namespace: str, reference: SecretRef | None) -> str:
        if reference is None:
            return ""
        try:
            found = await self._client.get(SECRETS, namespace, reference.name)
        except StatusError as error:
            if is_not_found(error):
                raise CredentialsGoneError(f"Secret {namespace}/{reference.name} is gone") from error
            raise
        encoded = dig(found, "data", reference.key)
        if encoded is None:
            raise CredentialsGoneError(f"Secret {namespace}/{reference.name} has no key {reference.key!r} any more")
        try:
            return base64.b64decode(encoded).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise CredentialsGoneError(f"Secret {namespace}/{reference} cannot be read as text") from error

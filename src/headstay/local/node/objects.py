"""ConfigMaps, Secrets and service-account tokens as the API has them now.

They are read when a container starts or a volume is refreshed, never kept: a cluster's Secrets have no business in
the memory of a daemon that does not need them.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from headstay.local.node.environ import ConfigError, decode_config_map, decode_secret
from headstay.local.node.payloads import Token
from headstay.local.node.podspec import PodDocument
from headstay.model import timestamps
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import CONFIGMAPS, SECRETS, SERVICE_ACCOUNTS, Resource
from headstay.runtime.client import Client

# A token is renewed when a fifth of its life is left, or after a day.
_RENEW_AFTER = 0.8
_MOST_AGE = timedelta(days=1)


class ApiObjects:
    """Implements `environ.Source`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def config_map(self, namespace: str, name: str) -> dict[str, bytes] | None:
        found = await self._get(CONFIGMAPS, namespace, name)
        return None if found is None else decode_config_map(found)

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        found = await self._get(SECRETS, namespace, name)
        return None if found is None else decode_secret(found)

    async def _get(self, resource: Resource, namespace: str, name: str) -> Obj | None:
        try:
            return await self._client.get(resource, namespace, name)
        except StatusError as error:
            if error.reason == "NotFound":
                return None
            raise


class ApiTokens:
    """Implements `payloads.Tokens`: one token for each Pod and audience, renewed in good time."""

    def __init__(self, client: Client, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
        self._held: dict[tuple[str, str, int], tuple[Token, datetime]] = {}

    async def token(self, pod: PodDocument, audience: str, seconds: int) -> Token:
        key, now = (pod.metadata.uid, audience, seconds), self._clock()
        held = self._held.get(key)
        if held is not None and now < held[1]:
            return held[0]
        account = pod.spec.get("serviceAccountName") or "default"
        request: Obj = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"namespace": pod.metadata.namespace, "name": account},
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": seconds,
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": pod.metadata.name,
                    "uid": pod.metadata.uid,
                },
            },
        }
        try:
            answer = await self._client.create(SERVICE_ACCOUNTS, request, subresource="token", name=account)
        except StatusError as error:
            raise ConfigError(f"failed to fetch token: {error.message}") from error
        status = answer["status"]
        token = Token(status["token"], timestamps.parse(status["expirationTimestamp"]))
        self._held[key] = (token, now + min((token.expires_at - now) * _RENEW_AFTER, _MOST_AGE))
        return token

    def forget(self, uid: str) -> None:
        for key in [key for key in self._held if key[0] == uid]:
            del self._held[key]

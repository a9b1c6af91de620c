"""Whether this is OpenShift, as far as it matters here: whether the API serves Routes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from headstay.model.errors import StatusError
from headstay.model.resource import ROUTES
from headstay.runtime.client import TransportError

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 5.0


class _Group(msgspec.Struct):
    name: str


class _Groups(msgspec.Struct):
    groups: list[_Group] = []


async def serves_routes(get: Callable[[str], Awaitable[bytes]]) -> bool:
    """Asks until there is an answer: the API server itself gives it, also while OpenShift's own servers are away.

    Each call has its client's bound.
    """
    while True:
        try:
            answer = msgspec.json.decode(await get("/apis"), type=_Groups)
        except StatusError as error:
            if error.code == 403:
                log.warning("may not ask the API for its groups: %s; Ingresses are made, and no Routes", error)
                return False
            reason = str(error)
        except (TransportError, msgspec.DecodeError) as error:
            reason = str(error)
        else:
            return any(group.name == ROUTES.group for group in answer.groups)
        log.warning("the API's groups: %s; asking again in %g s", reason, _AGAIN_SECONDS)
        await asyncio.sleep(_AGAIN_SECONDS)

"""Whether a cluster that the cache still shows is there at all, asked only where that is in doubt.

Children made for a cluster that is gone are collected at once, which is news about the cluster, for which children
would be made again: many writes a second for as long as the watch on RayClusters lags. So whoever makes children
again right after making some asks the API first.
"""

import asyncio
from typing import NamedTuple

from headstay.model.errors import StatusError, is_not_found
from headstay.model.objects import ObjectKey
from headstay.model.ray import RAYCLUSTERS, RayCluster
from headstay.runtime.client import Client

_SECONDS = 10.0


class _Made(NamedTuple):
    uid: str
    at: float


class Owners:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._made: dict[ObjectKey, _Made] = {}

    def forget(self, cluster: ObjectKey) -> None:
        self._made.pop(cluster, None)

    async def is_gone(self, cluster: RayCluster) -> bool:
        """To be asked before children are made. A cleanup Job is worth the question every time: keys go with it."""
        now = asyncio.get_running_loop().time()
        last = self._made.get(cluster.key)
        self._made[cluster.key] = _Made(cluster.metadata.uid, now)
        again = last is not None and last.uid == cluster.metadata.uid and now - last.at <= _SECONDS
        if not again and not cluster.deleting:
            return False
        try:
            found = await self._client.get(RAYCLUSTERS, cluster.namespace, cluster.name)
        except StatusError as error:
            if is_not_found(error):
                return True
            raise
        return bool(found["metadata"]["uid"] != cluster.metadata.uid)

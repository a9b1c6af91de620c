"""Where head Pods and cleanup Jobs say that their keys are, read from the API where nothing else says it.

Environments are not in the caches: ten thousand of them would be most of the operator's memory. A Pod's never changes,
so each is asked for once. What Headstay made carries a label that spares the question.
"""

from dataclasses import replace

from headstay.model.errors import StatusError, is_not_found
from headstay.model.objects import Obj, ObjectKey
from headstay.model.resource import JOBS, PODS
from headstay.plan.raycluster.cleanup import has_finalizer
from headstay.plan.raycluster.places import unread
from headstay.plan.raycluster.plan import Observed
from headstay.plan.raycluster.settings import Settings
from headstay.plan.raycluster.storage import Storage, storage_of_pod
from headstay.runtime.client import Client


class WrittenPlaces:
    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._known: dict[ObjectKey, dict[str, Storage | None]] = {}

    def forget(self, cluster: ObjectKey) -> None:
        """The cluster is gone from the API."""
        self._known.pop(cluster, None)

    async def read(self, observed: Observed) -> Observed:
        cluster = observed.cluster
        if not has_finalizer(cluster) or not cluster.managed_by_us:
            return observed
        known = self._known.get(cluster.key, {})
        jobs = {job.metadata.uid for job in observed.jobs}
        found: dict[str, Storage | None] = {}
        for metadata in unread(observed, self._settings):
            uid = metadata.uid
            found[uid] = (
                known[uid] if uid in known else await self._ask(metadata.name, uid, cluster.key, job=uid in jobs)
            )
        if found:
            self._known[cluster.key] = found
        else:
            self._known.pop(cluster.key, None)
        return self.remembered(observed)

    def remembered(self, observed: Observed) -> Observed:
        known = self._known.get(observed.cluster.key, {})
        return replace(observed, storages={uid: storage for uid, storage in known.items() if storage is not None})

    async def _ask(self, name: str, uid: str, cluster: ObjectKey, *, job: bool) -> Storage | None:
        try:
            found = await self._client.get(JOBS if job else PODS, cluster.namespace, name)
        except StatusError as error:
            if is_not_found(error):
                return None
            raise
        if found["metadata"]["uid"] != uid:
            return None
        pod: Obj = found["spec"]["template"] if job else found
        return storage_of_pod(pod, cluster.namespace, self._settings.cluster_domain)

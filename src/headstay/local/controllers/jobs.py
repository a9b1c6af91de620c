"""Jobs: Pods until enough of them have succeeded, within limits of failures and time."""

from collections.abc import Callable
from datetime import UTC, datetime

from headstay.local.controllers.informers import Informers
from headstay.local.controllers.jobindexes import indexed_template
from headstay.local.controllers.jobplan import OUR_NAME, JobPlan, plan_job
from headstay.local.controllers.owned import Owned, controller_reference, enqueue_owners, from_template
from headstay.local.controllers.status import write_status
from headstay.local.controllers.workloads import Job
from headstay.model.errors import StatusError, is_conflict, is_not_found
from headstay.model.meta import Pod
from headstay.model.objects import ObjectKey
from headstay.model.resource import JOBS, PODS
from headstay.model.selectors import structured_selector
from headstay.runtime.controller import Controller, Result
from headstay.runtime.events import EventRecorder, EventType, reference_to


class Jobs:
    def __init__(
        self,
        informers: Informers,
        recorder: EventRecorder,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = informers.client
        self._recorder = recorder
        self._now = now
        self._jobs = informers.of(JOBS, Job)
        pods = informers.of(PODS, Pod)
        self._pods = Owned(self._client, pods, JOBS)
        self.controller: Controller[ObjectKey] = Controller("job", self.reconcile, workers=5)
        self.controller.watches(self._jobs, lambda job: [ObjectKey(job.metadata.namespace, job.metadata.name)])
        enqueue_owners(self.controller, pods, self._jobs, JOBS.kind)

    async def reconcile(self, key: ObjectKey) -> Result:
        job = self._jobs.cache.get(key)
        if job is None or (job.spec.managed_by and job.spec.managed_by != OUR_NAME):
            return Result()
        pods = await self._pods.claimed(job.metadata, structured_selector(job.spec.selector))
        plan = plan_job(job, pods, self._now())
        if plan.expired:
            await self._expire(job)
            return Result()
        failure = await self._act(job, plan)
        status = plan.status
        await write_status(self._client, JOBS, job.metadata, job.status, status, always=("ready", "terminating"))
        for type_, reason, note in plan.said:
            self._say(job, type_, reason, note)
        if failure is not None:
            raise failure
        return Result(plan.requeue_after, "a deadline or back-off of the Job")

    async def _act(self, job: Job, plan: JobPlan) -> StatusError | None:
        """Pods that could not be made are taken back out of the status; the refusal is for the back-off."""
        made = 0
        try:
            for index in plan.create:
                await self._create(job, index)
                made += 1
        except StatusError as error:
            plan.status.active -= len(plan.create) - made
            if not is_not_found(error) and "being terminated" not in str(error):
                self._say(job, "Warning", "FailedCreate", f"Error creating: {error}")
            return error
        for pod in plan.delete:
            if await self._pods.delete(pod.metadata):
                self._say(job, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")
        return None

    async def _create(self, job: Job, index: int | None) -> None:
        meta, template = job.metadata, job.spec.template
        prefix = meta.name
        if index is not None:
            template, prefix = indexed_template(template, meta.name, index), f"{meta.name}-{index}"
        document = from_template(template, controller_reference(JOBS, meta), meta.namespace)
        document["metadata"]["generateName"] = f"{prefix}-"
        made = await self._pods.create(meta, document)
        self._say(job, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")

    async def _expire(self, job: Job) -> None:
        """TtlSecondsAfterFinished is over: the Job goes, its Pods before it."""
        meta = job.metadata
        try:
            await self._client.delete(JOBS, meta.namespace, meta.name, uid=meta.uid, propagation="Foreground")
        except StatusError as error:
            if not is_not_found(error) and not is_conflict(error):
                raise

    def _say(self, job: Job, type_: EventType, reason: str, note: str) -> None:
        self._recorder.event(reference_to(JOBS, job.metadata), type_, reason, reason, note)

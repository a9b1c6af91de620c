"""kube-controller-manager's part for workloads: one recorder and one loop for each kind, over shared informers."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from headstay.local.controllers.deployments import Deployments
from headstay.local.controllers.informers import Informers
from headstay.local.controllers.jobs import Jobs
from headstay.local.controllers.replicasets import ReplicaSets
from headstay.local.controllers.statefulsets import StatefulSets
from headstay.runtime.events import EventRecorder


class Runner(Protocol):
    """Something that works until it is cancelled."""

    async def run(self) -> None: ...


def workload_runners(informers: Informers, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> list[Runner]:
    """Everything to run beside `informers.run()`, which must start after this has asked for its reflectors."""
    runners: list[Runner] = []

    def recorder(component: str) -> EventRecorder:
        made = EventRecorder(informers.client, component, now=now)
        runners.append(made)
        return made

    runners.append(Deployments(informers, recorder("deployment-controller"), now=now).controller)
    runners.append(ReplicaSets(informers, recorder("replicaset-controller"), now=now).controller)
    runners.append(Jobs(informers, recorder("job-controller"), now=now).controller)
    runners.append(StatefulSets(informers, recorder("statefulset-controller"), now=now).controller)
    return runners

"""Pure: the completion indexes of an Indexed Job, and what a Pod of such a Job has that others have not."""

from collections.abc import Iterable
from copy import deepcopy

from headstay.local.controllers.podstate import active
from headstay.local.controllers.workloads import Job
from headstay.model.meta import Pod
from headstay.model.objects import Obj

INDEX = "batch.kubernetes.io/job-completion-index"
VARIABLE = "JOB_COMPLETION_INDEX"


def index_of(pod: Pod) -> int | None:
    text = pod.metadata.annotations.get(INDEX, "")
    return int(text) if text.isdigit() else None


def parse_indexes(text: str) -> set[int]:
    """`1,3-5` as `status.completedIndexes` has it."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def format_indexes(indexes: Iterable[int]) -> str:
    parts: list[list[int]] = []
    for index in sorted(indexes):
        if parts and parts[-1][-1] == index - 1:
            parts[-1].append(index)
        else:
            parts.append([index])
    return ",".join(_run(part) for part in parts)


def _run(part: list[int]) -> str:
    if len(part) == 1:
        return str(part[0])
    return f"{part[0]}{',' if len(part) == 2 else '-'}{part[-1]}"


def completed_indexes(job: Job, pods: Iterable[Pod]) -> set[int]:
    """Those completed before, and those of Pods that succeeded; indexes beyond `completions` do not count."""
    found = {index_of(pod) for pod in pods if pod.status.phase == "Succeeded"}
    total = job.spec.completions or 0
    return {
        index for index in found | parse_indexes(job.status.completed_indexes) if index is not None and index < total
    }


def missing_indexes(job: Job, pods: Iterable[Pod]) -> list[int]:
    """Neither completed nor being worked on, in order."""
    pods = list(pods)
    taken = completed_indexes(job, pods) | {index_of(pod) for pod in pods if active(pod)}
    return [index for index in range(job.spec.completions or 0) if index not in taken]


def indexed_template(template: Obj, job_name: str, index: int) -> Obj:
    """The template for the Pod of one index: annotation, label, host name and environment variable."""
    made = deepcopy(template)
    meta = made.setdefault("metadata", {})
    for name in ("annotations", "labels"):
        meta[name] = (meta.get(name) or {}) | {INDEX: str(index)}
    spec = made["spec"]
    spec["hostname"] = f"{job_name}-{index}"
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.annotations['{INDEX}']"}}
    for container in [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]:
        variables = container.get("env") or []
        if not any(variable.get("name") == VARIABLE for variable in variables):
            container["env"] = [*variables, {"name": VARIABLE, "valueFrom": source}]
    return made

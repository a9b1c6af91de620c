"""Jobs and CronJobs. A Job's selector and its Pods' labels are made from its own uid: no other Job can claim them."""

from headstay.local.server.seams import WriteContext
from headstay.local.server.strategies import causes, names
from headstay.local.server.strategies.base import Base, put
from headstay.local.server.strategies.podspec import default_template
from headstay.local.server.strategies.workloads import mismatch, validate_template
from headstay.model.errors import Cause
from headstay.model.objects import Obj, dig
from headstay.model.selectors import structured_selector

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
_COUNTS = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
_IMMUTABLE = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
_POLICIES = ("OnFailure", "Never")


class Jobs(Base):
    def default(self, new: Obj) -> None:
        default_job_spec(new.setdefault("spec", {}))
        labels = dig(new, "spec", "template", "metadata", "labels")
        meta = new.setdefault("metadata", {})
        if labels and not meta.get("labels"):
            meta["labels"] = dict(labels)

    def prepare_create(self, new: Obj, context: WriteContext) -> None:
        labelled = bool(new["metadata"].get("labels"))
        template_labels = dig(new, "spec", "template", "metadata", "labels")
        borrowed = not labelled or new["metadata"]["labels"] == template_labels
        self.default(new)
        new["status"] = {}
        if not new["spec"]["manualSelector"]:
            _generate_selector(new)
            if borrowed:
                # Kubernetes defaults a Job's labels from its template after this, too.
                new["metadata"]["labels"] = dict(new["spec"]["template"]["metadata"]["labels"])

    def prepare_update(self, new: Obj, old: Obj, context: WriteContext) -> None:
        if not context.subresource:
            self.default(new)

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        if context.subresource == "status":
            return []
        spec = new["spec"]
        found = [cause for name in _COUNTS for cause in names.not_negative(f"spec.{name}", spec.get(name))]
        if spec["completionMode"] not in {"Indexed", "NonIndexed"}:
            found.append(causes.not_supported("spec.completionMode", spec["completionMode"], ("Indexed", "NonIndexed")))
        elif spec["completionMode"] == "Indexed" and spec.get("completions") is None:
            found.append(causes.required("spec.completions", "when completion mode is Indexed"))
        selector, labels = spec.get("selector"), dig(spec, "template", "metadata", "labels")
        if selector is None:
            found.append(causes.required("spec.selector"))
        elif not structured_selector(selector).matches(labels or {}):
            found.append(mismatch(labels))
        found += _template(spec, "spec.template")
        if old is not None:
            found += _update(spec, old["spec"])
        return found


def default_job_spec(spec: Obj) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    put(spec, parallelism=1, completionMode="NonIndexed", suspend=False, manualSelector=False)
    put(spec, backoffLimit=2**31 - 1 if spec.get("backoffLimitPerIndex") is not None else 6)
    put(spec, podReplacementPolicy="Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")
    if isinstance(spec.get("template"), dict):
        default_template(spec["template"])


def _generate_selector(job: Obj) -> None:
    uid, name = job["metadata"]["uid"], job["metadata"]["name"]
    template = job["spec"].setdefault("template", {})
    meta = template.setdefault("metadata", {}) or {}
    template["metadata"] = meta
    meta["labels"] = (meta.get("labels") or {}) | {
        "controller-uid": uid,
        CONTROLLER_UID: uid,
        "job-name": name,
        JOB_NAME: name,
    }
    selector = job["spec"].get("selector") or {}
    selector["matchLabels"] = (selector.get("matchLabels") or {}) | {CONTROLLER_UID: uid}
    job["spec"]["selector"] = selector


def _template(spec: Obj, path: str) -> list[Cause]:
    policy = dig(spec, "template", "spec", "restartPolicy")
    found = validate_template(spec, ("Always", *_POLICIES), path)
    if policy == "Always":
        # What the user most likely did is to leave it out.
        detail = f'valid values: "{_POLICIES[0]}", "{_POLICIES[1]}"'
        found.append(causes.required(f"{path}.spec.restartPolicy", detail))
    elif policy not in _POLICIES:
        found.append(causes.not_supported(f"{path}.spec.restartPolicy", policy, _POLICIES))
    return found


def _update(spec: Obj, old: Obj) -> list[Cause]:
    found: list[Cause] = []
    if spec.get("completions") != old.get("completions") and not _is_elastic(spec):
        found.append(causes.immutable("spec.completions", spec.get("completions")))
    if spec.get("selector") != old.get("selector"):
        found.append(causes.invalid_go("spec.selector", causes.go_selector(spec.get("selector")), "field is immutable"))
    if spec.get("template") != old.get("template") and not _may_reschedule(spec, old):
        found.append(causes.immutable("spec.template", spec.get("template")))
    found += [
        causes.immutable(f"spec.{name}", spec.get(name)) for name in _IMMUTABLE if spec.get(name) != old.get(name)
    ]
    return found


def _is_elastic(spec: Obj) -> bool:
    """An Indexed Job may grow or shrink, its parallelism with it."""
    return spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")


def _may_reschedule(spec: Obj, old: Obj) -> bool:
    """A Job that is suspended and was never started may be told where to run."""
    if not old.get("suspend"):
        return False
    wanted, before = _without_placement(spec["template"]), _without_placement(old["template"])
    return wanted == before


def _without_placement(template: Obj) -> Obj:
    placement = {"nodeSelector", "tolerations", "affinity", "schedulingGates"}
    pod = {key: value for key, value in (template.get("spec") or {}).items() if key not in placement}
    meta = {k: v for k, v in (template.get("metadata") or {}).items() if k not in {"labels", "annotations"}}
    return template | {"spec": pod, "metadata": meta}


class CronJobs(Base):
    def default(self, new: Obj) -> None:
        spec = new.setdefault("spec", {})
        put(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
        template = dig(spec, "jobTemplate", "spec", "template")
        if isinstance(template, dict):
            default_template(template)

    def prepare_create(self, new: Obj, context: WriteContext) -> None:
        self.default(new)
        new["status"] = {}

    def prepare_update(self, new: Obj, old: Obj, context: WriteContext) -> None:
        if not context.subresource:
            self.default(new)

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        if context.subresource == "status":
            return []
        spec = new["spec"]
        found = _schedule(spec.get("schedule") or "")
        policies = ("Allow", "Forbid", "Replace")
        if spec["concurrencyPolicy"] not in policies:
            found.append(causes.not_supported("spec.concurrencyPolicy", spec["concurrencyPolicy"], policies))
        if len(new["metadata"].get("name") or "") > 52:
            found.append(causes.invalid("metadata.name", new["metadata"]["name"], "must be no more than 52 characters"))
        return found + _template(dig(spec, "jobTemplate", "spec") or {}, "spec.jobTemplate.spec.template")


def _schedule(schedule: str) -> list[Cause]:
    if not schedule:
        return [causes.required("spec.schedule")]
    fields = schedule.split()
    if schedule.startswith("@") or len(fields) == 5:
        return []
    detail = f"Expected exactly 5 fields, found {len(fields)}: {schedule}"
    return [causes.invalid("spec.schedule", schedule, detail)]

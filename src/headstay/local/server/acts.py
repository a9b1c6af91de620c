"""Subresources that are acts: binding a Pod, evicting it, finalizing a namespace, asking for a token."""

from headstay.local.server import codec, errors
from headstay.local.server.requests import Answer, Call, DeleteOptions, Target
from headstay.local.server.rest import Api
from headstay.model.errors import Cause, StatusError
from headstay.model.objects import Obj, dig, labels
from headstay.model.resource import PODS, Resource
from headstay.model.selectors import structured_selector
from headstay.model.timestamps import rfc3339

_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
_BINDING = PODS._replace(plural="pods/binding")
_SUCCESS = codec.encode({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})


def bind(api: Api, target: Target, binding: Obj, call: Call) -> Answer:
    """Gives a Pod its node, once."""
    name = target.name
    node = dig(binding, "target", "name")
    if not node:
        raise errors.invalid(
            Resource("", "v1", "bindings", "Binding"),
            name,
            [Cause("FieldValueRequired", "Required value", "target.name")],
        )
    if (given := dig(binding, "metadata", "name")) and given != name:
        raise errors.bad_request("name in URL does not match name in Binding object")
    current = api.writer.current(target)
    pod = current.obj
    if pod["metadata"].get("deletionTimestamp"):
        raise errors.conflict(_BINDING, name, f"pod {name} is being deleted, cannot be assigned to a host")
    if assigned := dig(pod, "spec", "nodeName"):
        raise errors.conflict(_BINDING, name, f'pod {name} is already assigned to node "{assigned}"')
    new = codec.copied(pod)
    new["spec"]["nodeName"] = node
    new["metadata"].setdefault("annotations", {}).update(dig(binding, "metadata", "annotations") or {})
    if not new["metadata"]["annotations"]:
        del new["metadata"]["annotations"]
    _set_scheduled(new, rfc3339(api.clock()))
    api.writer.replace(target.served, current, new, call)
    return Answer(_SUCCESS, created=True)


def _set_scheduled(pod: Obj, now: str) -> None:
    conditions = pod.setdefault("status", {}).setdefault("conditions", [])
    conditions[:] = [c for c in conditions if c.get("type") != "PodScheduled"]
    conditions.append({"type": "PodScheduled", "status": "True", "lastTransitionTime": now})


def evict(api: Api, target: Target, eviction: Obj, call: Call) -> Answer:
    """A delete that PodDisruptionBudgets may refuse for now (429)."""
    pod = api.writer.current(target).obj
    if dig(pod, "status", "phase") not in {"Succeeded", "Failed", "Pending"}:
        for budget in api.reader.list(_BUDGETS, target.namespace):
            selector = structured_selector(dig(budget, "spec", "selector") or {})
            if selector.matches(labels(pod)) and not dig(budget, "status", "disruptionsAllowed"):
                raise _too_many(budget["metadata"]["name"])
    options = DeleteOptions.from_document(eviction.get("deleteOptions") or {})
    api.delete(target._replace(subresource=""), options, call)
    return Answer(_SUCCESS, created=True)


def _too_many(budget: str) -> StatusError:
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    cause = Cause("DisruptionBudget", f"The disruption budget {budget} does not allow a disruption now")
    return StatusError(429, "TooManyRequests", message, causes=(cause,))


def finalize_namespace(api: Api, target: Target, document: Obj, call: Call) -> Answer:
    """Replaces `spec.finalizers` alone; the last one gone from a namespace being deleted, it is gone too."""
    current = api.writer.current(target)
    given = dig(document, "metadata", "resourceVersion")
    if given and given != str(current.entry.revision):
        raise errors.conflict(target.resource, target.name)
    new = codec.copied(current.obj)
    new["spec"] = {"finalizers": dig(document, "spec", "finalizers") or []}
    if not new["spec"]["finalizers"]:
        new["spec"] = {}
    return api.writer.replace(target.served, current, new, call)


def issue_token(api: Api, target: Target, document: Obj) -> Answer:
    if api.issue_token is None:
        raise errors.unsupported("serviceaccounts/token without an issuer")
    return Answer(codec.encode(api.issue_token(target.namespace, target.name, document)), created=True)

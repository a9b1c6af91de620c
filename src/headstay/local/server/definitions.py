"""The end of a CustomResourceDefinition: first its objects go, with their finalizers respected, then itself.

A definition being deleted holds a finalizer of the server's own until no object of its kind is left. New objects
are refused meanwhile.
"""

from typing import TYPE_CHECKING

from headstay.local.server import codec
from headstay.local.server.kinds import Served
from headstay.local.server.requests import Call, DeleteOptions, Target
from headstay.local.server.writes import Current
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import CUSTOM_RESOURCE_DEFINITIONS
from headstay.model.timestamps import rfc3339

if TYPE_CHECKING:
    from headstay.local.server.rest import Api

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_SERVER = Call(field_manager="kube-apiserver")


class Definitions:
    """`api` is the `Api` that serves the definitions; it calls here after deletions."""

    def __init__(self, api: "Api") -> None:
        self._api = api

    def held(self, current: Current) -> Current:
        """The definition as its first deletion finds it: with the finalizer, and saying that it terminates."""
        if current.obj["metadata"].get("deletionTimestamp"):
            return current
        new = codec.copied(current.obj)
        finalizers = new["metadata"].setdefault("finalizers", [])
        if CLEANUP not in finalizers:
            finalizers.append(CLEANUP)
        _set_terminating(new, rfc3339(self._api.clock()))
        return current._replace(obj=new)

    def empty(self, name: str) -> None:
        """Deletes all objects of a definition that is being deleted; it goes too once none is left."""
        served = next((one for one in self._api.kinds.every() if one.custom and one.table == name), None)
        if served is not None:
            for key, _ in list(self._api.store.entries(served.table)):
                self._api.delete(Target(served, key.namespace, key.name), DeleteOptions(), _SERVER)
        self._complete(name)

    def removed(self, served: Served) -> None:
        """Told of each object that is really gone."""
        if served.custom and served.terminating:
            self._complete(served.table)

    def _complete(self, name: str) -> None:
        target = Target(self._api.served(CUSTOM_RESOURCE_DEFINITIONS), "", name)
        if self._api.store.get(target.key) is None or self._api.store.count(name):
            return
        current = self._api.writer.current(target)
        finalizers = current.obj["metadata"].get("finalizers") or []
        if current.obj["metadata"].get("deletionTimestamp") and CLEANUP in finalizers:
            new = codec.copied(current.obj)
            new["metadata"]["finalizers"] = [one for one in finalizers if one != CLEANUP]
            self._api.writer.replace(target.served, current, new, _SERVER)


def refuse_creation(served: Served) -> None:
    if served.terminating:
        message = "create not allowed while custom resource definition is terminating"
        raise StatusError(405, "MethodNotAllowed", message)


def _set_terminating(crd: Obj, now: str) -> None:
    conditions = crd.setdefault("status", {}).setdefault("conditions", [])
    conditions[:] = [condition for condition in conditions if condition.get("type") != "Terminating"]
    conditions.append(
        {
            "type": "Terminating",
            "status": "True",
            "lastTransitionTime": now,
            "reason": "InstanceDeletionInProgress",
            "message": "CustomResource deletion is in progress",
        }
    )

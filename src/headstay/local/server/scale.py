"""The `scale` subresource: replicas of any kind through one document, autoscaling/v1 Scale."""

from typing import Any

from headstay.local.server import codec, errors
from headstay.local.server.kinds import ScalePaths, Served
from headstay.local.server.patching import Patch, patched
from headstay.local.server.requests import Answer, Call, Target
from headstay.local.server.rest import Api
from headstay.local.server.selectortext import selector_text
from headstay.local.server.writes import Current
from headstay.model.errors import Cause
from headstay.model.objects import Obj, dig
from headstay.model.resource import Resource

SCALE = Resource("autoscaling", "v1", "scales", "Scale")


def read(served: Served, obj: Obj) -> Obj:
    paths = served.scale or ScalePaths()
    meta = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas = dig(obj, *_steps(paths.spec))
    spec = {"replicas": replicas} if replicas else {}
    status: Obj = {"replicas": dig(obj, *_steps(paths.status)) or 0}
    if selector := _selector(served, obj, paths):
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: meta[name] for name in kept if name in meta},
        "spec": spec,
        "status": status,
    }


def update(api: Api, target: Target, document: Obj, call: Call) -> Answer:
    return _write(api, target, api.writer.current(target), document, call)


def patch(api: Api, target: Target, asked: Patch, call: Call) -> Answer:
    if asked.type == "apply":
        raise errors.unsupported("server-side apply of the scale subresource")
    current = api.writer.current(target)
    schema = api.schemas.of(SCALE.group, SCALE.version, SCALE.kind)
    return _write(api, target, current, patched(schema, read(target.served, current.obj), asked), call)


def _write(api: Api, target: Target, current: Current, document: Obj, call: Call) -> Answer:
    replicas = dig(document, "spec", "replicas") or 0
    if (given := dig(document, "metadata", "name")) and given != target.name:
        raise errors.bad_request(f"the name of the object ({given}) does not match the name on the URL ({target.name})")
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        raise errors.bad_request(f'Scale in version "v1" cannot be handled as a Scale: spec.replicas: {replicas!r}')
    if replicas < 0:
        message = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise errors.invalid(SCALE, target.name, [Cause("FieldValueInvalid", message, "spec.replicas")])
    new = codec.copied(current.obj)
    _set(new, _steps((target.served.scale or ScalePaths()).spec), replicas)
    new["metadata"]["resourceVersion"] = dig(document, "metadata", "resourceVersion") or ""
    if uid := dig(document, "metadata", "uid"):
        new["metadata"]["uid"] = uid
    answer = api.writer.update(target, current, new, call)
    return answer._replace(body=codec.encode(read(target.served, codec.decode_object(answer.body))))


def _selector(served: Served, obj: Obj, paths: ScalePaths) -> str:
    if served.custom:
        return str(dig(obj, *_steps(paths.selector)) or "") if paths.selector else ""
    return selector_text(dig(obj, "spec", "selector") or {})


def _steps(path: str) -> list[str]:
    return [step for step in path.split(".") if step]


def _set(obj: Any, steps: list[str], value: int) -> None:
    for step in steps[:-1]:
        obj = obj.setdefault(step, {})
    obj[steps[-1]] = value

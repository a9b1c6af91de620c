"""What a custom object must have where its scale subresource looks: a count that is not negative. Pure."""

from headstay.local.server.kinds import ScalePaths
from headstay.model.errors import Cause
from headstay.model.objects import Obj, dig

_GO_TYPES = {str: "string", bool: "bool", float: "float64", dict: "map[string]interface {}", list: "[]interface {}"}


def validate_replicas(paths: ScalePaths, obj: Obj) -> list[Cause]:
    return [cause for path in (paths.spec, paths.status) for cause in _replicas(path, obj)]


def _replicas(path: str, obj: Obj) -> list[Cause]:
    value = dig(obj, *[step for step in path.split(".") if step])
    if value is None:
        return []
    if isinstance(value, bool) or not isinstance(value, int):
        text = f"{path} accessor error: {value} is of the type {_GO_TYPES.get(type(value), 'string')}, expected int64"
        return [Cause("FieldValueInvalid", f"Invalid value: 0: {text}", path)]
    if value < 0:
        return [Cause("FieldValueInvalid", f"Invalid value: {value}: should be a non-negative integer", path)]
    return []

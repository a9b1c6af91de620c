"""The rules of `metadata` that hold for every kind: what the server fills in, keeps, and refuses. Pure."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

from headstay.model.errors import Cause
from headstay.model.objects import Obj
from headstay.model.resource import Resource

NameRule = Literal["subdomain", "label", "label1035", "path"]
SYSTEM_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_ANNOTATIONS_LIMIT = 256 * 1024

_STANDARD_FINALIZERS = {"kubernetes", "orphan", "foregroundDeletion"}
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    f"and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    f"'{_LABEL_1035}')"
)
_QUALIFIED_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
)
_WITH_PREFIX = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
_TOO_MANY_PARTS = (
    f"a qualified name {_QUALIFIED_TEXT.removeprefix('name part ')} with an optional DNS subdomain prefix and '/' "
    "(e.g. 'example.com/MyName')"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_LABEL_VALUE}')"
)

_RULES: dict[tuple[str, str], NameRule] = {
    ("", "namespaces"): "label",
    ("", "services"): "label1035",
    ("rbac.authorization.k8s.io", "roles"): "path",
    ("rbac.authorization.k8s.io", "rolebindings"): "path",
    ("rbac.authorization.k8s.io", "clusterroles"): "path",
    ("rbac.authorization.k8s.io", "clusterrolebindings"): "path",
}


@lru_cache(maxsize=4096)
def is_subdomain(name: str) -> bool:
    return len(name) <= 253 and re.fullmatch(_SUBDOMAIN, name) is not None


def name_problem(resource: Resource, name: str) -> str:
    """Why this kind cannot have that name, in Kubernetes' words; "" when it can."""
    rule = _RULES.get((resource.group, resource.plural), "subdomain")
    if rule == "path":
        if name in {".", ".."}:
            return f"may not be '{name}'"
        return next((f"may not contain '{bad}'" for bad in "/%" if bad in name), "")
    limit, pattern, text = {
        "subdomain": (253, _SUBDOMAIN, _SUBDOMAIN_TEXT),
        "label": (63, _LABEL, _LABEL_TEXT),
        "label1035": (63, _LABEL_1035, _LABEL_1035_TEXT),
    }[rule]
    if len(name) > limit:
        return f"must be no more than {limit} characters"
    return "" if re.fullmatch(pattern, name) else text


def generate_name(base: str, random_suffix: Callable[[], str]) -> str:
    """`base` plus five characters, cut so that the whole stays a valid name."""
    return base[: 63 - 5] + random_suffix()


def validate_metadata(resource: Resource, meta: Obj, *, custom: bool) -> list[Cause]:
    """`custom` kinds may have finalizers of any qualified name, built-in ones Kubernetes' own or a domain's."""
    name = meta.get("name") or ""
    found: list[Cause] = []
    if not name:
        found.append(Cause("FieldValueRequired", "Required value: name or generateName is required", "metadata.name"))
    elif problem := name_problem(resource, name):
        found.append(_invalid("metadata.name", name, problem))
    found += _string_map("metadata.labels", meta.get("labels"))
    found += _string_map("metadata.annotations", meta.get("annotations"))
    if not found:
        found += validate_labels("metadata.labels", meta.get("labels") or {})
        found += _annotations(meta.get("annotations") or {})
    found += _finalizers(meta.get("finalizers") or [], custom=custom)
    found += _owners(meta.get("ownerReferences") or [])
    return found


def validate_metadata_update(new: Obj, old: Obj) -> list[Cause]:
    """What an update may not change. `new` already carries the old system fields."""
    if not old.get("deletionTimestamp"):
        return []
    added = [f for f in new.get("finalizers") or [] if f not in (old.get("finalizers") or [])]
    if not added:
        return []
    listed = ", ".join(f'"{name}"' for name in added)
    message = (
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
        f"[]string{{{listed}}}"
    )
    return [Cause("FieldValueForbidden", message, "metadata.finalizers")]


def validate_labels(path: str, labels: dict[str, str]) -> list[Cause]:
    found: list[Cause] = []
    for key, value in labels.items():
        if problem := _qualified_name_problem(key):
            found.append(_invalid(path, key, problem))
        if len(value) > 63:
            found.append(_invalid(path, value, "must be no more than 63 characters"))
        elif not re.fullmatch(_LABEL_VALUE, value):
            found.append(_invalid(path, value, _LABEL_VALUE_TEXT))
    return found


def _annotations(annotations: dict[str, str]) -> list[Cause]:
    path = "metadata.annotations"
    found = [_invalid(path, key, problem) for key in annotations if (problem := _qualified_name_problem(key.lower()))]
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > _ANNOTATIONS_LIMIT:
        message = f"Too long: may not be more than {_ANNOTATIONS_LIMIT} bytes"
        found.append(Cause("FieldValueTooLong", message, path))
    return found


def _string_map(path: str, value: Any) -> list[Cause]:
    """Custom kinds are not typed here; a label that is a number must not reach the code that compares text."""
    if value is None or (isinstance(value, dict) and all(isinstance(item, str) for item in value.values())):
        return []
    return [_invalid(path, value, "must be a map of strings to strings")]


def _qualified_name_problem(key: str) -> str:
    if key.count("/") > 1:
        return _TOO_MANY_PARTS
    prefix, slash, name = key.rpartition("/")
    if slash and not prefix:
        return "prefix part must be non-empty"
    if "/" in prefix:
        return f"a qualified name {_QUALIFIED_TEXT.removeprefix('name part ')}{_WITH_PREFIX}"
    if slash and not is_subdomain(prefix):
        return f"prefix part {_SUBDOMAIN_TEXT}"
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part must be no more than 63 characters"
    return "" if re.fullmatch(_QUALIFIED, name) else _QUALIFIED_TEXT


def _finalizers(finalizers: list[Any], *, custom: bool) -> list[Cause]:
    path = "metadata.finalizers"
    text = "name is neither a standard finalizer name nor is it fully qualified"
    if not custom:
        plain = [(i, f) for i, f in enumerate(finalizers) if "/" not in f and f not in _STANDARD_FINALIZERS]
        if plain:
            return [_invalid(f"{path}[{index}]", name, text) for index, name in plain]
    found = [_invalid(path, f, problem) for f in finalizers if (problem := _qualified_name_problem(str(f)))]
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        found.append(_invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set"))
    return found


def _owners(owners: list[Any]) -> list[Cause]:
    found: list[Cause] = []
    for owner in owners:
        missing = (name for name in ("apiVersion", "kind", "name", "uid") if not owner.get(name))
        found += [_invalid(f"metadata.ownerReferences.{name}", "", f"{name} must not be empty") for name in missing]
    controllers = [owner.get("name") for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        text = 'Only one reference can have Controller set to true. Found "true" in references for '
        found.append(_invalid("metadata.ownerReferences", owners, text + " and ".join(map(str, controllers))))
    return found


def _invalid(path: str, value: Any, problem: str) -> Cause:
    shown = f'"{value}"' if isinstance(value, str) else value
    return Cause("FieldValueInvalid", f"Invalid value: {shown}: {problem}", path)

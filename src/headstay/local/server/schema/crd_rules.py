"""What a CustomResourceDefinition must be, in the words of Kubernetes' apiextensions validation."""

from collections.abc import Iterator

from headstay.local.server.schema import fields
from headstay.local.server.schema.crd_structural import Build
from headstay.local.server.schema.crd_versions import check_schemas, check_versions
from headstay.local.server.strategies.names import dns_1035_label, dns_subdomain
from headstay.model.errors import Cause
from headstay.model.objects import Obj, annotations, dig

_APPROVAL = "api-approved.kubernetes.io"
_AT_ROOT_WITH_STATUS = frozenset({
    "description", "example", "exclusiveMaximum", "exclusiveMinimum", "externalDocs", "format", "items", "maxItems",
    "maxLength", "maximum", "minItems", "minLength", "minimum", "multipleOf", "pattern", "properties", "required",
    "title", "type", "uniqueItems", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations",
})  # fmt: skip
_SIMPLE = "must be a simple json path starting with ."
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")


def check_crd(crd: Obj, old: Obj | None, build: Build) -> list[Cause]:
    spec = crd.get("spec") or {}
    causes = [*_check_identity(crd, spec), *_check_names(spec.get("names") or {}), *check_versions(spec)]
    causes += _check_conversion(spec)
    if not causes:
        causes += check_schemas(spec, build)
    causes += check_stored_versions(crd)
    if old is not None:
        causes += _check_update(crd, old)
    return causes


def _check_identity(crd: Obj, spec: Obj) -> Iterator[Cause]:
    name, group = crd["metadata"].get("name") or "", spec.get("group") or ""
    if name != f"{dig(spec, 'names', 'plural')}.{group}":
        yield fields.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    if group:
        if complaints := dns_subdomain(group):
            yield fields.invalid("spec.group", group, ",".join(complaints))
        elif "." not in group:
            yield fields.invalid("spec.group", group, "should be a domain with at least one dot")
        protected = group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))
        if protected and not annotations(crd).get(_APPROVAL):
            detail = (
                f'protected groups must have approval annotation "{_APPROVAL}", '
                "see https://github.com/kubernetes/enhancements/pull/1111"
            )
            yield fields.required(f"metadata.annotations[{_APPROVAL}]", detail)
    scope = spec.get("scope")
    if scope and scope not in ("Cluster", "Namespaced"):
        yield fields.not_supported("spec.scope", scope, ("Cluster", "Namespaced"))
    if spec.get("preserveUnknownFields"):
        detail = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        yield fields.invalid("spec.preserveUnknownFields", True, detail)


def _check_names(names: Obj) -> Iterator[Cause]:
    lower = [("plural", names.get("plural")), ("singular", names.get("singular"))]
    lower += [(f"shortNames[{index}]", name) for index, name in enumerate(names.get("shortNames") or [])]
    lower += [(f"categories[{index}]", name) for index, name in enumerate(names.get("categories") or [])]
    for field, value in lower:
        if value and (complaints := dns_1035_label(value)):
            yield fields.invalid(f"spec.names.{field}", value, ",".join(complaints))
    for field in ("kind", "listKind"):
        value = names.get(field)
        if value and (complaints := dns_1035_label(value.lower())):
            detail = f"may have mixed case, but should otherwise match: {','.join(complaints)}"
            yield fields.invalid(f"spec.names.{field}", value, detail)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        yield fields.invalid("spec.names.listKind", names["listKind"], "kind and listKind may not be the same")


def _check_conversion(spec: Obj) -> Iterator[Cause]:
    strategy = dig(spec, "conversion", "strategy")
    if strategy == "Webhook":
        detail = 'Unsupported value: "Webhook": conversion webhooks are not supported by this server; supported: "None"'
        yield Cause("FieldValueNotSupported", detail, "spec.conversion.strategy")
    elif strategy and strategy != "None":
        yield fields.not_supported("spec.conversion.strategy", strategy, ("None", "Webhook"))


def check_stored_versions(crd: Obj) -> list[Cause]:
    """No version may go while objects are stored in it."""
    versions = [version.get("name") for version in dig(crd, "spec", "versions") or []]
    stored = dig(crd, "status", "storedVersions") or []
    now = next((version["name"] for version in dig(crd, "spec", "versions") or [] if version.get("storage")), "")
    if not stored:
        return [fields.invalid("status.storedVersions", stored, "must have at least one stored version")]
    missing = [fields.invalid("status.storedVersions", stored, f"must have the storage version {now}")]
    return (missing if now and now not in stored else []) + [
        fields.invalid(f"status.storedVersions[{index}]", name, "must appear in spec.versions")
        for index, name in enumerate(stored)
        if name not in versions
    ]


def _check_update(crd: Obj, old: Obj) -> Iterator[Cause]:
    conditions = dig(old, "status", "conditions") or []
    established = any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)
    paths = [("group",), ("names", "plural")]
    if established:
        paths += [("scope",), ("names", "kind")]
    for path in paths:
        now = dig(crd, "spec", *path)
        if now != dig(old, "spec", *path):
            yield fields.invalid(f"spec.{'.'.join(path)}", now, "field is immutable")

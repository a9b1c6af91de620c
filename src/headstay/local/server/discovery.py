"""What the server tells clients about itself: groups, versions, resources, as of now. Pure over the kinds."""

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256

from headstay.local.server.kinds import Kinds, Served
from headstay.model.objects import Obj
from headstay.model.resource import Resource

_SUBRESOURCES: dict[str, tuple[tuple[str, str, str], tuple[str, ...]]] = {
    "attach": (("", "v1", "PodAttachOptions"), ("create", "get")),
    "binding": (("", "v1", "Binding"), ("create",)),
    "eviction": (("policy", "v1", "Eviction"), ("create",)),
    "exec": (("", "v1", "PodExecOptions"), ("create", "get")),
    "finalize": (("", "v1", "Namespace"), ("update",)),
    "log": (("", "v1", "Pod"), ("get",)),
    "portforward": (("", "v1", "PodPortForwardOptions"), ("create", "get")),
    "token": (("authentication.k8s.io", "v1", "TokenRequest"), ("create",)),
}
_WRITES = ("get", "patch", "update")


def _parts(served: Served) -> Iterable[tuple[str, tuple[str, str, str], tuple[str, ...]]]:
    kind = served.kind
    resource = kind.resource
    found = [(name, *_SUBRESOURCES[name]) for name in kind.subresources]
    if kind.has_scale:
        found.append(("scale", ("autoscaling", "v1", "Scale"), _WRITES))
    if kind.has_status:
        found.append(("status", (resource.group, resource.version, resource.kind), _WRITES))
    return sorted(found)


def _of(kinds: Kinds, group: str, version: str) -> list[Served]:
    found = [s for s in kinds.every() if (s.kind.resource.group, s.kind.resource.version) == (group, version)]
    return sorted(found, key=lambda served: served.kind.resource.plural)


# --- plain -------------------------------------------------------------------------------------------------


def api_versions(address: str) -> Obj:
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group_list(kinds: Kinds) -> Obj:
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [_group(name, versions) for name, versions in kinds.groups().items() if name],
    }


def group(kinds: Kinds, name: str) -> Obj | None:
    versions = kinds.groups().get(name) if name else None
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group(name, versions) if versions else None


def _group(name: str, versions: list[str]) -> Obj:
    found = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": found, "preferredVersion": found[0]}


def resource_list(kinds: Kinds, group_name: str, version: str) -> Obj | None:
    served = _of(kinds, group_name, version)
    if not served:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group_name}/{version}" if group_name else version,
        "resources": [entry for one in served for entry in _resources(one)],
    }


def _resources(served: Served) -> Iterable[Obj]:
    kind, resource = served.kind, served.kind.resource
    entry: Obj = {
        "name": resource.plural,
        "singularName": kind.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": sorted(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if "list" in kind.verbs:
        entry["storageVersionHash"] = _hash(served.storage)
    yield entry
    for name, (group_name, version, kind_name), verbs in _parts(served):
        part: Obj = {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced}
        if (group_name, version) != (resource.group, resource.version):
            part |= {"group": group_name, "version": version}
        yield part | {"kind": kind_name, "verbs": list(verbs)}


def _hash(storage: Resource) -> str:
    text = f"{storage.group}/{storage.version}/{storage.kind}"
    return b64encode(sha256(text.encode()).digest()[:8]).decode()


# --- aggregated ----------------------------------------------------------------------------------------------


def aggregated(kinds: Kinds, version: str, *, core: bool) -> Obj:
    """APIGroupDiscoveryList of /api (`core`) or /apis."""
    groups = [
        {
            "metadata": {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None},
            "versions": [_aggregated_version(kinds, name, of_version) for of_version in versions],
        }
        for name, versions in kinds.groups().items()
        if core == (not name)
    ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": groups,
    }


def _aggregated_version(kinds: Kinds, group_name: str, version: str) -> Obj:
    resources = [_aggregated_resource(served) for served in _of(kinds, group_name, version)]
    return {"version": version, "resources": resources, "freshness": "Current"}


def _aggregated_resource(served: Served) -> Obj:
    kind, resource = served.kind, served.kind.resource
    scope = "Namespaced" if resource.namespaced else "Cluster"
    entry: Obj = {
        "resource": resource.plural,
        "responseKind": _response_kind(resource.group, resource.version, resource.kind),
        "scope": scope,
        "singularResource": kind.singular,
        "verbs": sorted(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    parts = [
        {"subresource": name, "responseKind": _response_kind(*response), "verbs": list(verbs)}
        for name, response, verbs in _parts(served)
    ]
    return entry | ({"subresources": parts} if parts else {})


def _response_kind(group_name: str, version: str, kind: str) -> Obj:
    return {"group": group_name, "version": version, "kind": kind}


def etag(document: bytes) -> str:
    return f'"{sha256(document).hexdigest().upper()}"'

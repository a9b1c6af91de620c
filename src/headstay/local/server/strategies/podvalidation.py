"""What makes a Pod's spec invalid, in Kubernetes' words. `path` is `spec`, or `spec.template.spec` in a workload.

Numbers, strings and lists have their types by now: a document of the wrong shape was refused when it was decoded.
"""

from typing import Any

from headstay.local.server.strategies import causes, names
from headstay.local.server.strategies.containervalidation import validate_container, validate_env_sources
from headstay.model.errors import Cause
from headstay.model.objects import Obj

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PROJECTED = ("secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle")
_TOLERATION_FIELDS = ("key", "operator", "value", "effect")


def validate_pod_spec(spec: Obj, path: str) -> list[Cause]:
    found, volumes = _volumes(spec.get("volumes") or [], f"{path}.volumes")
    claims = {claim.get("name") for claim in spec.get("resourceClaims") or []}
    found += _containers(spec, path, volumes)
    if spec.get("restartPolicy") not in RESTART_POLICIES:
        found.append(_one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES))
    if spec.get("dnsPolicy") not in DNS_POLICIES:
        found.append(_one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), DNS_POLICIES))
    found += names.check_labels(f"{path}.nodeSelector", spec.get("nodeSelector"))
    found += _names_of(spec, path)
    found += _numbers(spec, path)
    found += _tolerations(spec.get("tolerations") or [], f"{path}.tolerations")
    if None in claims:
        found.append(causes.required(f"{path}.resourceClaims[0].name"))
    return found


def _one_of(path: str, value: Any, supported: tuple[str, ...]) -> Cause:
    return causes.not_supported(path, value, supported) if value else causes.required(path)


def _containers(spec: Obj, path: str, volumes: dict[str, Obj]) -> list[Cause]:
    found: list[Cause] = []
    taken: set[str] = set()
    host_ports: set[tuple[Any, ...]] = set()
    if not spec.get("containers"):
        found.append(causes.required(f"{path}.containers"))
    for name in ("containers", "initContainers"):
        for at, container in enumerate(spec.get(name) or []):
            own = f"{path}.{name}[{at}]"
            found += validate_container(container, own, volumes)
            if container.get("name") in taken:
                found.append(causes.duplicate(f"{own}.name", container["name"]))
            taken.add(container.get("name") or "")
            found += _kind_of_container(container, own, init=name == "initContainers")
            if name == "containers":
                found += _host_ports(container, own, host_ports, host_network=bool(spec.get("hostNetwork")))
    if spec.get("ephemeralContainers"):
        found += [
            cause
            for at, container in enumerate(spec["ephemeralContainers"])
            for cause in validate_container(container, f"{path}.ephemeralContainers[{at}]", volumes)
        ]
    return found


def _kind_of_container(container: Obj, path: str, *, init: bool) -> list[Cause]:
    """Restart policies and probes belong to sidecars; a plain init container has neither."""
    policy = container.get("restartPolicy")
    if not init:
        return [causes.forbidden(f"{path}.restartPolicy", "may not be set for non-init containers")] if policy else []
    if policy == "Always":
        return []
    found = [causes.not_supported(f"{path}.restartPolicy", policy, ["Always"])] if policy else []
    detail = "may not be set for init containers without restartPolicy=Always"
    fields = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
    return found + [causes.forbidden(f"{path}.{field}", detail) for field in fields if container.get(field) is not None]


def _host_ports(container: Obj, path: str, taken: set[tuple[Any, ...]], *, host_network: bool) -> list[Cause]:
    found = []
    for at, port in enumerate(container.get("ports") or []):
        host = port.get("hostPort")
        if host_network and host != port.get("containerPort"):
            found.append(
                causes.invalid(
                    f"{path}.ports[{at}].containerPort",
                    port.get("containerPort"),
                    "must match `hostPort` when `hostNetwork` is true",
                )
            )
        if host:
            key = (host, port.get("hostIP") or "", port.get("protocol"))
            if key in taken:
                printed = f"{key[2]}/{key[1]}/{key[0]}"
                found.append(causes.duplicate(f"{path}.ports[{at}].hostPort", printed))
            taken.add(key)
    return found


def _volumes(volumes: list[Obj], path: str) -> tuple[list[Cause], dict[str, Obj]]:
    found: list[Cause] = []
    known: dict[str, Obj] = {}
    for at, volume in enumerate(volumes):
        own, name = f"{path}[{at}]", volume.get("name") or ""
        if not name:
            found.append(causes.required(f"{own}.name"))
        else:
            found += [causes.invalid(f"{own}.name", name, complaint) for complaint in names.dns_label(name)]
        if name in known:
            found.append(causes.duplicate(f"{own}.name", name))
        known.setdefault(name, volume)
        found += _volume_source(volume, own)
    return found, known


def _volume_source(volume: Obj, path: str) -> list[Cause]:
    kinds = sorted(key for key, value in volume.items() if key != "name" and value is not None)
    if len(kinds) > 1:
        return [causes.forbidden(f"{path}.{kind}", "may not specify more than 1 volume type") for kind in kinds[1:]]
    needed = {
        "secret": "secretName",
        "configMap": "name",
        "hostPath": "path",
        "persistentVolumeClaim": "claimName",
    }
    found = []
    for kind in kinds:
        source = volume[kind]
        if kind in needed and not source.get(needed[kind]):
            found.append(causes.required(f"{path}.{kind}.{needed[kind]}"))
        found += _mode(source.get("defaultMode"), f"{path}.{kind}.defaultMode")
        found += _items(source.get("items"), f"{path}.{kind}.items", with_key=kind != "downwardAPI")
        if kind == "projected":
            found += _projected(source, f"{path}.projected")
    return found


def _projected(source: Obj, path: str) -> list[Cause]:
    found = []
    for at, part in enumerate(source.get("sources") or []):
        own = f"{path}.sources[{at}]"
        kinds = [kind for kind in _PROJECTED if part.get(kind) is not None]
        if len(kinds) > 1:
            found.append(causes.forbidden(own, "may not specify more than 1 volume type"))
        for kind in kinds:
            inner = part[kind]
            if kind in {"secret", "configMap"} and not inner.get("name"):
                found.append(causes.required(f"{own}.{kind}.name"))
            if kind == "serviceAccountToken" and not inner.get("path"):
                found.append(causes.required(f"{own}.{kind}.path"))
            found += _items(inner.get("items"), f"{own}.{kind}.items", with_key=kind != "downwardAPI")
    return found


def _items(items: list[Obj] | None, path: str, *, with_key: bool) -> list[Cause]:
    found = []
    for at, item in enumerate(items or []):
        if with_key and not item.get("key"):
            found.append(causes.required(f"{path}[{at}].key"))
        target = item.get("path") or ""
        if not target:
            found.append(causes.required(f"{path}[{at}].path"))
        elif target.startswith("/"):
            found.append(causes.invalid(f"{path}[{at}].path", target, "must be a relative path"))
        elif ".." in target.split("/"):
            found.append(causes.invalid(f"{path}[{at}].path", target, "must not contain '..'"))
        found += _mode(item.get("mode"), f"{path}[{at}].mode")
        if not with_key:
            found += validate_env_sources(item, f"{path}[{at}]", ("fieldRef", "resourceFieldRef"))
    return found


def _mode(mode: int | None, path: str) -> list[Cause]:
    if mode is None or 0 <= mode <= 0o777:
        return []
    return [causes.invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive")]


def _names_of(spec: Obj, path: str) -> list[Cause]:
    found = []
    for field, check in (
        ("serviceAccountName", names.dns_subdomain),
        ("nodeName", names.dns_subdomain),
        ("hostname", names.dns_label),
        ("subdomain", names.dns_label),
        ("priorityClassName", names.dns_subdomain),
    ):
        if spec.get(field):
            found += [causes.invalid(f"{path}.{field}", spec[field], complaint) for complaint in check(spec[field])]
    return found


def _numbers(spec: Obj, path: str) -> list[Cause]:
    """A negative grace period is let in, as ever; deletion takes it for one second."""
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is None or 1 <= deadline <= 2**31 - 1:
        return []
    return [causes.invalid(f"{path}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")]


def _tolerations(tolerations: list[Obj], path: str) -> list[Cause]:
    found = []
    for at, toleration in enumerate(tolerations):
        own, operator = f"{path}[{at}]", toleration.get("operator") or "Equal"
        if toleration.get("key"):
            complaints = names.qualified_name(toleration["key"])
            found += [causes.invalid(f"{own}.key", toleration["key"], complaint) for complaint in complaints]
        elif operator != "Exists":
            found.append(
                causes.invalid(
                    f"{own}.operator",
                    toleration.get("operator") or "",
                    'operator must be Exists when `key` is empty, which means "match all values and all keys"',
                )
            )
        if operator == "Exists" and toleration.get("value"):
            found.append(
                causes.invalid_go(
                    f"{own}.operator", _go_toleration(toleration), "value must be empty when `operator` is 'Exists'"
                )
            )
        elif operator not in {"Exists", "Equal"}:
            found.append(causes.not_supported(f"{own}.operator", operator, ["Equal", "Exists"]))
        if toleration.get("tolerationSeconds") is not None and toleration.get("effect") != "NoExecute":
            found.append(
                causes.invalid(
                    f"{own}.effect",
                    toleration.get("effect"),
                    "effect must be 'NoExecute' when `tolerationSeconds` is set",
                )
            )
        effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
        if toleration.get("effect") and toleration["effect"] not in effects:
            found.append(causes.not_supported(f"{own}.effect", toleration["effect"], effects))
    return found


def _go_toleration(toleration: Obj) -> str:
    seconds = "nil" if toleration.get("tolerationSeconds") is None else "0xc000000000"
    fields = [f"{name.capitalize()}:{causes.shown(toleration.get(name) or '')}" for name in _TOLERATION_FIELDS]
    return f"core.Toleration{{{', '.join(fields)}, TolerationSeconds:(*int64)({seconds})}}"

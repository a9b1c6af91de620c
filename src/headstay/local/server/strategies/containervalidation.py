"""What makes one container of a Pod invalid, in Kubernetes' words."""

from typing import Any

from headstay.local.server.strategies import causes, names
from headstay.model.errors import Cause
from headstay.model.objects import Obj
from headstay.model.quantity import parse_quantity

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
FIELD_PATHS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
RESOURCE_FIELDS = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_FIELDS_FOR_OTHERS = ("spec.restartPolicy", "spec.schedulerName", "status.phase", "status.nominatedNodeName")
"""Fields of a Pod that selectors may name and environments may not."""
_ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef")
_PROBE_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def validate_container(container: Obj, path: str, volumes: dict[str, Obj]) -> list[Cause]:
    found: list[Cause] = []
    name, image = container.get("name") or "", container.get("image") or ""
    if not name:
        found.append(causes.required(f"{path}.name"))
    else:
        found += [causes.invalid(f"{path}.name", name, complaint) for complaint in names.dns_label(name)]
    if not image:
        found.append(causes.required(f"{path}.image"))
    elif image != image.strip():
        found.append(causes.invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))
    policy = container.get("imagePullPolicy")
    if policy not in PULL_POLICIES:
        found.append(causes.not_supported(f"{path}.imagePullPolicy", policy, PULL_POLICIES))
    if container.get("terminationMessagePolicy") not in {"File", "FallbackToLogsOnError"}:
        detail = "must be 'File' or 'FallbackToLogsOnError'"
        found.append(
            causes.invalid(f"{path}.terminationMessagePolicy", container.get("terminationMessagePolicy"), detail)
        )
    found += _ports(container.get("ports") or [], f"{path}.ports")
    found += _env(container.get("env") or [], f"{path}.env")
    found += _env_from(container.get("envFrom") or [], f"{path}.envFrom")
    found += _mounts(container.get("volumeMounts") or [], f"{path}.volumeMounts", volumes)
    found += _resources(container.get("resources") or {}, f"{path}.resources")
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(kind) is not None:
            found += _probe(container[kind], f"{path}.{kind}", once=kind != "readinessProbe")
    for hook, handler in (container.get("lifecycle") or {}).items():
        if isinstance(handler, dict):
            found += _handler(handler, f"{path}.lifecycle.{hook}", ("exec", "httpGet", "tcpSocket", "sleep"))
    return found


def _ports(ports: list[Obj], path: str) -> list[Cause]:
    found: list[Cause] = []
    taken: set[str] = set()
    for at, port in enumerate(ports):
        own, name = f"{path}[{at}]", port.get("name")
        if name:
            complaints = names.port_name(name)
            found += [causes.invalid(f"{own}.name", name, complaint) for complaint in complaints]
            if not complaints and name in taken:
                found.append(causes.duplicate(f"{own}.name", name))
            taken.add(name)
        number = port.get("containerPort") or 0
        if number == 0:
            found.append(causes.required(f"{own}.containerPort"))
        else:
            found += [causes.invalid(f"{own}.containerPort", number, c) for c in names.port_number(number)]
        if port.get("hostPort"):
            complaints = names.port_number(port["hostPort"])
            found += [causes.invalid(f"{own}.hostPort", port["hostPort"], complaint) for complaint in complaints]
        if port.get("protocol") not in PROTOCOLS:
            found.append(causes.not_supported(f"{own}.protocol", port.get("protocol"), PROTOCOLS))
    return found


def _env(variables: list[Obj], path: str) -> list[Cause]:
    found: list[Cause] = []
    for at, variable in enumerate(variables):
        own, name = f"{path}[{at}]", variable.get("name") or ""
        if not name:
            found.append(causes.required(f"{own}.name"))
        else:
            found += [causes.invalid(f"{own}.name", name, complaint) for complaint in names.env_name(name)]
        source = variable.get("valueFrom")
        if source is None:
            continue
        if variable.get("value") and any(source.get(kind) is not None for kind in _ENV_SOURCES):
            found.append(causes.invalid(f"{own}.valueFrom", "", "may not be specified when `value` is not empty"))
        found += validate_env_sources(source, f"{own}.valueFrom", _ENV_SOURCES)
    return found


def validate_env_sources(source: Obj, path: str, kinds: tuple[str, ...]) -> list[Cause]:
    """One of the given references, and a complete one."""
    given = [kind for kind in kinds if source.get(kind) is not None]
    if not given:
        return [causes.invalid(path, "", f"must specify one of: {_listed(kinds)}")]
    if len(given) > 1:
        return [causes.invalid(path, "", "may not have more than one field specified at a time")]
    kind, reference = given[0], source[given[0]]
    match kind:
        case "fieldRef":
            return _field_ref(reference.get("fieldPath") or "", f"{path}.fieldRef.fieldPath")
        case "resourceFieldRef":
            return _resource_field(reference.get("resource") or "", f"{path}.resourceFieldRef.resource")
        case _:
            found = [] if reference.get("name") else [causes.required(f"{path}.{kind}.name")]
            if not reference.get("key"):
                return [*found, causes.required(f"{path}.{kind}.key")]
            complaints = names.config_key(reference["key"])
            return found + [causes.invalid(f"{path}.{kind}.key", reference["key"], c) for c in complaints]


def _listed(kinds: tuple[str, ...]) -> str:
    """`a`, `b` or `c`"""
    quoted = [f"`{kind}`" for kind in kinds]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _field_ref(field: str, path: str) -> list[Cause]:
    if not field:
        return [causes.required(path)]
    subscript = field.partition("[")
    if subscript[0] in {"metadata.labels", "metadata.annotations"}:
        return []
    if field in FIELD_PATHS:
        return []
    if field in _FIELDS_FOR_OTHERS:
        return [causes.not_supported(path, field, FIELD_PATHS)]
    return [causes.invalid(path, field, f"error converting fieldPath: field label not supported: {field}")]


def _resource_field(field: str, path: str) -> list[Cause]:
    if not field:
        return [causes.required(path)]
    if field not in RESOURCE_FIELDS and not field.startswith(("limits.hugepages-", "requests.hugepages-")):
        return [causes.not_supported(path, field, RESOURCE_FIELDS)]
    return []


def _env_from(sources: list[Obj], path: str) -> list[Cause]:
    found = []
    for at, source in enumerate(sources):
        given = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        if not given:
            found.append(causes.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            found.append(causes.invalid(path, "", "may not have more than one field specified at a time"))
        elif not source[given[0]].get("name"):
            found.append(causes.required(f"{path}[{at}].{given[0]}.name"))
    return found


def _mounts(mounts: list[Obj], path: str, volumes: dict[str, Obj]) -> list[Cause]:
    found: list[Cause] = []
    taken: set[str] = set()
    for at, mount in enumerate(mounts):
        own, name, target = f"{path}[{at}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            found.append(causes.required(f"{own}.name"))
        elif name not in volumes:
            found.append(causes.not_found(f"{own}.name", name))
        if not target:
            found.append(causes.required(f"{own}.mountPath"))
        elif target in taken:
            found.append(causes.invalid(f"{own}.mountPath", target, "must be unique"))
        taken.add(target)
        for field in ("subPath", "subPathExpr"):
            inner = mount.get(field) or ""
            if inner.startswith("/"):
                found.append(causes.invalid(f"{path}.{field}", inner, "must be a relative path"))
            elif ".." in inner.split("/"):
                found.append(causes.invalid(f"{path}.{field}", inner, "must not contain '..'"))
        if mount.get("subPath") and mount.get("subPathExpr"):
            found.append(
                causes.invalid(
                    f"{own}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive"
                )
            )
    return found


def _resources(resources: Obj, path: str) -> list[Cause]:
    found = []
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for field, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            own = f"{path}.{field}[{name}]"
            if "/" not in name and name not in {"cpu", "memory", "ephemeral-storage"} and "hugepages-" not in name:
                found.append(causes.invalid(own, name, "must be a standard resource type or fully qualified"))
                found.append(causes.invalid(own, name, "must be a standard resource for containers"))
            if parse_quantity(amount) < 0:
                found.append(causes.invalid(own, str(amount), "must be greater than or equal to 0"))
    for name, amount in requests.items():
        if name in limits and parse_quantity(amount) > parse_quantity(limits[name]):
            detail = f"must be less than or equal to {name} limit of {limits[name]}"
            found.append(causes.invalid(f"{path}.requests", str(amount), detail))
        elif "/" in name and (name not in limits or parse_quantity(limits[name]) != parse_quantity(amount)):
            found.append(causes.required(f"{path}.limits", "Limit must be set for non overcommitable resources"))
    return found


def _probe(probe: Obj, path: str, *, once: bool) -> list[Cause]:
    found = _handler(probe, path, ("exec", "httpGet", "tcpSocket", "grpc"))
    for field in _PROBE_NUMBERS:
        found += names.not_negative(f"{path}.{field}", probe.get(field))
    if once and (probe.get("successThreshold") or 1) != 1:
        found.append(causes.invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        found.append(causes.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0"))
    return found


def _handler(handler: Obj, path: str, kinds: tuple[str, ...]) -> list[Cause]:
    given = [kind for kind in kinds if handler.get(kind) is not None]
    if not given:
        return [causes.required(path, "must specify a handler type")]
    if len(given) > 1:
        return [causes.forbidden(f"{path}.{kind}", "may not specify more than 1 handler type") for kind in given[1:]]
    kind, action = given[0], handler[given[0]]
    if kind == "exec":
        return [] if action.get("command") else [causes.required(f"{path}.exec.command")]
    if kind == "sleep":
        return []
    found: list[Cause] = []
    if kind == "httpGet":
        if not action.get("path"):
            found.append(causes.required(f"{path}.httpGet.path"))
        if action.get("scheme") not in {"HTTP", "HTTPS"}:
            found.append(causes.not_supported(f"{path}.httpGet.scheme", action.get("scheme"), ["HTTP", "HTTPS"]))
    port: Any = action.get("port", 0)
    return found + [causes.invalid(f"{path}.{kind}.port", port, complaint) for complaint in names.port(port)]

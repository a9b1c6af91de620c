"""What makes a Service invalid, in Kubernetes' words."""

from headstay.local.server.strategies import causes, names
from headstay.model.errors import Cause
from headstay.model.objects import Obj

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
MAX_AFFINITY_SECONDS = 86400


def validate_service(service: Obj) -> list[Cause]:
    spec = service["spec"]
    headless = spec.get("clusterIP") == "None"
    found: list[Cause] = []
    if spec["type"] not in TYPES:
        found.append(causes.not_supported("spec.type", spec["type"], TYPES))
    if not spec.get("ports") and not headless and spec["type"] != "ExternalName":
        found.append(causes.required("spec.ports"))
    if spec["type"] == "ExternalName":
        found += _external_name(spec)
    elif spec["type"] in {"NodePort", "LoadBalancer"} and headless:
        detail = f"may not be set to 'None' for {spec['type']} services"
        found.append(causes.invalid("spec.clusterIPs[0]", "None", detail))
    found += _ports(spec)
    found += names.check_labels("spec.selector", spec.get("selector"))
    found += _affinity(spec)
    found += _policies(spec)
    return found


def _external_name(spec: Obj) -> list[Cause]:
    found = []
    if spec.get("clusterIP"):
        found.append(causes.forbidden("spec.clusterIPs", "may not be set for ExternalName services"))
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        return [*found, causes.required("spec.externalName")]
    return found + [causes.invalid("spec.externalName", name, complaint) for complaint in names.dns_subdomain(name)]


def _ports(spec: Obj) -> list[Cause]:
    found: list[Cause] = []
    ports = spec.get("ports") or []
    taken: set[str] = set()
    numbers: set[tuple[object, object]] = set()
    node_ports: set[tuple[object, object]] = set()
    for at, port in enumerate(ports):
        path, name = f"spec.ports[{at}]", port.get("name") or ""
        if not name and len(ports) > 1:
            found.append(causes.required(f"{path}.name"))
        elif name:
            found += [causes.invalid(f"{path}.name", name, complaint) for complaint in names.dns_label(name)]
            if name in taken:
                found.append(causes.duplicate(f"{path}.name", name))
            taken.add(name)
        number = port.get("port") or 0
        found += [causes.invalid(f"{path}.port", number, complaint) for complaint in names.port_number(number)]
        if port.get("protocol") not in PROTOCOLS:
            found.append(causes.not_supported(f"{path}.protocol", port.get("protocol"), PROTOCOLS))
        target = port.get("targetPort", 0)
        found += [causes.invalid(f"{path}.targetPort", target, complaint) for complaint in names.port(target)]
        key = (port.get("protocol"), number)
        if key in numbers:
            found.append(Cause("FieldValueDuplicate", f"Duplicate value: {_go_port(key[0], number)}", path))
        numbers.add(key)
        if port.get("nodePort"):
            if spec["type"] not in {"NodePort", "LoadBalancer"}:
                detail = f"may not be used when `type` is '{spec['type']}'"
                found.append(causes.forbidden(f"{path}.nodePort", detail))
            held = (port.get("protocol"), port["nodePort"])
            if held in node_ports:
                found.append(causes.duplicate(f"{path}.nodePort", port["nodePort"]))
            node_ports.add(held)
    return found


def _go_port(protocol: object, number: int) -> str:
    target = causes.go_int_or_percent(0)
    return (
        f'core.ServicePort{{Name:"", Protocol:{causes.shown(protocol)}, AppProtocol:(*string)(nil), Port:{number}, '
        f"TargetPort:{target}, NodePort:0}}"
    )


def _affinity(spec: Obj) -> list[Cause]:
    if spec["sessionAffinity"] not in {"ClientIP", "None"}:
        return [causes.not_supported("spec.sessionAffinity", spec["sessionAffinity"], ["ClientIP", "None"])]
    if spec["sessionAffinity"] == "None":
        return []
    seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"]
    if 0 < seconds <= MAX_AFFINITY_SECONDS:
        return []
    path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
    return [causes.invalid(path, seconds, f"must be greater than 0 and less than {MAX_AFFINITY_SECONDS}")]


def _policies(spec: Obj) -> list[Cause]:
    found = [
        causes.not_supported(f"spec.{field}", spec[field], ["Cluster", "Local"])
        for field in ("internalTrafficPolicy", "externalTrafficPolicy")
        if spec.get(field) and spec[field] not in {"Cluster", "Local"}
    ]
    if spec.get("externalTrafficPolicy") and spec["type"] not in {"NodePort", "LoadBalancer"}:
        detail = "may only be set for externally-accessible services"
        if not spec.get("externalIPs"):
            found.append(causes.invalid("spec.externalTrafficPolicy", spec["externalTrafficPolicy"], detail))
    policies = ("SingleStack", "PreferDualStack", "RequireDualStack")
    if spec.get("ipFamilyPolicy") and spec["ipFamilyPolicy"] not in policies:
        found.append(causes.not_supported("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], policies))
    return found


def validate_service_update(new: Obj, old: Obj) -> list[Cause]:
    """An address is for life, as long as the Service is of a type that has one."""
    spec, before = new["spec"], old["spec"]
    if "ExternalName" in {spec["type"], before.get("type")}:
        return []
    if spec.get("clusterIP") == before.get("clusterIP") and spec.get("clusterIPs") == before.get("clusterIPs"):
        return []
    if spec.get("clusterIP") != before.get("clusterIP"):
        return [causes.invalid("spec.clusterIPs[0]", [spec.get("clusterIP")], "may not change once set")]
    return [causes.invalid("spec.clusterIPs", spec.get("clusterIPs"), "must match clusterIP")]

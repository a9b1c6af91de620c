"""Services: addresses and node ports, given on creation, kept for life, free again when the Service is gone.

IPv4 single stack: a Service that asks for IPv6 or requires two families is refused by name.
"""

from ipaddress import IPv4Network, ip_address

from headstay.local.server.seams import Facts, WriteContext
from headstay.local.server.strategies import allocation, causes
from headstay.local.server.strategies.base import Base, put
from headstay.local.server.strategies.servicevalidation import validate_service, validate_service_update
from headstay.model.errors import Cause, StatusError
from headstay.model.objects import Obj, ObjectKey
from headstay.model.resource import SERVICES

EXTERNAL = {"NodePort", "LoadBalancer"}
_CLUSTER_FIELDS = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
_THREE_HOURS = 10800


class Services(Base):
    def __init__(self, network: IPv4Network) -> None:
        self._network = network

    def default(self, new: Obj) -> None:
        spec = new.setdefault("spec", {})
        put(spec, type="ClusterIP", sessionAffinity="None")
        if spec["sessionAffinity"] == "None":
            spec.pop("sessionAffinityConfig", None)
        elif spec["sessionAffinity"] == "ClientIP":
            put(spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {}), timeoutSeconds=_THREE_HOURS)
        for port in spec.get("ports") or []:
            put(port, protocol="TCP")
            if port.get("targetPort") in {None, 0, ""}:
                port["targetPort"] = port.get("port")
        if spec["type"] in EXTERNAL:
            put(spec, externalTrafficPolicy="Cluster")
        if spec["type"] != "ExternalName":
            put(spec, internalTrafficPolicy="Cluster")
        if spec["type"] == "LoadBalancer":
            put(spec, allocateLoadBalancerNodePorts=True)

    def prepare_create(self, new: Obj, context: WriteContext) -> None:
        self.default(new)
        new["status"] = {"loadBalancer": {}}
        self._allocate(new, context, address=True)

    def prepare_update(self, new: Obj, old: Obj, context: WriteContext) -> None:
        if context.subresource:
            return
        self.default(new)
        spec, before = new["spec"], old["spec"]
        # A type change away from what held an address or a port gives it back, unless the writer changed it too.
        if spec["type"] == "ExternalName" and before.get("type") != "ExternalName":
            for field in _CLUSTER_FIELDS:
                if spec.get(field) == before.get(field) or field == "internalTrafficPolicy":
                    spec.pop(field, None)
        elif spec["type"] != "ExternalName" and before.get("type") != "ExternalName":
            for field in _CLUSTER_FIELDS:
                if not spec.get(field) and before.get(field):
                    spec[field] = before[field]
        if spec["type"] not in EXTERNAL and before.get("type") in EXTERNAL:
            _drop_node_ports(spec, before)
        elif spec["type"] in EXTERNAL:
            _keep_node_ports(spec, before)
        if spec["type"] != "LoadBalancer":
            spec.pop("allocateLoadBalancerNodePorts", None)
        # A changed address is for `validate` to refuse.
        self._allocate(new, context, address=not before.get("clusterIP"))

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        if context.subresource == "status":
            return []
        return validate_service(new) + (validate_service_update(new, old) if old else [])

    def _allocate(self, new: Obj, context: WriteContext, *, address: bool) -> None:
        """Address and ports for a Service that has none yet; its own ones are not in its way."""
        spec, meta = new["spec"], new["metadata"]
        own = ObjectKey(meta.get("namespace") or "", meta.get("name") or "")
        seed = f"{meta.get('uid', '')}/{own.namespace}/{own.name}"
        if address and spec["type"] != "ExternalName":
            self._allocate_address(new, _taken_by_others(context, allocation.addresses_of, own), seed)
        if spec["type"] in EXTERNAL and (spec["type"] == "NodePort" or spec.get("allocateLoadBalancerNodePorts", True)):
            _allocate_node_ports(new, _taken_by_others(context, allocation.node_ports_of, own), seed)

    def _allocate_address(self, service: Obj, taken: allocation.Taken, seed: str) -> None:
        spec = service["spec"]
        _refuse_ipv6(service)
        wanted = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or []), "")
        if not wanted:
            wanted = allocation.free_address(self._network, taken, seed)
            if wanted is None:
                raise _internal("failed to allocate a serviceIP: range is full")
        elif wanted != "None":
            if not _is_address(wanted):
                detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
                raise _invalid(service, causes.invalid("spec.clusterIPs[0]", wanted, detail))
            if not allocation.is_in_range(self._network, wanted):
                detail = (
                    f"failed to allocate IP {wanted}: the provided IP ({wanted}) is not in the valid range. "
                    f"The range of valid IPs is {self._network}"
                )
                raise _invalid(service, causes.invalid("spec.clusterIPs", [wanted], detail))
            if taken(wanted):
                detail = f"failed to allocate IP {wanted}: provided IP is already allocated"
                raise _invalid(service, causes.invalid("spec.clusterIPs", [wanted], detail))
        spec["clusterIP"] = wanted
        put(spec, clusterIPs=[wanted], ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")


def _taken_by_others(context: WriteContext, facts: Facts, own: ObjectKey) -> allocation.Taken:
    return lambda fact: bool(context.reader.holders(SERVICES, facts, fact) - {own})


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _refuse_ipv6(service: Obj) -> None:
    spec = service["spec"]
    families = spec.get("ipFamilies") or []
    if "IPv6" in families:
        detail = "not configured on this cluster"
        raise _invalid(service, causes.invalid(f"spec.ipFamilies[{families.index('IPv6')}]", "IPv6", detail))
    if spec.get("ipFamilyPolicy") == "RequireDualStack":
        detail = "this cluster is not configured for dual-stack services"
        raise _invalid(service, causes.invalid("spec.ipFamilyPolicy", "RequireDualStack", detail))


def _allocate_node_ports(service: Obj, taken: allocation.Taken, seed: str) -> None:
    own: set[object] = set()
    numbers: dict[int, int] = {}

    def held(fact: object) -> bool:
        return fact in own or taken(fact)

    for at, port in enumerate(service["spec"].get("ports") or []):
        protocol = port.get("protocol") or "TCP"
        wanted = port.get("nodePort")
        # The same port over TCP and UDP (DNS) gets one node port for both.
        if not wanted and port.get("port") in numbers and not held((numbers[port["port"]], protocol)):
            wanted = port["nodePort"] = numbers[port["port"]]
        if not wanted:
            wanted = allocation.free_node_port(held, f"{seed}/{at}")
            if wanted is None:
                raise _internal("failed to allocate a nodePort: range is full")
            port["nodePort"] = wanted
        elif wanted not in allocation.NODE_PORTS:
            detail = "provided port is not in the valid range. The range of valid ports is 30000-32767"
            raise _invalid(service, causes.invalid(f"spec.ports[{at}].nodePort", wanted, detail))
        elif taken((wanted, protocol)):
            raise _invalid(
                service, causes.invalid(f"spec.ports[{at}].nodePort", wanted, "provided port is already allocated")
            )
        own.update((wanted, (wanted, protocol)))
        numbers[port.get("port") or 0] = wanted


def _drop_node_ports(spec: Obj, before: Obj) -> None:
    """Away from NodePort: ports that were not changed by the writer are given back."""
    held = {port.get("nodePort") for port in before.get("ports") or []}
    for port in spec.get("ports") or []:
        if port.get("nodePort") in held:
            port.pop("nodePort", None)
    spec.pop("externalTrafficPolicy", None)
    spec.pop("healthCheckNodePort", None)


def _keep_node_ports(spec: Obj, before: Obj) -> None:
    """A writer who does not speak of node ports (an apply of the original manifest) keeps the ones there are."""
    held = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in before.get("ports") or []}
    named = {port.get("nodePort") for port in spec.get("ports") or [] if port.get("nodePort")}
    for port in spec.get("ports") or []:
        kept = held.get((port.get("protocol"), port.get("port")))
        if not port.get("nodePort") and kept and kept not in named:
            port["nodePort"] = kept


def _invalid(service: Obj, cause: Cause) -> StatusError:
    name = service["metadata"].get("name") or ""
    return StatusError(
        422,
        "Invalid",
        f'Service "{name}" is invalid: {cause.field}: {cause.message}',
        causes=(cause,),
        details={"name": name, "kind": "Service"},
    )


def _internal(message: str) -> StatusError:
    return StatusError(500, "InternalError", f"Internal error occurred: {message}")

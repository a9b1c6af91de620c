"""Endpoints, EndpointSlices and Leases: what machines write for machines."""

from ipaddress import AddressValueError, IPv4Address, ip_address

from headstay.local.server.seams import WriteContext
from headstay.local.server.strategies import causes, names
from headstay.local.server.strategies.base import Base, put
from headstay.model.errors import Cause
from headstay.model.objects import Obj

PROTOCOLS = ("SCTP", "TCP", "UDP")
MAX_ENDPOINTS = 1000


class Endpoints(Base):
    def default(self, new: Obj) -> None:
        for subset in new.get("subsets") or []:
            for port in subset.get("ports") or []:
                put(port, protocol="TCP")

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        found: list[Cause] = []
        for at, subset in enumerate(new.get("subsets") or []):
            path = f"subsets[{at}]"
            if not subset.get("addresses") and not subset.get("notReadyAddresses"):
                found.append(causes.required(path, "must specify `addresses` or `notReadyAddresses`"))
            for field in ("addresses", "notReadyAddresses"):
                for index, address in enumerate(subset.get(field) or []):
                    found += _ip(f"{path}.{field}[{index}].ip", address.get("ip") or "")
            found += _ports(subset.get("ports") or [], f"{path}.ports")
        return found


def _ip(path: str, text: str) -> list[Cause]:
    try:
        address = ip_address(text)
    except ValueError:
        return [
            causes.invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
            causes.invalid(path, text, "must be a valid IP address"),
        ]
    ranges = (
        (address.is_unspecified, "may not be unspecified (0.0.0.0 or ::)"),
        (address.is_loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (address.is_link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
    )
    return [causes.invalid(path, text, detail) for is_in, detail in ranges if is_in]


def _ports(ports: list[Obj], path: str) -> list[Cause]:
    found = []
    for at, port in enumerate(ports):
        own = f"{path}[{at}]"
        if not port.get("name") and len(ports) > 1:
            found.append(causes.required(f"{own}.name"))
        number = port.get("port") or 0
        found += [causes.invalid(f"{own}.port", number, complaint) for complaint in names.port_number(number)]
        if port.get("protocol") not in PROTOCOLS:
            found.append(causes.not_supported(f"{own}.protocol", port.get("protocol"), PROTOCOLS))
    return found


class EndpointSlices(Base):
    def default(self, new: Obj) -> None:
        for port in new.get("ports") or []:
            put(port, name="", protocol="TCP")

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        found: list[Cause] = []
        kinds = ("FQDN", "IPv4", "IPv6")
        kind = new.get("addressType")
        if not kind:
            found.append(causes.required("addressType"))
        elif kind not in kinds:
            found.append(causes.not_supported("addressType", kind, kinds))
        endpoints = new.get("endpoints") or []
        if len(endpoints) > MAX_ENDPOINTS:
            message = f"Too many: {len(endpoints)}: must have at most {MAX_ENDPOINTS} items"
            found.append(Cause("FieldValueTooMany", message, "endpoints"))
        for at, endpoint in enumerate(endpoints):
            addresses = endpoint.get("addresses") or []
            if not addresses:
                found.append(causes.required(f"endpoints[{at}].addresses", "must contain at least 1 address"))
            for index, address in enumerate(addresses):
                if kind == "IPv4":
                    found += _ipv4(f"endpoints[{at}].addresses[{index}]", address)
        if old is not None and kind != old.get("addressType"):
            found.append(causes.immutable("addressType", kind))
        return found


def _ipv4(path: str, text: str) -> list[Cause]:
    try:
        IPv4Address(text)
    except AddressValueError:
        return [causes.invalid(path, text, "must be a valid IPv4 address")]
    return []


class Leases(Base):
    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        spec = new.get("spec") or {}
        found = []
        duration = spec.get("leaseDurationSeconds")
        if duration is not None and duration <= 0:
            found.append(causes.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
        found += names.not_negative("spec.leaseTransitions", spec.get("leaseTransitions"))
        if spec.get("holderIdentity") == "" and spec.get("strategy"):
            found.append(causes.invalid("spec.holderIdentity", "", "must not be empty"))
        return found

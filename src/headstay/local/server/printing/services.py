"""Services, Endpoints, EndpointSlices, Ingresses, NetworkPolicies."""

from datetime import datetime
from typing import Any

from headstay.local.server.printing.ages import NONE
from headstay.local.server.printing.table import AGE, NAME, Column, Printer
from headstay.local.server.printing.text import (
    SELECTOR,
    at_most,
    created,
    joined,
    label_text,
    name,
    or_none,
    string,
)
from headstay.local.server.selectortext import selector_text
from headstay.model.objects import Obj, dig

_SHOWN = 3


def _service(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    return [
        name(obj),
        string(spec, "type"),
        or_none(joined((spec.get("clusterIPs") or [spec.get("clusterIP") or ""])[:1])),
        _external_address(obj),
        or_none(joined(map(_service_port, spec.get("ports") or []))),
        created(obj, now),
        label_text(spec.get("selector")),
    ]


def _service_port(port: Obj) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node_port}/{port.get('protocol', 'TCP')}"


def _external_address(obj: Obj) -> str:
    spec = obj.get("spec") or {}
    external = spec.get("externalIPs") or []
    match spec.get("type"):
        case "ExternalName":
            return string(spec, "externalName")
        case "LoadBalancer":
            ingress = dig(obj, "status", "loadBalancer", "ingress") or []
            return joined([*(i.get("ip") or i.get("hostname") or "" for i in ingress), *external]) or "<pending>"
    return or_none(joined(external))


def _endpoints(obj: Obj, now: datetime) -> list[Any]:
    found: list[str] = []
    for subset in obj.get("subsets") or []:
        addresses = [address.get("ip", "") for address in subset.get("addresses") or []]
        ports = subset.get("ports") or []
        found += [f"{ip}:{port['port']}" for port in ports for ip in addresses] if ports else addresses
    return [name(obj), or_none(at_most(found, _SHOWN)), created(obj, now)]


def _endpoint_slice(obj: Obj, now: datetime) -> list[Any]:
    ports = [str(port["port"]) if port.get("port") else "*" for port in obj.get("ports") or []]
    addresses = [address for endpoint in obj.get("endpoints") or [] for address in endpoint.get("addresses") or []]
    return [
        name(obj),
        string(obj, "addressType"),
        at_most(ports, _SHOWN) or "<unset>",
        at_most(addresses, _SHOWN) or "<unset>",
        created(obj, now),
    ]


def _ingress(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    hosts = [rule["host"] for rule in spec.get("rules") or [] if rule.get("host")]
    balancers = dig(obj, "status", "loadBalancer", "ingress") or []
    return [
        name(obj),
        or_none(string(spec, "ingressClassName")),
        at_most(hosts, _SHOWN) or "*",
        joined(i.get("ip") or i.get("hostname") or "" for i in balancers),
        "80, 443" if spec.get("tls") else "80",
        created(obj, now),
    ]


def _ingress_class(obj: Obj, now: datetime) -> list[Any]:
    parameters = dig(obj, "spec", "parameters") or {}
    kind = parameters.get("kind", "")
    if parameters.get("apiGroup"):
        kind = f"{kind}.{parameters['apiGroup']}"
    shown = f"{kind}/{parameters.get('name', '')}" if parameters else NONE
    return [name(obj), string(obj, "spec", "controller"), shown, created(obj, now)]


def _network_policy(obj: Obj, now: datetime) -> list[Any]:
    return [name(obj), or_none(selector_text(dig(obj, "spec", "podSelector") or {})), created(obj, now)]


SERVICE = Printer(
    (NAME, Column("Type"), Column("Cluster-IP"), Column("External-IP"), Column("Port(s)"), AGE, SELECTOR), _service
)
ENDPOINTS = Printer((NAME, Column("Endpoints"), AGE), _endpoints)
ENDPOINT_SLICE = Printer((NAME, Column("AddressType"), Column("Ports"), Column("Endpoints"), AGE), _endpoint_slice)
INGRESS = Printer((NAME, Column("Class"), Column("Hosts"), Column("Address"), Column("Ports"), AGE), _ingress)
INGRESS_CLASS = Printer((NAME, Column("Controller"), Column("Parameters"), AGE), _ingress_class)
NETWORK_POLICY = Printer((NAME, Column("Pod-Selector"), AGE), _network_policy)

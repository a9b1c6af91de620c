"""Ingresses, their classes, and NetworkPolicies. This server stores them; nothing here makes them work."""

from headstay.local.server.seams import WriteContext
from headstay.local.server.strategies import causes, names
from headstay.local.server.strategies.base import Base, put
from headstay.model.errors import Cause
from headstay.model.objects import Obj, dig

PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")


class Ingresses(Base):
    def prepare_create(self, new: Obj, context: WriteContext) -> None:
        new["status"] = {"loadBalancer": {}}

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        if context.subresource == "status":
            return []
        spec = new.get("spec") or {}
        found: list[Cause] = []
        if not spec.get("rules") and spec.get("defaultBackend") is None:
            detail = "either `defaultBackend` or `rules` must be specified"
            found.append(causes.invalid_go("spec", "[]networking.IngressRule(nil)", detail))
        if spec.get("defaultBackend") is not None:
            found += _backend(spec["defaultBackend"], "spec.defaultBackend")
        for at, rule in enumerate(spec.get("rules") or []):
            found += _rule(rule, f"spec.rules[{at}]")
        return found


def _rule(rule: Obj, path: str) -> list[Cause]:
    found: list[Cause] = []
    host = rule.get("host") or ""
    if host:
        plain = host.removeprefix("*.")
        found += [causes.invalid(f"{path}.host", host, complaint) for complaint in names.dns_subdomain(plain)]
    if rule.get("http") is None:
        return found
    paths = dig(rule, "http", "paths") or []
    if not paths:
        found.append(causes.required(f"{path}.http.paths"))
    for at, item in enumerate(paths):
        own = f"{path}.http.paths[{at}]"
        kind, where = item.get("pathType"), item.get("path") or ""
        if not kind:
            found.append(causes.required(f"{own}.pathType", "pathType must be specified"))
        elif kind not in PATH_TYPES:
            found.append(causes.not_supported(f"{own}.pathType", kind, PATH_TYPES))
        if (where or kind in {"Exact", "Prefix"}) and not where.startswith("/"):
            found.append(causes.invalid(f"{own}.path", where, "must be an absolute path"))
        found += _backend(item.get("backend") or {}, f"{own}.backend")
    return found


def _backend(backend: Obj, path: str) -> list[Cause]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is None and resource is None:
        return [causes.invalid(path, "", "resource or service backend is required")]
    if service is not None and resource is not None:
        return [causes.invalid(path, "", "cannot set both resource and service backends")]
    if service is None:
        return []
    found = [] if service.get("name") else [causes.required(f"{path}.service.name")]
    port = service.get("port") or {}
    if not port.get("name") and not port.get("number"):
        found.append(causes.required(path, "port name or number is required"))
    return found


class IngressClasses(Base):
    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        controller = dig(new, "spec", "controller")
        if not controller:
            return [causes.required("spec.controller")]
        if old is not None and controller != dig(old, "spec", "controller"):
            return [causes.immutable("spec.controller", controller)]
        return []


class NetworkPolicies(Base):
    def default(self, new: Obj) -> None:
        spec = new.setdefault("spec", {})
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
        put(spec, podSelector={})
        for rule in (*(spec.get("ingress") or []), *(spec.get("egress") or [])):
            for port in (rule or {}).get("ports") or []:
                put(port, protocol="TCP")

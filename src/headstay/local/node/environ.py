"""A container's environment: values, `$(VAR)`, references to ConfigMaps, Secrets and fields, and Service variables.

A missing Secret, ConfigMap or key is a `ConfigError` with the words the kubelet uses; the Pod waits and is tried again.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Protocol

from headstay.local.node.podspec import PodDocument, resource_amount
from headstay.model.objects import Obj
from headstay.model.quantity import ceil_int, parse_quantity

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.\-][A-Za-z0-9_.\-]*)\)")
_FIELD_KEY = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")
_NAME = re.compile(r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")


class ConfigError(Exception):
    """What a container's configuration refers to is missing or unusable."""


class Source(Protocol):
    """Where ConfigMaps and Secrets come from. Both are None when they do not exist; Secret values are decoded."""

    async def config_map(self, namespace: str, name: str) -> dict[str, bytes] | None: ...

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None: ...


def decode_config_map(document: Obj) -> dict[str, bytes]:
    texts = {key: value.encode() for key, value in (document.get("data") or {}).items()}
    return texts | {key: base64.b64decode(value) for key, value in (document.get("binaryData") or {}).items()}


def decode_secret(document: Obj) -> dict[str, bytes]:
    return {key: base64.b64decode(value or "") for key, value in (document.get("data") or {}).items()}


def expand(text: str, known: Mapping[str, str]) -> str:
    """`$(NAME)` becomes its value, `$$` a dollar sign; what is not known stays as it is."""
    return _REFERENCE.sub(lambda f: "$" if f[1] is None else known.get(f[1], f[0]), text)


async def resolve(
    pod: PodDocument, container: Obj, base: Mapping[str, str], source: Source, capacity: Mapping[str, float]
) -> dict[str, str]:
    """`base` is what comes before the container's own: Service variables. Later entries see earlier ones."""
    env = dict(base)
    for group in container.get("envFrom") or []:
        env |= await _whole(pod.metadata.namespace, group, source)
    for variable in container.get("env") or []:
        name = variable["name"]
        if "valueFrom" in variable:
            value = await _value_from(pod, container, variable["valueFrom"], source, capacity)
            if value is not None:
                env[name] = value
        else:
            env[name] = expand(variable.get("value") or "", env)
    return env


async def _whole(namespace: str, group: Obj, source: Source) -> dict[str, str]:
    prefix = group.get("prefix") or ""
    reference = group.get("configMapRef") or group.get("secretRef") or {}
    is_secret = "secretRef" in group
    read = source.secret if is_secret else source.config_map
    found = await read(namespace, reference.get("name") or "")
    if found is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{"secret" if is_secret else "configmap"} "{reference.get("name")}" not found')
    names = {f"{prefix}{key}": value for key, value in found.items()}
    return {name: value.decode(errors="replace") for name, value in names.items() if _NAME.match(name)}


async def _value_from(
    pod: PodDocument, container: Obj, reference: Obj, source: Source, capacity: Mapping[str, float]
) -> str | None:
    if selector := reference.get("secretKeyRef"):
        return await _key(pod.metadata.namespace, selector, "Secret", source)
    if selector := reference.get("configMapKeyRef"):
        return await _key(pod.metadata.namespace, selector, "ConfigMap", source)
    if field := reference.get("fieldRef"):
        return field_value(pod, field["fieldPath"])
    if field := reference.get("resourceFieldRef"):
        return resource_value(pod, container, field, capacity)
    raise ConfigError(f"unsupported source of a variable: {', '.join(reference) or 'none'}")


async def _key(namespace: str, selector: Obj, kind: str, source: Source) -> str | None:
    name, key = selector.get("name") or "", selector["key"]
    found = await (source.secret if kind == "Secret" else source.config_map)(namespace, name)
    if found is None:
        if selector.get("optional"):
            return None
        raise ConfigError(f'{kind.lower()} "{name}" not found')
    if key not in found:
        if selector.get("optional"):
            return None
        raise ConfigError(f"couldn't find key {key} in {kind} {namespace}/{name}")
    return found[key].decode(errors="replace")


def field_value(pod: PodDocument, path: str) -> str:
    """The downward API's fields. Raises ConfigError naming one that there is not."""
    meta = pod.metadata
    if found := _FIELD_KEY.match(path):
        return (meta.labels if found[1] == "labels" else meta.annotations).get(found[2], "")
    plain = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "metadata.labels": _lines(meta.labels),
        "metadata.annotations": _lines(meta.annotations),
        "spec.nodeName": pod.spec.get("nodeName") or "",
        "spec.serviceAccountName": pod.spec.get("serviceAccountName") or "default",
        "status.hostIP": pod.status.get("hostIP") or "",
        "status.hostIPs": pod.status.get("hostIP") or "",
        "status.podIP": pod.status.get("podIP") or "",
        "status.podIPs": pod.status.get("podIP") or "",
    }
    if path not in plain:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return plain[path]


def _lines(pairs: Mapping[str, str]) -> str:
    def quoted(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "\n".join(f'{key}="{quoted(pairs[key])}"' for key in sorted(pairs))


def resource_value(pod: PodDocument, container: Obj, field: Obj, capacity: Mapping[str, float]) -> str:
    """A limit or request in units of `divisor`, rounded up; a limit that is not set is the node's capacity."""
    name = field.get("containerName")
    chosen = next((one for one in pod.all_containers if one["name"] == name), None) if name else container
    kind, _, what = field["resource"].partition(".")
    if chosen is None or kind not in {"limits", "requests"} or not what:
        raise ConfigError(f"unsupported resourceFieldRef: {field}")
    amount = resource_amount(chosen, kind, what)
    if amount is None:
        amount = capacity.get(what, 0.0) if kind == "limits" else 0.0
    divisor = parse_quantity(field.get("divisor") or 1) or 1
    return str(ceil_int(parse_quantity(repr(amount)) / divisor))


def service_variables(namespace: str, services: Iterable[Obj], *, links: bool) -> dict[str, str]:
    """`REDIS_SERVICE_HOST` and the docker-style links, for the Services of the Pod's namespace (if `links`), and
    the API's own in every Pod.
    """
    env: dict[str, str] = {}
    for service in services:
        meta, spec = service["metadata"], service.get("spec") or {}
        is_api = meta["name"] == "kubernetes" and meta.get("namespace") == "default"
        address = spec.get("clusterIP") or ""
        if address in {"", "None"} or not (is_api or (links and meta.get("namespace") == namespace)):
            continue
        env |= _service(meta["name"], address, spec.get("ports") or [])
    return env


def _service(name: str, address: str, ports: list[Obj]) -> dict[str, str]:
    if not ports:
        return {}
    prefix = name.upper().replace("-", "_")
    first = ports[0]
    env = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(first["port"])}
    for port in ports:
        if port.get("name"):
            env[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    protocol = (first.get("protocol") or "TCP").lower()
    env[f"{prefix}_PORT"] = f"{protocol}://{address}:{first['port']}"
    for port in ports:
        protocol = port.get("protocol") or "TCP"
        link = f"{prefix}_PORT_{port['port']}_{protocol}"
        env |= {
            link: f"{protocol.lower()}://{address}:{port['port']}",
            f"{link}_PROTO": protocol.lower(),
            f"{link}_PORT": str(port["port"]),
            f"{link}_ADDR": address,
        }
    return env

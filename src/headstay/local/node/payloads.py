"""The files of configMap, secret, downwardAPI and projected volumes. What is missing is a `ConfigError`."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

from headstay.local.node.atomicdir import File
from headstay.local.node.environ import ConfigError, Source, field_value, resource_value
from headstay.local.node.podspec import PodDocument
from headstay.model.objects import Obj

DEFAULT_MODE = 0o644
DEFAULT_TOKEN_SECONDS = 3600


class Token(NamedTuple):
    text: str
    expires_at: datetime


class Tokens(Protocol):
    async def token(self, pod: PodDocument, audience: str, seconds: int) -> Token:
        """A token for the Pod's service account, bound to the Pod; the same one until it is due for renewal."""
        ...


class Sources(NamedTuple):
    """Where files come from."""

    objects: Source
    tokens: Tokens
    capacity: Mapping[str, float]


async def files_of(pod: PodDocument, volume: Obj, sources: Sources) -> dict[str, File]:
    """The files of one volume of these kinds."""
    if config_map := volume.get("configMap"):
        return await _keyed(pod, config_map, "configmap", config_map.get("name") or "", sources)
    if secret := volume.get("secret"):
        return await _keyed(pod, secret, "secret", secret.get("secretName") or "", sources)
    if "downwardAPI" in volume:
        downward = volume["downwardAPI"]
        return _downward(pod, downward, _mode(downward.get("defaultMode"), DEFAULT_MODE), sources)
    return await _projected(pod, volume["projected"], sources)


async def _projected(pod: PodDocument, projected: Obj, sources: Sources) -> dict[str, File]:
    mode = _mode(projected.get("defaultMode"), DEFAULT_MODE)
    files: dict[str, File] = {}
    for source in projected.get("sources") or []:
        if part := source.get("configMap"):
            wanted = {"defaultMode": mode} | part
            files |= await _keyed(pod, wanted, "configmap", part.get("name") or "", sources)
        elif part := source.get("secret"):
            files |= await _keyed(pod, {"defaultMode": mode} | part, "secret", part.get("name") or "", sources)
        elif "downwardAPI" in source:
            files |= _downward(pod, source["downwardAPI"], mode, sources)
        elif part := source.get("serviceAccountToken"):
            seconds = part.get("expirationSeconds") or DEFAULT_TOKEN_SECONDS
            token = await sources.tokens.token(pod, part.get("audience") or "", seconds)
            files[part["path"]] = File(token.text.encode(), mode)
        else:
            raise ConfigError(f"unsupported source of a projected volume: {', '.join(source) or 'none'}")
    return files


async def _keyed(pod: PodDocument, wanted: Obj, kind: str, name: str, sources: Sources) -> dict[str, File]:
    read = sources.objects.secret if kind == "secret" else sources.objects.config_map
    found = await read(pod.metadata.namespace, name)
    optional = bool(wanted.get("optional"))
    if found is None:
        if optional:
            return {}
        raise ConfigError(f'{kind} "{name}" not found')
    mode = _mode(wanted.get("defaultMode"), DEFAULT_MODE)
    items = wanted.get("items")
    if not items:
        return {key: File(value, mode) for key, value in found.items()}
    files: dict[str, File] = {}
    for item in items:
        if item["key"] in found:
            files[item["path"]] = File(found[item["key"]], _mode(item.get("mode"), mode))
        elif not optional:
            raise ConfigError(f"{kind} references non-existent {kind} key: {item['key']}")
    return files


def _downward(pod: PodDocument, wanted: Obj, mode: int, sources: Sources) -> dict[str, File]:
    files: dict[str, File] = {}
    for item in wanted.get("items") or []:
        if field := item.get("fieldRef"):
            text = field_value(pod, field["fieldPath"])
        else:
            text = resource_value(pod, {}, item["resourceFieldRef"], sources.capacity)
        files[item["path"]] = File(text.encode(), _mode(item.get("mode"), mode))
    return files


def _mode(value: int | None, default: int) -> int:
    return default if value is None else value


def refers_to(pod: PodDocument, kind: str, name: str) -> bool:
    """Whether a volume of the Pod holds files of this `configMap` or `secret`."""
    key = "name" if kind == "configMap" else "secretName"
    for volume in pod.spec.get("volumes") or []:
        if (volume.get(kind) or {}).get(key) == name:
            return True
        for source in (volume.get("projected") or {}).get("sources") or []:
            if (source.get(kind) or {}).get("name") == name:
                return True
    return False

"""ConfigMaps and Secrets: what their keys may be, what a Secret's type asks for, and `immutable`."""

import base64
import json

from headstay.local.server.seams import WriteContext
from headstay.local.server.strategies import causes, names
from headstay.local.server.strategies.base import Base, put
from headstay.model.errors import Cause
from headstay.model.objects import Obj, annotations

MAX_SIZE = 1024 * 1024
SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"
_REQUIRED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


class ConfigMaps(Base):
    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        data, binary = new.get("data") or {}, new.get("binaryData") or {}
        found = _keys("data", data) + _keys("binaryData", binary)
        for key in data.keys() & binary.keys():
            found.append(causes.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        if sum(len(value.encode()) for value in data.values()) + _decoded_size(binary) > MAX_SIZE:
            found.append(causes.too_long("", MAX_SIZE))
        return found + (_immutable(new, old, ("data", "binaryData")) if old else [])


class Secrets(Base):
    def default(self, new: Obj) -> None:
        if not new.get("type"):
            new["type"] = "Opaque"
        texts = new.pop("stringData", None)
        if texts:
            encoded = {key: base64.b64encode(value.encode()).decode() for key, value in texts.items()}
            new["data"] = (new.get("data") or {}) | encoded

    def prepare_update(self, new: Obj, old: Obj, context: WriteContext) -> None:
        # A Secret of a type, written back by somebody who left the type out, keeps it.
        put(new, type=old.get("type"))

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        data = new.get("data") or {}
        found = _keys("data", data)
        if _decoded_size(data) > MAX_SIZE:
            found.append(causes.too_long("data", MAX_SIZE))
        found += _of_type(new, data)
        if old is not None:
            if new.get("type") != old.get("type"):
                found.append(causes.immutable("type", new.get("type")))
            found += _immutable(new, old, ("data",))
        return found


def _keys(field: str, data: Obj) -> list[Cause]:
    return [causes.invalid(f"{field}[{key}]", key, complaint) for key in data for complaint in names.config_key(key)]


def _decoded_size(data: Obj) -> int:
    return sum(len(value or "") * 3 // 4 for value in data.values())


def _of_type(secret: Obj, data: Obj) -> list[Cause]:
    kind = secret["type"]
    found = [causes.required(f"data[{key}]") for key in _REQUIRED_KEYS.get(kind, ()) if key not in data]
    match kind:
        case "kubernetes.io/service-account-token":
            if not annotations(secret).get(SERVICE_ACCOUNT_NAME):
                found.append(causes.required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]"))
        case "kubernetes.io/basic-auth":
            if "username" not in data and "password" not in data:
                found += [causes.required("data[username]"), causes.required("data[password]")]
        case "kubernetes.io/dockercfg" | "kubernetes.io/dockerconfigjson":
            key = _REQUIRED_KEYS[kind][0]
            if key in data and not _is_json_object(data[key]):
                detail = "invalid character: not a JSON object"
                found.append(causes.invalid(f"data[{key}]", "<secret contents redacted>", detail))
    return found


def _is_json_object(encoded: str) -> bool:
    try:
        return isinstance(json.loads(base64.b64decode(encoded or "")), dict)
    except ValueError:
        return False


def _immutable(new: Obj, old: Obj, fields: tuple[str, ...]) -> list[Cause]:
    if not old.get("immutable"):
        return []
    detail = "field is immutable when `immutable` is set"
    found = [] if new.get("immutable") else [causes.forbidden("immutable", detail)]
    return found + [
        causes.forbidden(field, detail) for field in fields if (new.get(field) or {}) != (old.get(field) or {})
    ]

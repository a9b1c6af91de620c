"""One object, several API versions: what is stored, and what a reader of a given version sees."""

from collections.abc import Callable

from headstay.local.server import codec
from headstay.local.server.kinds import Served
from headstay.model.objects import Obj


def as_version(served: Served, obj: Obj, api_version: str) -> Obj:
    """`obj` in another version of its kind. Without a conversion of its own that is another apiVersion."""
    if obj.get("apiVersion") == api_version:
        return obj
    if served.kind.convert is not None:
        return served.kind.convert(obj, api_version)
    return obj | {"apiVersion": api_version}


def as_served(served: Served, obj: Obj) -> Obj:
    return as_version(served, obj, served.kind.resource.api_version)


def as_stored(served: Served, obj: Obj) -> Obj:
    return as_version(served, obj, served.storage.api_version)


def presenter(served: Served) -> Callable[[bytes], bytes]:
    """Stored bytes in the version that is served: passed on untouched where they are in it already."""
    expected = codec.prefix(served.kind.resource.api_version, served.kind.resource.kind)

    def present(value: bytes) -> bytes:
        if value.startswith(expected):
            return value
        return codec.encode(as_served(served, codec.decode_object(value)))

    return present

"""What a client sends and what it wants back: media types. Pure.

Objects travel as JSON or YAML. Protobuf is never sent; clients that prefer it list JSON as well. A JSON answer may
be asked for in another shape: as a Table (`kubectl get`), as metadata alone, or as aggregated discovery.
"""

from typing import Literal, NamedTuple

from headstay.local.server import errors

Shape = Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList", "APIGroupDiscoveryList"]
JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
_SHAPES: dict[str, tuple[str, frozenset[str]]] = {
    "Table": ("meta.k8s.io", frozenset({"v1", "v1beta1"})),
    "PartialObjectMetadata": ("meta.k8s.io", frozenset({"v1", "v1beta1"})),
    "PartialObjectMetadataList": ("meta.k8s.io", frozenset({"v1", "v1beta1"})),
    "APIGroupDiscoveryList": ("apidiscovery.k8s.io", frozenset({"v2", "v2beta1"})),
}
_OBJECT_SHAPES: frozenset[str] = frozenset({"Table", "PartialObjectMetadata", "PartialObjectMetadataList"})
_DISCOVERY_SHAPES: frozenset[str] = frozenset({"APIGroupDiscoveryList"})


class Media(NamedTuple):
    """One entry of an Accept header; `parameters` in lower-case keys."""

    type: str
    parameters: dict[str, str]
    quality: float


class Wanted(NamedTuple):
    """`type` is JSON or YAML. `shape` is "" for the objects themselves; `version` is that of the shape."""

    type: str = JSON
    shape: Shape = ""
    version: str = ""


def parse_accept(header: str) -> list[Media]:
    """The entries, best first; equal ones in the order given."""
    found: list[Media] = []
    for part in header.split(","):
        kind, *raw = (piece.strip() for piece in part.split(";"))
        if not kind:
            continue
        parameters = {key.strip().lower(): value.strip() for key, _, value in (item.partition("=") for item in raw)}
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 0.0
        found.append(Media(kind.lower(), parameters, quality))
    return sorted(found, key=lambda media: -media.quality)


def negotiate(header: str, shapes: frozenset[str]) -> Wanted:
    """The first entry that can be served. Raises 406 where there is none."""
    if not header:
        return Wanted()
    for media in parse_accept(header):
        if media.quality <= 0:
            continue
        if media.type in {"*/*", "application/*", JSON}:
            kind = JSON
        elif media.type in {YAML, "application/x-yaml"}:
            kind = YAML
        else:
            continue
        shape = media.parameters.get("as", "")
        if not shape:
            return Wanted(kind)
        group, versions = _SHAPES.get(shape, ("", frozenset()))
        version = media.parameters.get("v", "")
        if shape in shapes and media.parameters.get("g") == group and version in versions:
            return Wanted(kind, shape, version)  # type: ignore[arg-type]
    raise errors.not_acceptable((JSON, YAML))


def negotiate_object(header: str) -> Wanted:
    return negotiate(header, _OBJECT_SHAPES)


def negotiate_discovery(header: str) -> Wanted:
    return negotiate(header, _DISCOVERY_SHAPES)


def body_type(header: str) -> str:
    """The media type of a request body, without its parameters; JSON where it is not given."""
    return header.partition(";")[0].strip().lower() or JSON

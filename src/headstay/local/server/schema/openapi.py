"""OpenAPI documents: what is served, with its descriptions, for `kubectl explain`, editors and client generators.

Documents are several megabytes together, and rarely asked for: they are made anew for each answer, in some ten
milliseconds, and never kept. The index names a hash of everything that goes into a document, so that clients can
keep it for as long as that hash stays.
"""

import hashlib
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import msgspec

from headstay.local.server import errors
from headstay.local.server.about import Document
from headstay.local.server.negotiation import parse_accept
from headstay.local.server.protobuf.openapi_v2 import ACCEPTED_TYPES, CONTENT_TYPE, encode_v2
from headstay.local.server.schema.builtin import KUBERNETES_VERSION, Definitions
from headstay.local.server.schema.openapi_paths import SHARED, Subject, paths_of
from headstay.local.server.schema.openapi_schemas import (
    Dialect,
    builtin_schema,
    custom_list_schema,
    custom_name,
    custom_schema,
    with_references,
)
from headstay.local.server.seams import Kind, KindLookup, Reader
from headstay.model.objects import Obj, dig
from headstay.model.resource import CUSTOM_RESOURCE_DEFINITIONS

_INFO = {"title": "Kubernetes", "version": KUBERNETES_VERSION}
_TOKEN: Obj = {"description": "Bearer Token authentication", "type": "apiKey", "name": "authorization", "in": "header"}


class OpenApi:
    def __init__(self, definitions: Definitions, kinds: KindLookup, reader: Reader) -> None:
        self._definitions = definitions
        self._kinds = kinds
        self._reader = reader
        self._made_by = _made_by()

    def document(self, path: str, accept: str) -> Document | None:
        """What stands at a path below `/openapi`, or None. Raises 406 for a client that takes neither form we have."""
        match path.strip("/").split("/", 2):
            case ["openapi", "v2"] if _takes_protobuf(accept):
                return Document(CONTENT_TYPE, encode_v2(self._make_v2(list(self._kinds.all()), self._crds())))
            case ["openapi", "v2"]:
                body: bytes | None = self.document_v2()
            case ["openapi", "v3"]:
                body = self.index_v3()
            case ["openapi", "v3", group_version]:
                body = self.document_v3(group_version)
            case _:
                body = None
        if body is None:
            return None
        if not _takes_json(accept):
            raise errors.not_acceptable(("application/json",))
        return Document("application/json", body)

    def index_v3(self) -> bytes:
        """`/openapi/v3`: where each group version's document is."""
        crds = self._crds()
        paths = {}
        for prefix, kinds in self._group_versions().items():
            path = prefix.removeprefix("/")
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={self._hash(kinds, crds)}"}
        return msgspec.json.encode({"paths": dict(sorted(paths.items()))})

    def document_v3(self, path: str) -> bytes | None:
        """The document of a group version, by a path such as `apis/apps/v1`; None where nothing is served."""
        kinds = self._group_versions().get(f"/{path}")
        if kinds is None:
            return None
        return msgspec.json.encode(self._make_v3(kinds, self._crds()))

    def document_v2(self) -> bytes:
        """`/openapi/v2`: everything in one document."""
        return msgspec.json.encode(self._make_v2(list(self._kinds.all()), self._crds()))

    def _group_versions(self) -> dict[str, list[Kind]]:
        """Kinds by the prefix of their path: `/api/v1`, `/apis/apps/v1`."""
        found: dict[str, list[Kind]] = {}
        for kind in self._kinds.all():
            found.setdefault(kind.resource.prefix, []).append(kind)
        return found

    def _crds(self) -> dict[tuple[str, str], Obj]:
        return {
            (crd["spec"]["group"], crd["spec"]["names"]["kind"]): crd
            for crd in self._reader.list(CUSTOM_RESOURCE_DEFINITIONS)
        }

    def _hash(self, kinds: Iterable[Kind], crds: dict[tuple[str, str], Obj]) -> str:
        """Stands for a document's content: code, data, kinds, and the generation of the CRDs that define them."""
        parts: list[object] = [self._made_by]
        for kind in sorted(kinds, key=lambda kind: kind.resource):
            crd = crds.get((kind.resource.group, kind.resource.kind))
            state = (crd["metadata"].get("uid"), crd["metadata"].get("generation")) if crd else ()
            parts.append((kind.resource, kind.verbs, kind.has_status, kind.has_scale, state))
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()

    def _make_v3(self, kinds: list[Kind], crds: dict[tuple[str, str], Obj]) -> Obj:
        schemas, paths = self._describe(kinds, crds, "v3")
        return {
            "openapi": "3.0.0",
            "info": _INFO,
            "paths": paths,
            "components": {"schemas": schemas, "securitySchemes": {"BearerToken": _TOKEN}},
        }

    def _make_v2(self, kinds: list[Kind], crds: dict[tuple[str, str], Obj]) -> Obj:
        schemas, paths = self._describe(kinds, crds, "v2")
        return {
            "swagger": "2.0",
            "info": _INFO,
            "paths": paths,
            "definitions": schemas,
            "securityDefinitions": {"BearerToken": _TOKEN},
            "security": [{"BearerToken": []}],
        }

    def _describe(
        self, kinds: list[Kind], crds: dict[tuple[str, str], Obj], dialect: Dialect
    ) -> tuple[dict[str, Obj], Obj]:
        """The schemas and the paths of these kinds."""
        custom: dict[str, Obj] = {}
        roots = list(SHARED)
        paths: Obj = {}
        for kind in kinds:
            resource = kind.resource
            name = self._definitions.name_of(resource.group, resource.version, resource.kind)
            if name is not None:
                listed = self._definitions.name_of(resource.group, resource.version, f"{resource.kind}List") or name
                roots += [name, listed]
            else:
                name, listed = custom_name(resource, resource.kind), custom_name(resource, f"{resource.kind}List")
                schema = _schema_of(crds.get((resource.group, resource.kind)), resource.version)
                custom[name] = custom_schema(schema, resource, dialect)
                custom[listed] = custom_list_schema(resource, dialect)
            paths |= paths_of(Subject(kind, name, listed), dialect)
        if any(kind.has_scale for kind in kinds):
            roots.append("io.k8s.api.autoscaling.v1.Scale")
        load = self._load(dialect)
        return with_references(roots, custom, load, dialect), dict(sorted(paths.items()))

    def _load(self, dialect: Dialect) -> Callable[[str], Obj]:
        return lambda name: builtin_schema(self._definitions, name, dialect)


def _takes_protobuf(accept: str) -> bool:
    """Kubectl takes OpenAPI v2 in nothing else; who takes JSON too gets that."""
    return any(media.type in ACCEPTED_TYPES for media in parse_accept(accept)) and not _takes_json(accept)


def _takes_json(accept: str) -> bool:
    types = {media.type for media in parse_accept(accept)}
    return not types or not types.isdisjoint({"application/json", "application/*", "*/*"})


def _schema_of(crd: Obj | None, wanted: str) -> Obj:
    for one in dig(crd, "spec", "versions") or []:
        if one["name"] == wanted:
            found: Obj = dig(one, "schema", "openAPIV3Schema") or {}
            return found
    return {}


def _made_by() -> str:
    """The versions of the data and of the code that makes documents of it."""
    digest = hashlib.blake2b(version("kubernetes-validate").encode(), digest_size=16)
    for source in sorted(Path(__file__).parent.glob("openapi*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()

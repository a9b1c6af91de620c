"""The image map: which way of making a root filesystem an image reference stands for. Pure, but for reading files.

Every key of the file is checked: a typing error in a user's map is an error with its place, never silence.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import yaml

Kind = Literal["environment", "host", "self", "archive", "pull"]
_PIECE = r"[0-9][0-9A-Za-z.]*"


class ImageMapError(Exception):
    """The image map cannot be read; the message names the file and the place."""


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    pass


class ImageUser(Strict):
    name: str = "root"
    uid: int = 0
    gid: int = 0
    group: str = "root"
    home: str = "/root"


class Environment(Strict):
    requirements: tuple[str, ...]
    prefix: str
    python: str = ""


class VersionCheck(Strict):
    command: tuple[str, ...]
    pattern: str
    asked: str


class HostPrograms(Strict):
    programs: tuple[str, ...]
    package: str = ""
    version: VersionCheck | None = None


class Entry(Strict):
    match: str
    environment: Environment | None = None
    host: HostPrograms | None = None
    self: bool = False
    archive: str = ""
    pull: bool = False
    user: ImageUser = msgspec.field(default_factory=ImageUser)
    workdir: str = "/"
    env: dict[str, str] = {}
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    directories: dict[str, str] = {}

    @property
    def kind(self) -> Kind:
        if self.environment is not None:
            return "environment"
        if self.archive:
            return "archive"
        return "host" if self.host is not None else "self" if self.self else "pull"


class Registry(Strict):
    default: str = "docker.io"
    pull: bool = True
    timeout_seconds: float = 600


class ImageMapFile(Strict):
    images: tuple[Entry, ...] = ()
    registry: Registry | None = None


class ImageMap(NamedTuple):
    entries: tuple[Entry, ...]
    registry: Registry

    def find(self, reference: str) -> Entry | None:
        """The entry for a reference, with what its pattern captured put into every text of it."""
        for name in names_of(reference):
            for entry in self.entries:
                if (found := _pattern(entry.match).fullmatch(name)) is not None:
                    return _filled(entry, found.groupdict())
        return None

    def qualified(self, reference: str) -> str:
        """The reference with a registry and a tag, as a registry client wants it."""
        host, rest = split_host(reference)
        if not host:
            host, rest = self.registry.default, rest if "/" in rest else f"library/{rest}"
        return f"{host}/{with_tag(rest)}"


def split_host(reference: str) -> tuple[str, str]:
    """`host:5000/a/b:1` -> (`host:5000`, `a/b:1`); the host is empty where the reference names none."""
    first, slash, rest = reference.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return "", reference


def with_tag(reference: str) -> str:
    tail = reference.rpartition("/")[2]
    return reference if ":" in tail or "@" in tail else f"{reference}:latest"


def names_of(reference: str) -> list[str]:
    """What a reference is looked up as: whole, then without registry, `library/` and digest."""
    host, rest = split_host(reference.partition("@")[0])
    short = with_tag(rest.removeprefix("library/"))
    return [f"{host}/{with_tag(rest)}", short] if host else [short]


def load(override: Path) -> ImageMap:
    """The shipped map, with the user's entries (if `override` exists) before it."""
    shipped = _parse((files("headstay.local.node") / "images.yaml").read_bytes(), "the shipped images.yaml")
    own = _parse(override.read_bytes(), str(override)) if override.exists() else ImageMapFile()
    return ImageMap(own.images + shipped.images, own.registry or shipped.registry or Registry())


def _parse(text: bytes, place: str) -> ImageMapFile:
    try:
        parsed = msgspec.convert(yaml.safe_load(text) or {}, ImageMapFile)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ImageMapError(f"{place}: {error}") from error
    for entry in parsed.images:
        ways = [entry.environment is not None, entry.host is not None, entry.self, bool(entry.archive), entry.pull]
        if sum(ways) != 1:
            raise ImageMapError(f"{place}: {entry.match!r} needs exactly one of environment, host, self, archive, pull")
    return parsed


def _pattern(glob: str) -> re.Pattern[str]:
    parts = re.split(r"(\*|\{\w+\})", glob)
    regex = "".join(
        ".*" if part == "*" else f"(?P<{part[1:-1]}>{_PIECE})" if part.startswith("{") else re.escape(part)
        for part in parts
    )
    return re.compile(regex)


def _filled(entry: Entry, captured: Mapping[str, str]) -> Entry:
    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return re.sub(r"\{(\w+)\}", lambda found: captured.get(found[1], found[0]), value)
        if isinstance(value, dict):
            return {key: fill(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [fill(inner) for inner in value]
        return value

    document = msgspec.to_builtins(entry)
    return msgspec.convert({key: value if key == "match" else fill(value) for key, value in document.items()}, Entry)

"""From an image reference to something that can run.

    mapped    environment, host, self  -> a root directory, mounts, and the defaults an image carries
    unmapped  podman's own storage, filled from a registry where one answers

`find` never waits for a network; `pull` may take minutes and says what it does. What cannot be had is an
`ImageError` whose message is the user's next step.
"""

import asyncio
import hashlib
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

import headstay
from headstay.local.config import LocalConfig
from headstay.local.node import command, environments, imagemap, rootfs
from headstay.local.node.containerspec import Mount
from headstay.local.node.engine import Engine, EngineError
from headstay.local.node.environments import EnvironmentStore, InstallError
from headstay.local.node.imagemap import Entry, HostPrograms, ImageMapError, ImageUser

Progress = Callable[[str], None]
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_VERSION_SECONDS = 10.0


class ImageError(Exception):
    """The image cannot be had; `str()` is what the Pod's status and Events say."""


@dataclass(frozen=True)
class Image:
    """What a container is made of. With `root` None, podman's own image `id` is run and knows the rest itself.

    `note` is what the user should know: a version that differs from the one asked for.
    """

    reference: str
    id: str
    root: Path | None = None
    mounts: tuple[Mount, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    user: ImageUser = field(default_factory=ImageUser)
    workdir: str = "/"
    note: str = ""


class ImageStore:
    def __init__(self, config: LocalConfig, engine: Engine) -> None:
        self._engine = engine
        self._run_dir = config.run_dir
        self._override = config.state_dir / "images.yaml"
        self._roots = config.cache_dir / "images" / "roots"
        self._environments = EnvironmentStore(config.cache_dir / "images" / "environments")

    async def find(self, reference: str) -> Image | None:
        """The image, if nothing has to be fetched for it. Raises ImageError where it can never be had."""
        entry = self._entry(reference)
        if entry is None or entry.kind in {"pull", "archive"}:
            return await self._stored(reference, self._stored_name(reference, entry))
        if entry.environment is not None:
            made = self._environments.find(entry.environment)
            return None if made is None else await asyncio.to_thread(self._with_environment, reference, entry, made)
        if entry.host is not None:
            note = await _check_host(entry.host, reference)
            return await asyncio.to_thread(self._image, reference, entry, (), {}, note)
        return await asyncio.to_thread(self._own, reference, entry)

    async def pull(self, reference: str, progress: Progress, auth: bytes = b"") -> Image:
        """The image, fetched or made if need be. `auth`: a docker config.json for registries that want a log-in."""
        entry = self._entry(reference)
        try:
            if entry is not None and entry.environment is not None:
                made = await self._environments.ensure(entry.environment, progress)
                return await asyncio.to_thread(self._with_environment, reference, entry, made)
            if entry is not None and entry.archive:
                return await self._from_archive(reference, entry)
            if entry is None or entry.kind == "pull":
                return await self._from_registry(reference, auth, mapped=entry is not None)
        except InstallError as error:
            raise ImageError(f"{reference}: {error}") from error
        except TimeoutError as error:
            raise ImageError(f"{reference}: installing it took more than {environments.INSTALL_SECONDS:g} s") from error
        found = await self.find(reference)
        if found is None:
            raise ImageError(f"{reference} is mapped and yet not there")
        return found

    def _entry(self, reference: str) -> Entry | None:
        return self._map().find(reference)

    def _map(self) -> imagemap.ImageMap:
        """Read each time: it is small, and a user who corrects the file sees it at once."""
        try:
            return imagemap.load(self._override)
        except ImageMapError as error:
            raise ImageError(f"the image map cannot be read: {error}") from error

    def _with_environment(self, reference: str, entry: Entry, made: environments.Made) -> Image:
        wanted = entry.environment
        assert wanted is not None  # noqa: S101 (only called for such entries)
        mounts = [Mount(made.path, wanted.prefix, overlay=True), *_prefix_mount(Path(made.manifest.python_prefix))]
        env = {"PATH": f"{wanted.prefix}/bin:{DEFAULT_PATH}"}
        return self._image(reference, entry, tuple(mounts), env)

    def _own(self, reference: str, entry: Entry) -> Image:
        """The interpreter that runs us, its environment, and our package where that lies outside of it."""
        prefix, package = Path(sys.prefix), Path(headstay.__file__).resolve().parent.parent
        mounts = [*_prefix_mount(prefix), *_prefix_mount(Path(sys.base_prefix))]
        if not package.is_relative_to(prefix):
            mounts.append(Mount(package, str(package), read_only=True))
        env = {"PATH": f"{prefix}/bin:{DEFAULT_PATH}", "PYTHONDONTWRITEBYTECODE": "1"}
        return self._image(reference, entry, tuple(dict.fromkeys(mounts)), env)

    def _image(
        self, reference: str, entry: Entry, mounts: tuple[Mount, ...], env: dict[str, str], note: str = ""
    ) -> Image:
        root = rootfs.make_root(self._roots, entry.user, entry.directories)
        digest = hashlib.sha256(
            msgspec.json.encode([msgspec.to_builtins(entry), [str(mount.source) for mount in mounts], str(root)])
        ).hexdigest()
        return Image(
            reference=reference,
            id=f"sha256:{digest}",
            root=root,
            mounts=(*rootfs.host_mounts(), *mounts),
            entrypoint=entry.entrypoint,
            command=entry.command,
            env={"PATH": DEFAULT_PATH, "HOME": entry.user.home} | env | entry.env,
            user=entry.user,
            workdir=entry.workdir,
            note=note,
        )

    def _stored_name(self, reference: str, entry: Entry | None) -> str:
        """Under which name podman has it. An archive that has changed is another one."""
        if entry is None or not entry.archive:
            return self._map().qualified(reference)
        path = Path(entry.archive.split(":")[1]) if ":" in entry.archive else Path(entry.archive)
        changed = path.stat().st_mtime_ns if path.exists() else 0
        return f"localhost/archive:{hashlib.sha256(f'{entry.archive} {changed}'.encode()).hexdigest()[:16]}"

    async def _stored(self, reference: str, name: str) -> Image | None:
        if not self._engine.root.exists() or not await self._engine.image_exists(name):
            return None
        return await self._podmans(reference, name)

    async def _from_archive(self, reference: str, entry: Entry) -> Image:
        images, name = self._map(), self._stored_name(reference, entry)
        self._engine.prepare()
        try:
            identity = await self._engine.pull(entry.archive, timeout=images.registry.timeout_seconds)
            await self._engine.tag(identity, name)
        except EngineError as error:
            raise ImageError(f"{reference}: {entry.archive} cannot be loaded: {error}") from error
        return await self._podmans(reference, name)

    async def _podmans(self, reference: str, name: str) -> Image:
        document = await self._engine.image_config(name)
        user, home = (document.get("Config") or {}).get("User") or "", "/"
        uid = (
            int(user.partition(":")[0]) if user.partition(":")[0].isdigit() else (1 if user not in {"", "root"} else 0)
        )
        return Image(reference, f"sha256:{document['Id']}", user=ImageUser(user or "root", uid, uid, user, home))

    async def _from_registry(self, reference: str, auth: bytes, *, mapped: bool) -> Image:
        images = self._map()
        hint = f"map it in {self._override} (see `headstay images --help`)"
        if not mapped and not images.registry.pull:
            raise ImageError(f"{reference} is not in the image map and pulling is switched off: {hint}")
        name = images.qualified(reference)
        self._engine.prepare()
        try:
            with _auth_file(self._run_dir, auth) as path:
                await self._engine.pull(name, timeout=images.registry.timeout_seconds, auth_file=path)
        except EngineError as error:
            where = "could not be pulled" if mapped else "is not in the image map and could not be pulled"
            raise ImageError(f"{reference} {where} ({error}): {hint}") from error
        return await self._podmans(reference, name)


@contextmanager
def _auth_file(directory: Path, content: bytes) -> Iterator[Path | None]:
    if not content:
        yield None
        return
    with tempfile.NamedTemporaryFile(dir=directory, prefix="auth-") as file:  # readable by us alone
        file.write(content)
        file.flush()
        yield Path(file.name)


def _prefix_mount(prefix: Path) -> list[Mount]:
    """A Python's prefix where it is, unless the allow-list shows it already."""
    return [] if prefix.is_relative_to("/usr") else [Mount(prefix, str(prefix), read_only=True)]


async def _check_host(host: HostPrograms, reference: str) -> str:
    """Raises ImageError naming the program that is missing; returns the note on a differing version."""
    for program in host.programs:
        found = shutil.which(program, path=DEFAULT_PATH)
        if found is None:
            fix = f": apt-get install {host.package}" if host.package else ""
            raise ImageError(f"{reference} runs this machine's {program}, which is not installed{fix}")
    if host.version is None:
        return ""
    try:
        done = await command.run(list(host.version.command), timeout=_VERSION_SECONDS)
    except (OSError, command.CommandTimeoutError) as error:
        raise ImageError(f"{reference}: {error}") from error
    have = re.search(host.version.pattern, done.stdout.decode(errors="replace"))
    asked = host.version.asked
    if have is None or have[1] == asked or have[1].startswith(f"{asked}.") or not asked[:1].isdigit():
        return ""
    return f'Image "{reference}" asks for {asked}; it runs this machine\'s {host.programs[0]} {have[1]} instead'


async def prepare_images(config: LocalConfig, references: Sequence[str], progress: Progress) -> None:
    """Fetches or makes each image that is not there yet; the hook of `make install`. Needs no running Headstay."""
    store = ImageStore(config, Engine(config))
    for reference in references:
        progress(f"{reference}: looking")
        if await store.find(reference) is None:
            await store.pull(reference, lambda text, name=reference: progress(f"{name}: {text}"))  # type: ignore[misc]

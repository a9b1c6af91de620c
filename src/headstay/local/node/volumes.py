"""A Pod's volumes as directories of this machine, and a container's mounts of them.

Files that come from the API (secrets among them) lie below the run directory, which only root may enter; what the
Pod itself writes lies below the state directory. Everything is found again by the Pod's uid.
"""

import asyncio
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from headstay.local.config import LocalConfig
from headstay.local.node import atomicdir, command
from headstay.local.node.containerspec import Mount
from headstay.local.node.environ import ConfigError, expand
from headstay.local.node.payloads import Sources, files_of
from headstay.local.node.podspec import PodDocument
from headstay.model.objects import Obj, dig
from headstay.model.quantity import ceil_int, parse_quantity

_API_KINDS = ("configMap", "secret", "downwardAPI", "projected")
_MOUNT_SECONDS = 10.0


class VolumeError(Exception):
    """A volume cannot be had yet; the Pod waits and is tried again."""


class Claims(Protocol):
    async def path(self, namespace: str, claim: str) -> Path:
        """The directory behind a claim. Raises VolumeError while it is not bound."""
        ...


class Volumes:
    def __init__(self, config: LocalConfig, sources: Sources, claims: Claims) -> None:
        self._own = config.state_dir / "pods"
        self._from_api = config.run_dir / "pods"
        self._sources = sources
        self._claims = claims

    async def ensure(self, pod: PodDocument) -> dict[str, Path]:
        """Every volume's directory or file, by the volume's name. Raises VolumeError or ConfigError."""
        self._from_api.mkdir(parents=True, exist_ok=True, mode=0o700)
        return {volume["name"]: await self._ensure(pod, volume) for volume in pod.spec.get("volumes") or []}

    async def refresh(self, pod: PodDocument) -> None:
        """Brings files that come from the API up to date."""
        for volume in pod.spec.get("volumes") or []:
            if any(kind in volume for kind in _API_KINDS):
                await self._ensure(pod, volume)

    async def _ensure(self, pod: PodDocument, volume: Obj) -> Path:
        uid: str = pod.metadata.uid
        name: str = volume["name"]
        group: int | None = dig(pod.spec, "securityContext", "fsGroup")
        if any(kind in volume for kind in _API_KINDS):
            directory = self._from_api / uid / "volumes" / name
            try:
                files = await files_of(pod, volume, self._sources)
            except ConfigError as error:
                raise VolumeError(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error
            atomicdir.write(directory, _for_group(files, group), group=group)
            return directory
        if "hostPath" in volume:
            return host_path(volume["hostPath"])
        if claim := volume.get("persistentVolumeClaim"):
            path = await self._claims.path(pod.metadata.namespace, claim["claimName"])
            await asyncio.to_thread(_give_to_group, path, group)
            return path
        directory = self._own / uid / "volumes" / name
        await self._empty(directory, volume.get("emptyDir") or {}, group)
        return directory

    async def _empty(self, directory: Path, wanted: Obj, group: int | None) -> None:
        in_memory = wanted.get("medium") == "Memory"
        if _is_there(directory, in_memory=in_memory):
            return
        if in_memory:
            size = wanted.get("sizeLimit")
            limit = [f"size={ceil_int(parse_quantity(size))}"] if size else []
            options = ",".join(["nosuid", "nodev", *limit])
            argv = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
            done = await command.run(argv, timeout=_MOUNT_SECONDS)
            if done.code != 0:
                raise VolumeError(f"a tmpfs for an emptyDir: {done.words}")
        _open_to_all(directory, group)

    async def remove(self, uid: str) -> None:
        """Unmounts and deletes what a Pod had here; volumes that outlive it (hostPath, claims) stay."""
        for parent in (self._own / uid, self._from_api / uid):
            await unmount_below(parent)
            await asyncio.to_thread(shutil.rmtree, parent, ignore_errors=True)


def _is_there(directory: Path, *, in_memory: bool) -> bool:
    """Whether the emptyDir is complete; otherwise its directory is made."""
    if directory.exists() and (not in_memory or directory.is_mount()):
        return True
    directory.mkdir(parents=True, exist_ok=True)
    return False


def _open_to_all(directory: Path, group: int | None) -> None:
    directory.chmod(0o777)
    if group is not None:
        os.chown(directory, 0, group)
        directory.chmod(0o2777)


def mounts_of(pod: PodDocument, container: Obj, volumes: Mapping[str, Path], env: Mapping[str, str]) -> list[Mount]:
    """The container's volumeMounts. Raises ConfigError for one that cannot be."""
    read_only = {
        volume["name"]
        for volume in pod.spec.get("volumes") or []
        if any(kind in volume for kind in _API_KINDS) or dig(volume, "persistentVolumeClaim", "readOnly")
    }
    found: list[Mount] = []
    for mount in container.get("volumeMounts") or []:
        name = mount["name"]
        if name not in volumes:
            raise ConfigError(f"volumeMounts name a volume that the Pod does not have: {name}")
        below = mount.get("subPath") or expand(mount.get("subPathExpr") or "", env)
        source = sub_path(volumes[name], below) if below else volumes[name]
        found.append(Mount(source, mount["mountPath"], read_only=bool(mount.get("readOnly")) or name in read_only))
    return found


def sub_path(volume: Path, below: str) -> Path:
    """A path inside the volume, made as a directory if it is missing. Links that lead out of it are refused."""
    target = (volume / below).resolve()
    if below.startswith("/") or not target.is_relative_to(volume.resolve()):
        raise ConfigError(f"subPath {below!r} leads out of its volume")
    if not target.exists():
        target.mkdir(parents=True, mode=0o755)
        owner = volume.stat()
        os.chown(target, owner.st_uid, owner.st_gid)
        target.chmod(stat.S_IMODE(owner.st_mode))
    return target


def host_path(wanted: Obj) -> Path:
    path, kind = Path(wanted["path"]), wanted.get("type") or ""
    if ".." in path.parts or not path.is_absolute():
        raise VolumeError(f"hostPath {path} must be absolute and without '..'")
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(parents=True, mode=0o755)
    if kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    checks = {
        "": path.exists,
        "Directory": path.is_dir,
        "DirectoryOrCreate": path.is_dir,
        "File": path.is_file,
        "FileOrCreate": path.is_file,
        "Socket": path.is_socket,
        "CharDevice": path.is_char_device,
        "BlockDevice": path.is_block_device,
    }
    if kind not in checks:
        raise VolumeError(f"hostPath type {kind!r} is not supported")
    if not checks[kind]():
        raise VolumeError(f"hostPath type check failed: {path} is not a {kind or 'file or directory that exists'}")
    return path


async def unmount_below(parent: Path) -> None:
    """Takes away every mount at or below a directory, deepest first."""
    for point in sorted(mount_points(parent), key=lambda path: len(path.parts), reverse=True):
        await command.run(["umount", "--lazy", str(point)], timeout=_MOUNT_SECONDS)


def mount_points(parent: Path) -> list[Path]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [Path(line.split()[4].encode().decode("unicode_escape")) for line in lines]
    return [point for point in points if point.is_relative_to(parent)]


def _for_group(files: Mapping[str, atomicdir.File], group: int | None) -> dict[str, atomicdir.File]:
    if group is None:
        return dict(files)
    return {path: atomicdir.File(file.content, file.mode | 0o040) for path, file in files.items()}


def _give_to_group(path: Path, group: int | None) -> None:
    """fsGroup: the group may read and write, and what is made later belongs to it too."""
    if group is None or (path.stat().st_gid == group and path.stat().st_mode & stat.S_ISGID):
        return
    for folder, _, names in os.walk(path):
        os.chown(folder, -1, group)
        Path(folder).chmod(stat.S_IMODE(Path(folder).stat().st_mode) | 0o2770)
        for name in names:
            entry = Path(folder, name)
            os.chown(entry, -1, group, follow_symlinks=False)
            if not entry.is_symlink():
                entry.chmod(stat.S_IMODE(entry.stat().st_mode) | 0o660)

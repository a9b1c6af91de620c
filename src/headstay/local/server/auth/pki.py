"""The instance's own certificate authority and what it signs, on disk.

A key and its certificate share one file, which appears by rename: there is no half-written pair to recover
from. `manifest.json` is written last and records what the files are (their digests), what they were made for
(the names in the serving certificate) and when the first of them must be renewed. While it holds true nothing
is parsed, and `cryptography` (80 ms to import) is not loaded. Where it does not, each file is judged on its own,
those that are sound stay, and the rest is made again: a crash between any two files ends in the same place.

The caller holds the instance's lock; two processes never do this at once.
"""

import hashlib
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from headstay.local.config import CLUSTER_DOMAIN, LocalConfig

ADMIN = "headstay-admin"
ADMIN_GROUP = "system:masters"
LIFETIME = timedelta(days=3650)
RENEW_BEFORE = timedelta(days=90)
"""Renewal happens at start, so the margin must outlast any reasonable uptime."""


class Pki(NamedTuple):
    """Paths. Files that hold a key hold its certificate too, except the service-account key, which has none."""

    ca_certificate: Path
    ca: Path
    serving: Path
    admin: Path
    service_account_key: Path

    @classmethod
    def in_directory(cls, directory: Path) -> "Pki":
        return cls(
            directory / "ca.crt",
            directory / "ca.pem",
            directory / "serving.pem",
            directory / "admin.pem",
            directory / "service-account.key",
        )


class Names(NamedTuple):
    """What the serving certificate must be good for."""

    dns: tuple[str, ...]
    addresses: tuple[str, ...]

    @classmethod
    def of(cls, config: LocalConfig) -> "Names":
        dns = (
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            f"kubernetes.default.svc.{CLUSTER_DOMAIN}",
            config.node_name,
        )
        return cls(dns, ("127.0.0.1", "::1", str(config.api_service_address), str(config.bridge_address)))


class _Manifest(msgspec.Struct):
    names: list[list[str]]
    renew_at: datetime
    sha256: dict[str, str]


def ensure_pki(config: LocalConfig, now: datetime) -> Pki:
    """The instance's PKI, made or renewed where needed. `now` is aware."""
    directory = config.pki_dir
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    pki = Pki.in_directory(directory)
    names = Names.of(config)
    if not _still_good(pki, names, now):
        from headstay.local.server.auth import certificates  # 80 ms, and seldom needed

        renew_at = certificates.make_what_is_missing(pki, names, now)
        _record(pki, names, renew_at)
    return pki


def write_private(path: Path, content: bytes) -> None:
    """Writes the whole file or none of it, readable by its owner alone, and on disk once this returns."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _still_good(pki: Pki, names: Names, now: datetime) -> bool:
    try:
        manifest = msgspec.json.decode(_manifest_path(pki).read_bytes(), type=_Manifest)
        found = {path.name: _digest(path) for path in pki}
    except (FileNotFoundError, msgspec.DecodeError):
        return False
    return manifest.names == [list(part) for part in names] and found == manifest.sha256 and now < manifest.renew_at


def _record(pki: Pki, names: Names, renew_at: datetime) -> None:
    manifest = _Manifest([list(part) for part in names], renew_at, {path.name: _digest(path) for path in pki})
    write_private(_manifest_path(pki), msgspec.json.encode(manifest))


def _manifest_path(pki: Pki) -> Path:
    return pki.ca.with_name("manifest.json")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

"""The root directory of a mapped image: fresh files of our own, and an allow-list of the machine's.

Nothing of the host is in a Pod but what is named here: /usr (under a private layer), the few files of /etc that
programs in /usr need, and whatever prefix an image adds. A root is named by the hash of all that is in it and never
changes once made, so that it can lie under any number of overlays.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from headstay.local.node.containerspec import Mount
from headstay.local.node.imagemap import ImageUser

_FORMAT = 1
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_FROM_ETC = ("alternatives", "ssl/certs", "ssl/openssl.cnf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d")
_NSSWITCH = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n"
# A login shell must not forget the image's PATH, so this one only adds what is missing.
_PROFILE = 'export PATH="${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"\n'
_SERVICES = "domain 53/udp\ndomain 53/tcp\nhttp 80/tcp\nhttps 443/tcp\nssh 22/tcp\nredis 6379/tcp\n"
_PROTOCOLS = "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\n"


def host_mounts(host: Path = Path("/")) -> Iterator[Mount]:
    """The allow-list. /usr has a private layer over it so that a Pod can mount files below it."""
    yield Mount(host / "usr", "/usr", overlay=True)
    for name in _MERGED:
        if (host / name).is_dir() and not (host / name).is_symlink():
            yield Mount(host / name, f"/{name}", overlay=True)
    for name in _FROM_ETC:
        if (host / "etc" / name).exists():
            yield Mount(host / "etc" / name, f"/etc/{name}", read_only=True)


def make_root(parent: Path, user: ImageUser, directories: dict[str, str]) -> Path:
    """The root for this user and these directories (path -> `uid:gid:mode`), made if it is not there yet."""
    key = hashlib.sha256(
        msgspec.json.encode([_FORMAT, msgspec.to_builtins(user), sorted(directories.items())])
    ).hexdigest()[:16]
    target = parent / key
    if target.is_dir():
        return target
    parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    temporary = parent / f".{key}.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    _fill(temporary, user, directories)
    try:
        temporary.rename(target)
    except OSError:  # another process was faster: a directory that is not empty cannot be replaced
        if not target.is_dir():
            raise
        shutil.rmtree(temporary)
    return target


def _fill(root: Path, user: ImageUser, directories: dict[str, str]) -> None:
    _directory(root, 0o755)
    for name in ("dev", "etc", "home", "mnt", "opt", "proc", "run", "srv", "sys", "usr", "var", "var/log", "var/lib"):
        _directory(root / name, 0o755)
    _directory(root / "root", 0o711)  # others may pass through: a Python's prefix can be below it
    for name in ("tmp", "var/tmp", "run/lock"):
        _directory(root / name, 0o1777)
    (root / "var/run").symlink_to("/run")
    for name in _MERGED:
        host = Path("/", name)
        if host.is_symlink():
            (root / name).symlink_to(host.readlink())
        elif host.is_dir():
            _directory(root / name, 0o755)
    for name in _FROM_ETC:
        _placeholder(Path("/etc", name), root / "etc" / name)
    _etc(root / "etc", user)
    _owned(root, {user.home: f"{user.uid}:{user.gid}:0755"} if user.uid else {})
    _owned(root, directories)


def _etc(etc: Path, user: ImageUser) -> None:
    users = ["root:x:0:0:root:/root:/bin/bash", "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin"]
    groups = ["root:x:0:", "tty:x:5:", "nogroup:x:65534:"]
    if user.uid:
        users.append(f"{user.name}:x:{user.uid}:{user.gid}::{user.home}:/bin/bash")
    if user.gid:
        groups.append(f"{user.group}:x:{user.gid}:")
    texts = {
        "passwd": "\n".join(users) + "\n",
        "group": "\n".join(groups) + "\n",
        "nsswitch.conf": _NSSWITCH,
        "profile": _PROFILE,
        "services": _SERVICES,
        "protocols": _PROTOCOLS,
        "shells": "/bin/sh\n/bin/bash\n",
        "hosts": "",
        "hostname": "",
        "resolv.conf": "",
    }
    for name, text in texts.items():
        (etc / name).write_text(text)
        (etc / name).chmod(0o644)
    (etc / "mtab").symlink_to("/proc/self/mounts")


def _owned(root: Path, directories: dict[str, str]) -> None:
    for path, ownership in directories.items():
        uid, gid, mode = ownership.split(":")
        target = root / path.lstrip("/")
        _directory(target, int(mode, 8))
        os.chown(target, int(uid), int(gid))


def _directory(path: Path, mode: int) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)  # mkdir's own mode is cut by the umask


def _placeholder(host: Path, target: Path) -> None:
    """What a mount will cover, so that the container's own layer stays empty."""
    if host.is_dir():
        _directory(target, 0o755)
    elif host.exists():
        _directory(target.parent, 0o755)
        target.touch()

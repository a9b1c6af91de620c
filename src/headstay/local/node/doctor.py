"""What this machine lacks for running a local Kubernetes, and how to get it. Looks, and changes nothing."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from headstay.local.node import cgroups
from headstay.local.node.engine import runtime_name

_SECONDS = 20.0
_NEEDED_CONTROLLERS = ("cpu", "memory", "pids")
_PROGRAMS = {
    "podman": ("podman", "containers"),
    "conmon": ("conmon", "containers that outlive the daemon"),
    "ip": ("iproute2", "Pod networks"),
    "nft": ("nftables", "Services"),
    "nsenter": ("util-linux", "Pod networks"),
    "setsid": ("util-linux", "terminals"),
    "mount": ("mount", "volumes"),
    "redis-server": ("redis-server", "the redis image"),
    "redis-cli": ("redis-tools", "the redis image"),
    "pkill": ("procps", "the guide's `pkill gcs_server` inside a Pod"),
    "wget": ("wget", "KubeRay's own probes"),
}
_LEAST_PODMAN = (4, 0)
_LEAST_PYTHON = (3, 11)


class Finding(NamedTuple):
    """One thing looked at. `fix` is a command or a sentence; empty where nothing is to do."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


def examine() -> list[Finding]:
    """Everything, in the order in which it is needed."""
    return [_linux(), _root(), _python(), *_programs(), _podman(), _runtime(), _controllers(), _overlay(), _netns()]


def missing_packages(findings: list[Finding]) -> list[str]:
    """The apt packages that the fixes name."""
    found = [match[1] for finding in findings if (match := re.match(r"apt-get install (\S+)", finding.fix))]
    return sorted(set(found))


def _linux() -> Finding:
    name = os.uname()
    return Finding(
        "Linux",
        sys.platform == "linux",
        f"{name.sysname} {name.release}",
        "" if sys.platform == "linux" else "run it on Linux",
    )


def _root() -> Finding:
    is_root = os.geteuid() == 0
    return Finding("root", is_root, "yes" if is_root else f"uid {os.geteuid()}", "" if is_root else "run it with sudo")


def _python() -> Finding:
    version = sys.version_info[:2]
    ok = version >= _LEAST_PYTHON
    return Finding("Python", ok, f"{version[0]}.{version[1]}", "" if ok else "apt-get install python3 (3.11 or later)")


def _programs() -> Iterator[Finding]:
    for program, (package, use) in _PROGRAMS.items():
        path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        yield Finding(
            program,
            path is not None,
            path or f"missing; needed for {use}",
            "" if path else f"apt-get install {package}",
        )


def _podman() -> Finding:
    said = _output("podman", "--version")
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None:
        return Finding("podman version", False, said or "podman does not run", "apt-get install podman")
    ok = (int(found[1]), int(found[2])) >= _LEAST_PODMAN
    return Finding("podman version", ok, said, "" if ok else "podman 4.0 or later is needed (Debian 12 has 4.3)")


def _runtime() -> Finding:
    name = runtime_name()
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    layout = "cgroup v2" if cgroups.is_unified() else "cgroup v1 or hybrid, where only runc works"
    return Finding("OCI runtime", path is not None, f"{name} ({layout})", "" if path else f"apt-get install {name}")


def _controllers() -> Finding:
    root = cgroups.ROOT
    if cgroups.is_unified():
        there = set((root / "cgroup.controllers").read_text().split())
    else:
        there = {path.name for path in root.iterdir()} if root.is_dir() else set()
    missing = [name for name in _NEEDED_CONTROLLERS if name not in there]
    fix = f"boot with the {', '.join(missing)} controller(s) on (cgroup_enable=memory)" if missing else ""
    return Finding("cgroup controllers", not missing, ", ".join(sorted(there)) or "none", fix)


def _overlay() -> Finding:
    fix = "modprobe overlay (and keep /var/lib on ext4 or xfs)"
    if os.geteuid() != 0:
        return Finding(
            "overlay filesystem", "overlay" in Path("/proc/filesystems").read_text(), "not tried: needs root", fix
        )
    base = "/var/lib" if Path("/var/lib").is_dir() else None
    with tempfile.TemporaryDirectory(dir=base, prefix="headstay-doctor-") as name:
        folder = Path(name)
        for part in ("upper", "work", "merged"):
            (folder / part).mkdir()
        options = f"lowerdir=/usr,upperdir={folder}/upper,workdir={folder}/work"
        said = _output("mount", "-t", "overlay", "overlay", "-o", options, str(folder / "merged"))
        ok = (folder / "merged").is_mount()
        if ok:
            _output("umount", str(folder / "merged"))
    return Finding("overlay filesystem", ok, "works over /usr" if ok else said, "" if ok else fix)


def _netns() -> Finding:
    if os.geteuid() != 0:
        ok = Path("/proc/self/ns/net").exists()
        return Finding("network namespaces", ok, "not tried: needs root", "" if ok else "a kernel with CONFIG_NET_NS")
    said = _output("unshare", "--net", "true")
    return Finding("network namespaces", not said, said or "work", "a kernel with CONFIG_NET_NS" if said else "")


def _output(*argv: str) -> str:
    """What the program says; empty when it succeeds in silence."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stdout + done.stderr).strip() or ("" if done.returncode == 0 else f"exit code {done.returncode}")

"""What podman is asked to run, and the arguments that say so. Pure."""

import json
import re
import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

LABEL = "io.headstay."
# podman lowers its own limit on processes to 32,768, and what it starts cannot ask for more than it has.
_WANTED_LIMITS = {resource.RLIMIT_NOFILE: 1_048_576, resource.RLIMIT_NPROC: 32_768}
# Variables that would change how podman itself behaves if they were in its environment.
_PODMANS_OWN = re.compile(
    r"^(PATH|HOME|TMPDIR|TERM|SHELL|XDG_.*|CONTAINERS?_.*|STORAGE_.*|LD_.*|GO[A-Z]+|.*_proxy)$", re.IGNORECASE
)


class Mount(NamedTuple):
    """`overlay` gives the container a private writable layer over `source`."""

    source: Path
    target: str
    read_only: bool = False
    overlay: bool = False


@dataclass(frozen=True)
class ContainerSpec:
    """All that podman needs to know of one container. Exactly one of `rootfs` and `image` is set."""

    name: str
    labels: Mapping[str, str]
    netns: Path
    cgroup_parent: str
    hostname: str
    log_path: Path
    rootfs: Path | None = None
    image: str = ""
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    user: str = ""
    groups: tuple[int, ...] = ()
    workdir: str = ""
    memory: int | None = None
    cpu_quota: float | None = None
    cpu_shares: int | None = None
    oom_score: int | None = None
    read_only: bool = False
    no_new_privileges: bool = True
    seccomp: bool = True
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    stdin: bool = False
    tty: bool = False


def limit_argument(kind: int) -> str:
    """min(what we want, the machine's hard limit): asking for more than that fails to start a container."""
    hard = resource.getrlimit(kind)[1]
    value = _WANTED_LIMITS[kind] if hard == resource.RLIM_INFINITY else min(hard, _WANTED_LIMITS[kind])
    return f"{value}:{value}"


def run_arguments(spec: ContainerSpec) -> tuple[list[str], dict[str, str]]:
    """`podman run`'s arguments, and the variables it takes from its own environment.

    Values travel in the environment and not as arguments, which any user of the machine can read.
    """
    by_environment = {key: value for key, value in spec.env.items() if not _PODMANS_OWN.match(key)}
    arguments = [
        "run",
        "--detach",
        f"--name={spec.name}",
        *(f"--label={LABEL}{key}={value}" for key, value in spec.labels.items()),
        f"--network=ns:{spec.netns}",
        f"--cgroup-parent={spec.cgroup_parent}",
        f"--hostname={spec.hostname}",
        "--log-driver=k8s-file",
        f"--log-opt=path={spec.log_path}",
        f"--pidfile={spec.log_path.with_suffix('.pid')}",
        f"--ulimit=nofile={limit_argument(resource.RLIMIT_NOFILE)}",
        f"--ulimit=nproc={limit_argument(resource.RLIMIT_NPROC)}",
        "--pids-limit=-1",
        "--no-hosts",
        "--passwd=false",
        "--http-proxy=false",
        "--sdnotify=ignore",
        "--systemd=false",
        *(f"--env={key}" if key in by_environment else f"--env={key}={value}" for key, value in spec.env.items()),
        *(f"--volume={mount_argument(mount)}" for mount in spec.mounts),
        *(f"--cap-add={capability}" for capability in spec.add_capabilities),
        *(f"--cap-drop={capability}" for capability in spec.drop_capabilities),
        *(f"--group-add={group}" for group in spec.groups),
    ]
    optional: list[tuple[object, str]] = [
        (spec.user, f"--user={spec.user}"),
        (spec.workdir, f"--workdir={spec.workdir}"),
        (spec.memory, f"--memory={spec.memory}b"),
        (spec.cpu_quota, f"--cpus={spec.cpu_quota}"),
        (spec.cpu_shares, f"--cpu-shares={spec.cpu_shares}"),
        (spec.oom_score, f"--oom-score-adj={spec.oom_score}"),
        (spec.read_only, "--read-only"),
        (spec.read_only, "--read-only-tmpfs=false"),
        (spec.no_new_privileges, "--security-opt=no-new-privileges"),
        (not spec.seccomp, "--security-opt=seccomp=unconfined"),
        (spec.stdin, "--interactive"),
        (spec.tty, "--tty"),
    ]
    arguments += [argument for wanted, argument in optional if wanted]
    if spec.rootfs is not None:
        return [*arguments, "--rootfs", f"{spec.rootfs}:O", *(spec.entrypoint or ()), *spec.command], by_environment
    if spec.entrypoint is not None:
        arguments.append(f"--entrypoint={json.dumps(list(spec.entrypoint))}")
    return [*arguments, "--pull=never", spec.image, *spec.command], by_environment


def mount_argument(mount: Mount) -> str:
    """Raises ValueError for a path that podman's syntax cannot say."""
    if ":" in f"{mount.source}{mount.target}":
        raise ValueError(f"a colon in a mount path is not supported: {mount.source} on {mount.target}")
    option = "O" if mount.overlay else "ro" if mount.read_only else "rw"
    return f"{mount.source}:{mount.target}:{option}"

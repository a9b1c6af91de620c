"""From a container of a Pod to what podman is asked to run. Pure, but for the paths it names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from headstay.local.node.containerspec import ContainerSpec, Mount
from headstay.local.node.environ import ConfigError, expand
from headstay.local.node.images import Image
from headstay.local.node.podspec import PodDocument, memory_bytes, quality_of_service, resource_amount
from headstay.model.objects import Obj, dig

TERMINATION_LOG = "/dev/termination-log"
_SHARES_A_CORE = 1024
_LEAST_SHARES = 2


class Place(NamedTuple):
    """Where on this machine a container goes."""

    instance: str
    netns: Path
    cgroup_parent: str
    directory: Path
    attempt: int
    node_memory: float


@dataclass(frozen=True)
class Identity:
    uid: int | None
    gid: int | None
    groups: tuple[int, ...]


def container_name(instance: str, uid: str, container: str, attempt: int) -> str:
    return f"{instance}-{uid}-{container}-{attempt}"


def log_path(pod_directory: Path, container: str, attempt: int) -> Path:
    return pod_directory / "logs" / container / f"{attempt}.log"


def termination_path(pod_directory: Path, container: str, attempt: int) -> Path:
    return pod_directory / "logs" / container / f"{attempt}.termination"


def build(
    pod: PodDocument,
    container: Obj,
    image: Image,
    place: Place,
    *,
    env: Mapping[str, str],
    mounts: Sequence[Mount],
) -> ContainerSpec:
    """Raises ConfigError for what cannot be."""
    meta, name = pod.metadata, container["name"]
    security = _security(pod, container)
    who = identity(security, image)
    everything = dict(image.env) | dict(env) | {"HOSTNAME": pod.hostname}
    own = Mount(
        termination_path(place.directory, name, place.attempt),
        container.get("terminationMessagePath") or TERMINATION_LOG,
    )
    entrypoint, command = command_of(container, image, everything)
    limit, request = resource_amount(container, "limits", "cpu"), resource_amount(container, "requests", "cpu")
    return ContainerSpec(
        name=container_name(place.instance, meta.uid, name, place.attempt),
        labels={
            "pod-uid": meta.uid,
            "pod": meta.name,
            "namespace": meta.namespace,
            "container": name,
            "attempt": str(place.attempt),
            "image-id": image.id,
        },
        netns=place.netns,
        cgroup_parent=place.cgroup_parent,
        hostname=pod.hostname,
        log_path=log_path(place.directory, name, place.attempt),
        rootfs=image.root,
        image="" if image.root else image.id.removeprefix("sha256:"),
        entrypoint=entrypoint,
        command=command,
        env=everything,
        mounts=_unique((*image.mounts, *mounts, own)),
        user=_user_argument(who, image),
        groups=who.groups,
        workdir=container.get("workingDir") or (image.workdir if image.root else ""),
        memory=memory_bytes(container, "limits"),
        cpu_quota=limit or None,
        cpu_shares=_shares(limit if request is None else request),
        oom_score=_oom_score(pod, container, place.node_memory),
        read_only=bool(security.get("readOnlyRootFilesystem")),
        seccomp=dig(security, "seccompProfile", "type") != "Unconfined",
        add_capabilities=tuple(dig(security, "capabilities", "add") or ()),
        drop_capabilities=tuple(dig(security, "capabilities", "drop") or ()),
        stdin=bool(container.get("stdin")),
        tty=bool(container.get("tty")),
    )


def command_of(container: Obj, image: Image, env: Mapping[str, str]) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """(entrypoint, command) by Kubernetes' rules: `command` replaces both of the image's, `args` its command."""
    command = tuple(expand(word, env) for word in container.get("command") or [])
    args = tuple(expand(word, env) for word in container.get("args") or [])
    if command:
        return command, args
    entrypoint = image.entrypoint if image.root else None
    chosen = args or (image.command if image.root else ())
    if image.root and not (entrypoint or chosen):
        raise ConfigError(f"no command specified, and image {image.reference} has none")
    return entrypoint, chosen


def _security(pod: PodDocument, container: Obj) -> dict[str, Any]:
    """The container's own over the Pod's."""
    own = {key: value for key, value in (container.get("securityContext") or {}).items() if value is not None}
    return dict(pod.spec.get("securityContext") or {}) | own


def identity(security: Mapping[str, Any], image: Image) -> Identity:
    uid, gid = security.get("runAsUser"), security.get("runAsGroup")
    runs_as = image.user.uid if uid is None else uid
    if security.get("runAsNonRoot") and runs_as == 0:
        raise ConfigError("container has runAsNonRoot and image will run as root")
    groups = [*(security.get("supplementalGroups") or [])]
    groups += [security["fsGroup"]] if security.get("fsGroup") is not None else []
    return Identity(uid, gid, tuple(dict.fromkeys(groups)))


def _user_argument(who: Identity, image: Image) -> str:
    if image.root is None and who.uid is None:
        return ""
    uid = image.user.uid if who.uid is None else who.uid
    gid = (image.user.gid if who.uid in (None, image.user.uid) else 0) if who.gid is None else who.gid
    return f"{uid}:{gid}"


def _shares(cores: float | None) -> int:
    return _LEAST_SHARES if not cores else max(_LEAST_SHARES, int(cores * _SHARES_A_CORE))


def _oom_score(pod: PodDocument, container: Obj, node_memory: float) -> int | None:
    """As the kubelet's, where it is above zero: a lower score needs a capability that containers' hosts may lack."""
    match quality_of_service(pod):
        case "BestEffort":
            return 1000
        case "Guaranteed":
            return None
    request = memory_bytes(container, "requests") or memory_bytes(container, "limits") or 0
    return min(999, max(2, 1000 - int(1000 * request / node_memory)))


def _unique(mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """One mount a target; the later one, which is the user's, wins."""
    return tuple({mount.target.rstrip("/") or "/": mount for mount in mounts}.values())

"""Starting one container: image, configuration, podman, postStart hook. Each failure has the kubelet's own name.

ErrImagePull, ImagePullBackOff, ErrImageNeverPull   the image
CreateContainerConfigError                          what its configuration refers to
StartError                                          podman or the runtime refused
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from headstay.local.node import build, environ, sandbox
from headstay.local.node.containerspec import ContainerSpec
from headstay.local.node.context import Context
from headstay.local.node.environ import ConfigError
from headstay.local.node.events import EventType, pod_subject
from headstay.local.node.images import Image, ImageError
from headstay.local.node.podspec import PodDocument
from headstay.local.node.records import ContainerRecord
from headstay.local.node.volumes import mounts_of
from headstay.model.objects import Obj


class StartError(Exception):
    """The container cannot be started now. `reason` is what `kubectl get pods` shows; it will be tried again."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Sandbox(NamedTuple):
    """What the Pod's containers share."""

    address: str
    netns: Path
    volumes: Mapping[str, Path]


class Teller:
    """Events about one container."""

    def __init__(self, context: Context, pod: PodDocument, container: Obj) -> None:
        self._events = context.events
        init = any(one["name"] == container["name"] for one in pod.init_containers)
        self._subject = pod_subject(pod.metadata, container["name"], init=init)

    def __call__(self, kind: EventType, reason: str, message: str) -> None:
        self._events.say(self._subject, kind, reason, message)


def pull_policy(container: Obj) -> str:
    """As given; else Always for `:latest` or no tag, IfNotPresent otherwise."""
    if policy := container.get("imagePullPolicy"):
        return str(policy)
    reference = (container.get("image") or "").partition("@")
    tag = reference[0].rpartition("/")[2].partition(":")[2]
    return "Always" if tag in {"", "latest"} and not reference[2] else "IfNotPresent"


async def obtain_image(context: Context, pod: PodDocument, container: Obj, tell: Teller) -> Image:
    """The image, found or fetched. An image that is made on this machine is the same however often it is pulled."""
    reference = container.get("image") or ""
    try:
        found = await context.images.find(reference)
        policy = pull_policy(container)
        if found is None and policy == "Never":
            message = f'Container image "{reference}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", message)
            raise StartError("ErrImageNeverPull", message)
        if found is not None and (found.root is not None or policy != "Always"):
            tell("Normal", "Pulled", f'Container image "{reference}" already present on machine')
        else:
            found = await _pull(context, reference, tell, present=found, auth=await _credentials(context, pod))
    except ImageError as error:
        tell("Warning", "Failed", f'Failed to pull image "{reference}": {error}')
        tell("Warning", "Failed", "Error: ErrImagePull")
        raise StartError("ErrImagePull", str(error)) from error
    if found.note:
        tell("Normal", "ImageDiffers", found.note)
    return found


async def _credentials(context: Context, pod: PodDocument) -> bytes:
    """The Pod's imagePullSecrets as one docker config.json; a Secret that is not there is left out, as usual."""
    auths: dict[str, object] = {}
    for reference in pod.spec.get("imagePullSecrets") or []:
        secret = await context.objects.secret(pod.metadata.namespace, reference.get("name") or "")
        auths |= registry_auths(secret or {})
    return msgspec.json.encode({"auths": auths}) if auths else b""


def registry_auths(secret: Mapping[str, bytes]) -> dict[str, object]:
    """What a Secret of type kubernetes.io/dockerconfigjson (or the older dockercfg) holds."""
    try:
        if text := secret.get(".dockerconfigjson"):
            return dict(msgspec.json.decode(text, type=dict[str, dict[str, object]]).get("auths") or {})
        return msgspec.json.decode(secret.get(".dockercfg") or b"{}", type=dict[str, object])
    except msgspec.MsgspecError:
        return {}


async def _pull(context: Context, reference: str, tell: Teller, *, present: Image | None, auth: bytes) -> Image:
    tell("Normal", "Pulling", f'Pulling image "{reference}"')
    loop = asyncio.get_running_loop()
    began = loop.time()

    def progress(text: str) -> None:
        tell("Normal", "Pulling", f'Pulling image "{reference}": {text}')

    try:
        image = await context.images.pull(reference, progress, auth)
    except ImageError:
        if present is None:
            raise
        return present  # `Always` with the registry out of reach: what is here will do
    tell("Normal", "Pulled", f'Successfully pulled image "{reference}" in {loop.time() - began:.3f}s')
    return image


async def configure(
    context: Context, pod: PodDocument, container: Obj, *, image: Image, shared: Sandbox, attempt: int
) -> ContainerSpec:
    """All that podman has to know. Raises StartError naming what is missing."""
    directory = context.checkpoints.directory(pod.metadata.uid)
    place = build.Place(
        instance=context.config.instance,
        netns=shared.netns,
        cgroup_parent=f"{context.config.cgroup_parent}/pod{pod.metadata.uid}/{container['name']}",
        directory=directory,
        attempt=attempt,
        node_memory=context.capacity["memory"],
    )
    links = pod.spec.get("enableServiceLinks") is not False
    base = environ.service_variables(pod.metadata.namespace, [_api_service(context), *context.services()], links=links)
    addresses = {"podIP": shared.address, "hostIP": str(context.host_address)}  # the API may not have them yet
    known = msgspec.structs.replace(pod, status=pod.status | addresses)
    try:
        env = await environ.resolve(known, container, base, context.objects, context.capacity)
        mounts = [*sandbox.mounts(directory / "etc"), *mounts_of(pod, container, shared.volumes, env)]
        return build.build(pod, container, image, place, env=env, mounts=mounts)
    except ConfigError as error:
        raise StartError("CreateContainerConfigError", str(error)) from error


def _api_service(context: Context) -> Obj:
    """`kubernetes.default.svc` as it will be: a Pod can be faster than the controller that makes it."""
    ports = [{"name": "https", "port": 443, "protocol": "TCP"}]
    address = str(context.config.api_service_address)
    return {"metadata": {"name": "kubernetes", "namespace": "default"}, "spec": {"clusterIP": address, "ports": ports}}


def prepare_files(spec: ContainerSpec, known: ContainerRecord) -> None:
    """The log's directory and the empty termination message; logs of attempts before the last one go."""
    spec.log_path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    message = spec.log_path.with_suffix(".termination")
    message.write_text("")
    message.chmod(0o666)
    for old in spec.log_path.parent.iterdir():
        number = old.name.partition(".")[0]
        if number.isdigit() and int(number) < known.restarts - 1:
            old.unlink(missing_ok=True)

"""What every Pod worker of this node shares."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address

from headstay.local.config import LocalConfig
from headstay.local.node.engine import Engine
from headstay.local.node.environ import Source
from headstay.local.node.events import Events
from headstay.local.node.images import ImageStore
from headstay.local.node.records import Checkpoints
from headstay.local.node.volumes import Volumes
from headstay.local.seams import PodNetwork
from headstay.model.objects import Obj
from headstay.runtime.client import Client


@dataclass(frozen=True)
class Context:
    config: LocalConfig
    client: Client
    engine: Engine
    images: ImageStore
    network: PodNetwork
    volumes: Volumes
    objects: Source
    services: Callable[[], Iterable[Obj]]
    events: Events
    checkpoints: Checkpoints
    clock: Callable[[], datetime]
    host_address: IPv4Address
    capacity: Mapping[str, float]

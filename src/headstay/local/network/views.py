"""What the network reads of Services and EndpointSlices."""

import msgspec

from headstay.model.meta import ObjectMeta, View

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class ServicePort(View):
    name: str = ""
    protocol: str = "TCP"
    port: int = 0
    node_port: int = 0
    target_port: int | str | None = None


class ServiceSpec(View):
    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    external_name: str = ""
    selector: dict[str, str] | None = None
    ports: list[ServicePort] = msgspec.field(default_factory=list)
    session_affinity: str = "None"
    publish_not_ready_addresses: bool = False


class Service(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: ServiceSpec = msgspec.field(default_factory=ServiceSpec)

    @property
    def headless(self) -> bool:
        return self.spec.cluster_ip == "None"


class EndpointConditions(View):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class TargetReference(View):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""


class Endpoint(View):
    addresses: list[str] = msgspec.field(default_factory=list)
    conditions: EndpointConditions = msgspec.field(default_factory=EndpointConditions)
    hostname: str = ""
    node_name: str = ""
    target_ref: TargetReference | None = None

    @property
    def ready(self) -> bool:
        """Unknown counts as ready, as the API says."""
        return self.conditions.ready is not False

    @property
    def serving_last(self) -> bool:
        """Terminating but still able to answer: used when nothing is ready."""
        return self.conditions.serving is True and self.conditions.terminating is True


class EndpointPort(View):
    name: str = ""
    protocol: str = "TCP"
    port: int | None = None


class EndpointSlice(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    address_type: str = "IPv4"
    endpoints: list[Endpoint] | None = None
    ports: list[EndpointPort] | None = None
    # Both may be null on the wire.

    @property
    def service_name(self) -> str:
        return self.metadata.labels.get(SERVICE_NAME_LABEL, "")


class PublishedPort(View):
    container_port: int = 0
    host_port: int = 0
    protocol: str = "TCP"


class PublishingContainer(View):
    ports: list[PublishedPort] | None = None


class PublishingSpec(View):
    host_network: bool = False
    containers: list[PublishingContainer] = msgspec.field(default_factory=list)


class PublishingStatus(View):
    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")


class PublishingPod(View):
    """A Pod, seen by the ports it publishes on its node."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: PublishingSpec = msgspec.field(default_factory=PublishingSpec)
    status: PublishingStatus = msgspec.field(default_factory=PublishingStatus)

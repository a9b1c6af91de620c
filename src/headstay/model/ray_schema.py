"""The structural schema of a RayCluster, said once in Python; `config/crd/` is its rendering.

Invariant: a manifest that KubeRay 1.0 to 1.7 accepts is accepted unchanged, and nothing in it is pruned. So the
schema says no more than KubeRay 1.7's own does, and every embedded Kubernetes type (Pod templates, Services, env,
resources) keeps unknown fields: what a newer Kubernetes adds there survives our version.
Every other rule is checked in the loop, where it can never trap an object that is already stored.
"""

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

MAX_INT32 = 2147483647
MANAGERS = ("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue")


def text(description: str = "", **more: Any) -> Schema:
    return _node("string", description, more)


def integer(description: str = "", *, bits: int = 32, **more: Any) -> Schema:
    return _node("integer", description, {"format": f"int{bits}"} | more)


def boolean(description: str = "", **more: Any) -> Schema:
    return _node("boolean", description, more)


def moment(description: str = "", **more: Any) -> Schema:
    return _node("string", description, {"format": "date-time"} | more)


def quantity(description: str = "") -> Schema:
    return _node(
        "", description, {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
    )


def mapping(description: str = "", values: Schema | None = None) -> Schema:
    return _node("object", description, {"additionalProperties": values or {"type": "string"}})


def array(items: Schema, description: str = "", **more: Any) -> Schema:
    return _node("array", description, {"items": items} | more)


def fields(properties: dict[str, Schema], description: str = "", *, required: tuple[str, ...] = ()) -> Schema:
    more: Schema = {"properties": properties}
    if required:
        more["required"] = list(required)
    return _node("object", description, more)


def embedded(description: str, kubernetes_type: str) -> Schema:
    """A Kubernetes type that is kept as it was written; the API server checks it when the child is made."""
    return _node("object", f"{description} ({kubernetes_type})", {"x-kubernetes-preserve-unknown-fields": True})


def embedded_list(description: str, kubernetes_type: str) -> Schema:
    item = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return array(item, f"{description} (list of {kubernetes_type})")


def _node(kind: str, description: str, more: Schema) -> Schema:
    head: Schema = {"description": description} if description else {}
    return head | ({"type": kind} if kind else {}) | more


def managed_by() -> Schema:
    return text(
        "Who reconciles this object: ray.io/kuberay-operator (also when unset) or kueue.x-k8s.io/multikueue. With the "
        "latter the operator leaves the object alone. Immutable.",
        **{
            "x-kubernetes-validations": [
                {"message": "the managedBy field is immutable", "rule": "self == oldSelf"},
                {
                    "message": f"the managedBy field value must be either '{MANAGERS[0]}' or '{MANAGERS[1]}'",
                    "rule": f"self in ['{MANAGERS[0]}', '{MANAGERS[1]}']",
                },
            ]
        },
    )


def _ray_start_params(of: str) -> Schema:
    return mapping(
        f"Flags of `ray start` on {of}, without the leading dashes: num-cpus, resources, object-store-memory, ... "
        "A value may name an environment variable of the container, as in $REDIS_PASSWORD."
    )


def _credential(description: str) -> Schema:
    return fields(
        {
            "value": text(
                "The value itself. Prefer valueFrom: this one is readable by whoever may read the RayCluster."
            ),
            "valueFrom": embedded("Where the value comes from, for example a secretKeyRef", "EnvVarSource"),
        },
        description,
    )


def gcs_fault_tolerance_options() -> Schema:
    storage = fields(
        {
            "claimName": text(
                "An existing PersistentVolumeClaim to use; excludes size, storageClassName, accessModes."
            ),
            "size": quantity("Size of the claim the operator makes. 1Gi when unset."),
            "storageClassName": text("Storage class of the claim the operator makes."),
            "accessModes": array(text(), "Access modes of the claim the operator makes. [ReadWriteOnce] when unset."),
            "subPath": text("Directory within the volume."),
            "deletionPolicy": text(
                "What becomes of the claim with the RayCluster: DeleteWithCluster (also when unset) or Retain.",
                enum=["DeleteWithCluster", "Retain"],
            ),
        },
        "Volume of the rocksdb backend; not allowed with redis.",
    )
    return fields(
        {
            "backend": text(
                "Where the GCS keeps its tables: redis (also when unset) or rocksdb. Immutable once set.",
                enum=["redis", "rocksdb"],
                **{
                    "x-kubernetes-validations": [
                        {"message": "the backend field is immutable", "rule": "self == oldSelf"}
                    ]
                },
            ),
            "redisAddress": text(
                "Address of Redis as the head Pod resolves it: host:port, redis://host:port, rediss://host:port, or "
                "several of these separated by commas."
            ),
            "redisUsername": _credential("User name for Redis (Ray 2.41 or later)."),
            "redisPassword": _credential("Password for Redis."),
            "externalStorageNamespace": text(
                "Prefix of this cluster's keys in Redis. The RayCluster's UID when unset, which is right in most cases."
            ),
            "storage": storage,
        },
        "Keeps the GCS's tables outside the head Pod, so that the cluster outlives its head. An empty object is "
        "enough to switch GCS fault tolerance on.",
    )


def autoscaler_options() -> Schema:
    return fields(
        {
            "resources": embedded(
                "Resources of the autoscaler container; 500m CPU and 512Mi when unset", "ResourceRequirements"
            ),
            "image": text("Image of the autoscaler container; the head's Ray image when unset."),
            "imagePullPolicy": text("Pull policy of the autoscaler container."),
            "securityContext": embedded("Security context of the autoscaler container", "SecurityContext"),
            "idleTimeoutSeconds": integer("Seconds before an idle worker is removed. 60 when unset."),
            "upscalingMode": text(
                "Conservative limits pending workers to the cluster's size; Default and Aggressive do not limit them.",
                enum=["Default", "Aggressive", "Conservative"],
            ),
            "version": text("Version of Ray's autoscaler.", enum=["v1", "v2"]),
            "env": embedded_list("Environment of the autoscaler container", "EnvVar"),
            "envFrom": embedded_list("Sources of the autoscaler container's environment", "EnvFromSource"),
            "volumeMounts": embedded_list("Volume mounts of the autoscaler container", "VolumeMount"),
            "command": array(text(), "Command of the autoscaler container."),
            "args": array(text(), "Arguments of the autoscaler container."),
        },
        "Settings of Ray's in-tree autoscaler.",
    )


def _network_rules(of: str) -> Schema:
    return fields(
        {
            "ingressRules": embedded_list(f"Extra ingress allowed to {of}", "NetworkPolicyIngressRule"),
            "egressRules": embedded_list(f"Extra egress allowed from {of}", "NetworkPolicyEgressRule"),
        },
        f"Exceptions for {of}.",
    )


def network_policy() -> Schema:
    group = _network_rules("one worker group")
    group["properties"] = {"groupName": text("Name of the worker group.")} | group["properties"]
    group["required"] = ["groupName"]
    return fields(
        {
            "mode": text(
                "What is denied unless a rule allows it. DenyAll when unset.",
                enum=["DenyAll", "DenyAllIngress", "DenyAllEgress"],
            ),
            "head": _network_rules("the head"),
            "worker": _network_rules("all workers"),
            "workerGroups": array(
                group,
                "Exceptions for single worker groups; they replace those of `worker`.",
                **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["groupName"]},
            ),
        },
        "Network policies between this cluster and the rest.",
    )


def _ingress_options() -> Schema:
    return fields(
        {
            "host": text("Host name of the Ingress rule."),
            "path": text("Path of the Ingress rule. / when unset."),
            "pathType": text("How the path is matched.", enum=["Exact", "Prefix", "ImplementationSpecific"]),
            "tls": embedded_list("TLS of the Ingress", "IngressTLS"),
        },
        "Details of the Ingress made when enableIngress is true.",
    )


def _head_group() -> Schema:
    return fields(
        {
            "template": embedded("Template of the head Pod; its first container runs Ray", "PodTemplateSpec"),
            "headService": embedded("Base of the head Service; the operator adds selector and ports", "Service"),
            "enableIngress": boolean("Whether to make an Ingress to the dashboard."),
            "ingressOptions": _ingress_options(),
            "resources": mapping(
                "Ray resources of the head; replaces what rayStartParams and the container say.", quantity()
            ),
            "labels": mapping("Ray node labels of the head, also set on its Pod."),
            "rayStartParams": _ray_start_params("the head"),
            "serviceType": text("Type of the head Service."),
        },
        "The head: one Pod with the GCS, the dashboard and, by default, a raylet.",
        required=("template",),
    )


def _worker_group() -> Schema:
    return fields(
        {
            "groupName": text("Name of the group, part of its Pods' names."),
            "template": embedded("Template of the group's Pods; its first container runs Ray", "PodTemplateSpec"),
            "replicas": integer("Number of replicas wanted, kept between minReplicas and maxReplicas.", default=0),
            "minReplicas": integer("Lowest number of replicas.", default=0),
            "maxReplicas": integer("Highest number of replicas.", default=MAX_INT32),
            "numOfHosts": integer("Number of Pods in one replica.", default=1),
            "idleTimeoutSeconds": integer("Seconds before an idle worker of this group is removed (autoscaler v2)."),
            "priority": integer("Which group the autoscaler prefers; higher first (Ray 2.56 or later).", default=0),
            "resources": mapping(
                "Ray resources of each worker; replaces what rayStartParams and the container say.", quantity()
            ),
            "labels": mapping("Ray node labels of the group, also set on its Pods."),
            "rayStartParams": _ray_start_params("the group's workers"),
            "scaleStrategy": fields(
                {
                    "workersToDelete": array(text(), "Names of worker Pods to delete."),
                    "multihostReplicasToDelete": array(text(), "Names of multi-host replicas to delete."),
                },
                "Which workers go first.",
            ),
            "suspend": boolean("Whether the group's Pods are removed; set by a RayJob's deletion strategy."),
        },
        "A group of equal workers.",
        required=("groupName", "template"),
    )


def raycluster_spec() -> Schema:
    return fields(
        {
            "headGroupSpec": _head_group(),
            "workerGroupSpecs": array(_worker_group(), "Groups of workers."),
            "rayVersion": text("Version of Ray in the images, such as 2.60.0. Probes and some checks depend on it."),
            "gcsFaultToleranceOptions": gcs_fault_tolerance_options(),
            "suspend": boolean("True deletes all Pods of the cluster and keeps everything else."),
            "managedBy": managed_by(),
            "upgradeStrategy": fields(
                {
                    "type": text(
                        "Recreate replaces all Pods when the spec changes; None does not.", enum=["Recreate", "None"]
                    )
                },
                "What happens to running Pods when the spec changes.",
            ),
            "enableInTreeAutoscaling": boolean("Whether Ray's autoscaler runs beside the head."),
            "autoscalerOptions": autoscaler_options(),
            "headServiceAnnotations": mapping("Annotations of the head Service."),
            "authOptions": fields(
                {
                    "mode": text("Authentication between Ray processes.", enum=["disabled", "token"]),
                    "secretName": text("Secret that holds the token under the key auth_token."),
                    "enableK8sTokenAuth": boolean("Whether Kubernetes checks the tokens."),
                },
                "Token authentication (Ray 2.52 or later).",
            ),
            "historyServerOptions": fields(
                {
                    "collectorOptions": fields(
                        {
                            "image": text("Image of the collector."),
                            "imagePullPolicy": text("Pull policy of the collector."),
                            "resources": embedded("Resources of the collector", "ResourceRequirements"),
                            "env": embedded_list("Environment of the collector", "EnvVar"),
                        },
                        "The collector sidecar.",
                    )
                },
                "Collection of events for the history server.",
            ),
            "networkPolicy": network_policy(),
            "tlsOptions": fields({"enabled": boolean("Whether Ray nodes speak mutual TLS.")}, "TLS between Ray nodes."),
        },
        "What the cluster should be.",
        required=("headGroupSpec",),
    )


def conditions(description: str = "What the operator last found out, one entry a type.") -> Schema:
    entry = fields(
        {
            "type": text(
                maxLength=316,
                pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
            ),
            "status": text(enum=["True", "False", "Unknown"]),
            "reason": text(
                "One word for programs.",
                minLength=1,
                maxLength=1024,
                pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            ),
            "message": text("A sentence for people.", maxLength=32768),
            "lastTransitionTime": moment("When the status last changed."),
            "observedGeneration": integer("The metadata.generation this was found for.", bits=64, minimum=0),
        },
        required=("lastTransitionTime", "reason", "status", "type"),
    )
    return array(entry, description, **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]})


def raycluster_status() -> Schema:
    return fields(
        {
            "state": text("ready or suspended; conditions say more."),
            "reason": text("Why the state is what it is."),
            "conditions": conditions(),
            "desiredWorkerReplicas": integer("Number of worker Pods wanted."),
            "availableWorkerReplicas": integer("Number of worker Pods running."),
            "readyWorkerReplicas": integer("Number of worker Pods running and ready."),
            "minWorkerReplicas": integer("Lowest number of worker Pods."),
            "maxWorkerReplicas": integer("Highest number of worker Pods."),
            "desiredCPU": quantity("CPUs of all Pods wanted."),
            "desiredMemory": quantity("Memory of all Pods wanted."),
            "desiredGPU": quantity("GPUs of all Pods wanted."),
            "desiredTPU": quantity("TPUs of all Pods wanted."),
            "head": fields(
                {
                    "podIP": text("Address of the head Pod."),
                    "podName": text("Name of the head Pod."),
                    "serviceIP": text("Address of the head Service; the Pod's own when that Service is headless."),
                    "serviceName": text("Name of the head Service."),
                },
                "Where the head is.",
            ),
            "endpoints": mapping("Ports of the head Service by name."),
            "lastUpdateTime": moment("When this status was last written.", nullable=True),
            "stateTransitionTimes": mapping("When the cluster last entered each state.", moment(nullable=True)),
            "observedGeneration": integer("The metadata.generation this status was computed for.", bits=64),
        },
        "What the operator last saw of the cluster.",
    )

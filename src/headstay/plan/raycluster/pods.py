"""The head Pod and the worker Pods of a RayCluster.

A Pod is the user's template, copied whole, with the listed additions; fields this version has never heard of stay.
The order of environment variables is KubeRay's, since `$(NAME)` references only see what comes before.
"""

from copy import deepcopy

from headstay.model.objects import Obj
from headstay.model.ray import (
    APP_NAME,
    APPLICATION,
    CLUSTER,
    COMPONENT,
    CREATED_BY,
    ENV_AUTOSCALER_V2,
    GROUP_NAME,
    HEAD,
    HEAD_GROUP,
    IDENTIFIER,
    IS_RAY_NODE,
    JOB_SUBMISSION_MODE,
    METRICS_PORT,
    NODE_TYPE,
    OPERATOR_VERSION,
    OVERWRITE_CONTAINER_CMD,
    RECREATE_HASH,
    REPLICA_INDEX,
    SERVE,
    WORKER,
    RayCluster,
    env_entry,
    head_port,
    start_params,
    template_of,
)
from headstay.model.ray_names import head_fqdn, head_pod_prefix, identifier, worker_pod_prefix
from headstay.plan.raycluster.containers import (
    add_empty_dir,
    add_env,
    add_env_entry,
    add_env_from_field,
    add_missing_env,
    add_missing_port,
    add_sidecars,
)
from headstay.plan.raycluster.fault_tolerance import protect_head, protect_worker
from headstay.plan.raycluster.head_names import next_head_letters
from headstay.plan.raycluster.identity import STORAGE_LABEL, storage_identity
from headstay.plan.raycluster.in_place import gcs_host, gcs_recovery, reconnect_quickly, supervise_gcs
from headstay.plan.raycluster.probes import add_probes
from headstay.plan.raycluster.ray_start import complete_params, install_command, ray_start_command
from headstay.plan.raycluster.recreate import recreates, spec_hash
from headstay.plan.raycluster.settings import Settings

_PROTECTED_LABELS = frozenset({NODE_TYPE, GROUP_NAME, CLUSTER})
_WAIT_RESOURCES = {"cpu": "200m", "memory": "256Mi"}
_TROUBLESHOOTING = "https://docs.ray.io/en/master/cluster/kubernetes/troubleshooting.html"


def head_pod(cluster: RayCluster, settings: Settings) -> Obj:
    """The Pod to create. `generateName` stays, as the API server would leave it."""
    pod = head_pod_base(cluster, settings)
    metadata = pod["metadata"]
    if not metadata.get("name"):
        metadata["name"] = metadata["generateName"] + next_head_letters(cluster)
    annotations = metadata["annotations"]
    annotations[RECREATE_HASH] = spec_hash(cluster)
    annotations[OPERATOR_VERSION] = settings.version
    return pod


def head_pod_base(cluster: RayCluster, settings: Settings) -> Obj:
    """The head Pod without the marks of its making: what the cleanup Job's Pod is cut from."""
    group = cluster.head_group
    pod = _pod_from(cluster, group, settings, node_type=HEAD, group_name=HEAD_GROUP)
    prefix = head_pod_prefix(cluster.name)
    if settings.deterministic_head_pod_name:
        pod["metadata"]["name"] = prefix.removesuffix("-")
    elif not pod["metadata"].get("name"):
        pod["metadata"]["generateName"] = prefix
    if cluster.metadata.labels.get(JOB_SUBMISSION_MODE) == "SidecarMode":
        pod["spec"]["restartPolicy"] = "Never"  # the submitter beside Ray must run once
    params = start_params(group)
    complete_params(params, group)
    params.setdefault("dashboard-host", "0.0.0.0")
    container = pod["spec"]["containers"][0]
    if cluster.autoscaling:
        params["no-monitor"] = "true"
        if cluster.autoscaler_version:
            add_env(container, ENV_AUTOSCALER_V2, "true" if cluster.autoscaler_version == "v2" else "false")
    protect_head(cluster, pod["metadata"]["annotations"], container, params)
    identity = storage_identity(cluster, settings.cluster_domain)
    if identity is not None:
        pod["metadata"]["labels"][STORAGE_LABEL] = identity.label
    _finish(cluster, settings, pod, params, head=True)
    return pod


def worker_pod(cluster: RayCluster, group: Obj, settings: Settings, *, replica_index: int) -> Obj:
    pod = _pod_from(cluster, group, settings, node_type=WORKER, group_name=group["groupName"])
    metadata = pod["metadata"]
    metadata.pop("name", None)  # one name cannot serve several replicas
    metadata["generateName"] = worker_pod_prefix(cluster.name, group["groupName"])
    metadata["labels"][REPLICA_INDEX] = str(replica_index)
    container = pod["spec"]["containers"][0]
    address = f"{gcs_host(cluster, settings)}:{head_port(cluster)}"
    if settings.init_container_injection:
        # Copied before anything of ours is in the environment: TLS settings are the user's own.
        init = pod["spec"].get("initContainers") or []
        pod["spec"]["initContainers"] = [*init, _wait_for_gcs(container, address, settings)]
    params = start_params(group)
    complete_params(params, group)
    params.setdefault("address", address)
    protect_worker(cluster, container)
    _finish(cluster, settings, pod, params, head=False)
    if recreates(cluster):
        # KubeRay marks the head alone. A worker of the old spec beside a head of the new one would never be found.
        metadata["annotations"] |= {RECREATE_HASH: spec_hash(cluster), OPERATOR_VERSION: settings.version}
    return pod


def _pod_from(cluster: RayCluster, group: Obj, settings: Settings, *, node_type: str, group_name: str) -> Obj:
    template = deepcopy(template_of(group))
    metadata = template.get("metadata") or {}
    spec = template.get("spec") or {}
    metadata["namespace"] = cluster.namespace
    labels = _labels(cluster, group, metadata.get("labels") or {}, node_type, group_name)
    metadata["labels"] = {**settings.pod_labels, **labels}
    metadata["annotations"] = {**settings.pod_annotations, **(metadata.get("annotations") or {})}
    if cluster.annotations.get(OVERWRITE_CONTAINER_CMD, "").lower() == "true":
        metadata["annotations"][OVERWRITE_CONTAINER_CMD] = "true"
    metadata["ownerReferences"] = [cluster.owner_reference()]
    if cluster.autoscaling and cluster.autoscaler_version == "v2":
        # The autoscaler counts instances: a container that restarts in place would be one it does not know.
        spec["restartPolicy"] = "Never"
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _labels(
    cluster: RayCluster, group: Obj, written: dict[str, str], node_type: str, group_name: str
) -> dict[str, str]:
    labels = {
        IS_RAY_NODE: "yes",
        CLUSTER: cluster.name,
        NODE_TYPE: node_type,
        GROUP_NAME: group_name,
        IDENTIFIER: identifier(cluster.name, node_type),
        APP_NAME: APPLICATION,
        CREATED_BY: COMPONENT,
    }
    chosen = written | (group.get("labels") or {})
    labels |= {key: value for key, value in chosen.items() if key not in _PROTECTED_LABELS}
    if cluster.creator == "RayService":
        labels[SERVE] = "false" if node_type == HEAD else "true"
    return labels


def _wait_for_gcs(container: Obj, address: str, settings: Settings) -> Obj:
    """An init container that ends when the GCS answers: a worker started earlier would give up and crash."""
    script = f"""
SECONDS=0
while true; do
  if (( SECONDS <= 120 )); then
    ray health-check --address {address} > /dev/null 2>&1 && break
    echo "Waiting for the GCS at {address} ($SECONDS s)"
  else
    ray health-check --address {address} && break
    echo "Still waiting for the GCS at {address} ($SECONDS s); see {_TROUBLESHOOTING}"
  fi
  sleep 5
done
echo "The GCS is ready."
""".strip()
    waiting: Obj = {
        "name": "wait-gcs-ready",
        "command": _shell(settings),
        "args": [script],
        "resources": {"requests": dict(_WAIT_RESOURCES), "limits": dict(_WAIT_RESOURCES)},
    }
    for field in ("image", "imagePullPolicy", "securityContext", "env", "volumeMounts"):
        if container.get(field) is not None:
            waiting[field] = deepcopy(container[field])
    return waiting


def _finish(cluster: RayCluster, settings: Settings, pod: Obj, params: dict[str, str], *, head: bool) -> None:
    """What head and workers have in common, in KubeRay's order."""
    spec = pod["spec"]
    add_sidecars(spec, settings.head_sidecars if head else settings.worker_sidecars)
    container = spec["containers"][0]
    add_missing_port(container, "metrics", METRICS_PORT)
    if "plasma-directory" not in params:
        add_empty_dir(spec, container, name="shared-mem", path="/dev/shm", memory=True)  # noqa: S108
    start = ray_start_command(params, container, head=head)
    in_place = gcs_recovery(cluster, settings) == "InPlace"
    overwritten = pod["metadata"]["annotations"].get(OVERWRITE_CONTAINER_CMD, "").lower() == "true"
    install_command(container, start, shell=_shell(settings), keep_user_command=overwritten)
    if in_place:
        reconnect_quickly(container)
        start = supervise_gcs(pod, cluster, settings, start) if head else start
    fqdn = head_fqdn(cluster, settings.cluster_domain)
    for init in spec.get("initContainers") or []:
        add_env(init, "FQ_RAY_IP", fqdn)
        add_env(init, "RAY_IP", fqdn.split(".")[0])
    _environment(cluster, settings, container, start, fqdn=None if head else fqdn)
    if settings.probes_injection:
        serves = cluster.creator == "RayService"
        add_probes(container, params, version=cluster.ray_version, head=head, serves=serves)


def _environment(cluster: RayCluster, settings: Settings, container: Obj, start: str, *, fqdn: str | None) -> None:
    """`fqdn` is the head's name for a worker, None for the head itself."""
    for entry in settings.container_envs:
        if env_entry(container, entry["name"]) is None:
            add_env_entry(container, deepcopy(entry))
    if fqdn is not None:
        add_env(container, "FQ_RAY_IP", fqdn)
        add_env(container, "RAY_IP", fqdn.split(".")[0])
    add_env_from_field(container, "RAY_CLUSTER_NAME", f"metadata.labels['{CLUSTER}']")
    add_env_from_field(container, "RAY_CLUSTER_NAMESPACE", "metadata.namespace")
    add_env_from_field(container, "RAY_CLOUD_INSTANCE_ID", "metadata.name")
    add_env_from_field(container, "RAY_NODE_TYPE_NAME", f"metadata.labels['{GROUP_NAME}']")
    add_env(container, "KUBERAY_GEN_RAY_START_CMD", start)
    port = head_port(cluster)
    add_missing_env(container, "RAY_PORT", port)
    if cluster.creator == "RayService":
        add_missing_env(container, "RAY_timeout_ms_task_wait_for_death_info", "0")
        add_missing_env(container, "RAY_gcs_server_request_timeout_seconds", "5")
        add_missing_env(container, "RAY_SERVE_KV_TIMEOUT_S", "5")
    gcs = gcs_host(cluster, settings) if fqdn else "127.0.0.1"
    add_missing_env(container, "RAY_ADDRESS", f"{gcs}:{port}")
    add_missing_env(container, "RAY_USAGE_STATS_KUBERAY_IN_USE", "1")
    if fqdn is None:
        tags = f"kuberay_version={settings.version};kuberay_crd={cluster.creator}"
        add_env(container, "RAY_USAGE_STATS_EXTRA_TAGS", tags)
    add_missing_env(container, "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE", "1")


def _shell(settings: Settings) -> list[str]:
    return ["/bin/bash", "-cl" if settings.login_shell else "-c", "--"]

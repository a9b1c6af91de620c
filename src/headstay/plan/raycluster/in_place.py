"""A head whose GCS is brought back in place: the annotation `headstay.io/gcs-recovery: InPlace`.

The head's `ray start` runs under the keeper (`headstay.keeper`), which a ConfigMap brings along, so that the user's
image stays as it is. The ConfigMap's name holds the hash of its content: a newer Headstay makes another one, and a
running Pod keeps what it was started with. Nothing here touches a cluster that did not ask for it.
"""

from hashlib import sha256

from headstay.model.keeper_state import DEFAULT_KEEPER_PORT, KEEPER_PORT
from headstay.model.objects import Obj
from headstay.model.ray import (
    APP_NAME,
    APPLICATION,
    CLUSTER,
    COMPONENT,
    CREATED_BY,
    ENV_RECONNECT_TIMEOUT,
    RayCluster,
    env_entry,
    ray_container,
)
from headstay.model.ray_names import gcs_fqdn, head_fqdn
from headstay.model.resource import CONFIGMAPS
from headstay.plan.raycluster.containers import add_missing_env
from headstay.plan.raycluster.identity import uses_redis
from headstay.plan.raycluster.plan import Create, EventDraft
from headstay.plan.raycluster.settings import GcsRecovery, Settings

GCS_RECOVERY = "headstay.io/gcs-recovery"
KEEPER_PORT_ANNOTATION = "headstay.io/keeper-port"
"""Of a head Pod whose keeper tells of its GCS: where."""
_FILE = "keeper.pyz"
_FOLDER = "/headstay"
_VOLUME = "headstay-keeper"
# Ray's clients look for the GCS again at once and often: a new actor is there 0.4 s sooner. The longest pause counts
# where the GCS was away for longer, as while Redis restarts or the head Pod is replaced.
_QUICK_RECONNECT = {
    "RAY_grpc_client_check_connection_status_interval_milliseconds": "50",
    "RAY_gcs_grpc_initial_reconnect_backoff_ms": "50",
    "RAY_gcs_grpc_min_reconnect_backoff_ms": "50",
    "RAY_gcs_grpc_max_reconnect_backoff_ms": "500",
}

# Since Ray 2.60 a node that is told to go waits 30 s for what runs on it. The next head cannot start before: what it is
# given is enough for requests under way, since its Services let go of it at once.
_SHORT_DRAIN = ("RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", "2")

# Ray's own 60 s end a head whose GCS has much to load (125 s for a million task specifications on a fifth of a core),
# or whose Redis fails over slowly. Half of the workers' 600 s: a head that restarts still finds them.
_PATIENCE = (ENV_RECONNECT_TIMEOUT, "300")


def gcs_recovery(cluster: RayCluster, settings: Settings) -> GcsRecovery:
    """In place only where a GCS that starts again finds its tables, and only where the operator brings a keeper."""
    if not uses_redis(cluster) or not settings.keeper:
        return "RestartHead"
    match cluster.annotations.get(GCS_RECOVERY):
        case "InPlace":
            return "InPlace"
        case "RestartHead":
            return "RestartHead"
        case _:
            return settings.gcs_recovery


def recovery_complaints(cluster: RayCluster, settings: Settings) -> tuple[EventDraft, ...]:
    """What the annotation asks for and does not get, said aloud."""
    asked = cluster.annotations.get(GCS_RECOVERY)
    if asked is None:
        return ()
    if asked not in {"InPlace", "RestartHead"}:
        why = f"use InPlace or RestartHead; {settings.gcs_recovery} is used"
    elif asked == "InPlace" and not uses_redis(cluster):
        why = "recovery in place needs GCS fault tolerance with Redis; without it the GCS has nothing to come back to"
    else:
        return ()
    return (EventDraft("Warning", "InvalidGcsRecovery", "Validate", f"annotation {GCS_RECOVERY}={asked!r}: {why}"),)


def has_gcs_service(cluster: RayCluster, settings: Settings) -> bool:
    """Whether workers reach the GCS by a Service whose address outlives head Pods.

    Not where Ray speaks TLS: the user's certificates name the head Service.
    """
    written = env_entry(ray_container(cluster.head_group), "RAY_USE_TLS")
    tls = written or env_entry({"env": list(settings.container_envs)}, "RAY_USE_TLS")
    return gcs_recovery(cluster, settings) == "InPlace" and (tls is None or tls.get("value") in {"", "0", "false"})


def gcs_host(cluster: RayCluster, settings: Settings) -> str:
    """Where workers and the drivers on them look for the GCS."""
    name = gcs_fqdn if has_gcs_service(cluster, settings) else head_fqdn
    return name(cluster, settings.cluster_domain)


def keeper_config_map(cluster: RayCluster, settings: Settings) -> Create:
    name = _config_map_name(cluster, settings)
    return Create(
        CONFIGMAPS,
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "namespace": cluster.namespace,
                "labels": {CLUSTER: cluster.name, APP_NAME: APPLICATION, CREATED_BY: COMPONENT},
                "ownerReferences": [cluster.owner_reference()],
            },
            "immutable": True,
            "binaryData": {_FILE: settings.keeper},
        },
        EventDraft("Normal", "CreatedKeeper", "Create", f"Created ConfigMap {name}: the head's GCS recovers in place"),
        EventDraft("Warning", "FailedToCreateKeeper", "Create", f"Failed to create ConfigMap {name}: {{error}}"),
        name_is_content=True,
    )


def supervise_gcs(pod: Obj, cluster: RayCluster, settings: Settings, start: str) -> str:
    """Mounts the keeper into the head Pod and returns the command that starts Ray under it.

    `start` is the `ray start` command; what the container runs is replaced where it ends with that.
    """
    spec = pod["spec"]
    container = spec["containers"][0]
    kept = f"sh {_FOLDER}/{_FILE} {start.removeprefix('ray ')}"
    add_missing_env(container, KEEPER_PORT, str(DEFAULT_KEEPER_PORT))
    add_missing_env(container, *_SHORT_DRAIN)
    add_missing_env(container, *_PATIENCE)
    container["args"] = [
        f"{text.removesuffix(start)}{kept}" if text.endswith(start) else text for text in container.get("args") or []
    ]
    config_map = {"name": _config_map_name(cluster, settings)}
    spec["volumes"] = [*(spec.get("volumes") or []), {"name": _VOLUME, "configMap": config_map}]
    written = (env_entry(container, KEEPER_PORT) or {}).get("value")
    pod["metadata"]["annotations"][KEEPER_PORT_ANNOTATION] = str(written or DEFAULT_KEEPER_PORT)
    mount = {"name": _VOLUME, "mountPath": _FOLDER, "readOnly": True}
    container["volumeMounts"] = [*(container.get("volumeMounts") or []), mount]
    return kept


def reconnect_quickly(container: Obj) -> None:
    for name, value in _QUICK_RECONNECT.items():
        add_missing_env(container, name, value)


def _config_map_name(cluster: RayCluster, settings: Settings) -> str:
    """One of its own for every cluster object: its name is as good as its content and its owner."""
    content = sha256(f"{cluster.metadata.uid}{settings.keeper}".encode()).hexdigest()[:10]
    return f"{cluster.name}-keeper-{content}"

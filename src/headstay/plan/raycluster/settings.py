"""The operator's own configuration, as far as decisions depend on it. Names and defaults are KubeRay's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from headstay import __version__
from headstay.model.objects import Obj

CleanupMode = Literal["BestEffort", "Mandatory"]
GcsRecovery = Literal["RestartHead", "InPlace"]


@dataclass(frozen=True)
class Settings:
    """`version` marks the head Pods we make. It differs from every KubeRay version, so that hashes written by one

    operator are refreshed by the other instead of being acted on. `keeper` is the supervisor of heads whose GCS
    recovers in place, a zip archive in base64; with none there is no such recovery.
    """

    version: str = f"headstay-v{__version__}"
    cluster_domain: str = "cluster.local"
    redis_cleanup: bool = True
    redis_access: bool = False
    cleanup_mode: CleanupMode = "BestEffort"
    init_container_injection: bool = True
    probes_injection: bool = True
    head_cluster_ip_service: bool = False
    deterministic_head_pod_name: bool = False
    login_shell: bool = False
    random_pod_delete: bool = False
    ingress_on_openshift: bool = False
    ignore_kuberay: bool = False
    zero_downtime: bool = True
    """Whether a RayService that names no upgrade strategy gets a new RayCluster for a changed spec."""
    resync_seconds: float = 300
    container_envs: tuple[Obj, ...] = ()
    """Of every Ray container, where neither the user nor the operator sets one of that name."""
    head_sidecars: tuple[Obj, ...] = ()
    worker_sidecars: tuple[Obj, ...] = ()
    pod_annotations: Mapping[str, str] = field(default_factory=dict)
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    cleaner_source: str = field(default="", repr=False)
    """The text of the Redis cleaner, for the cleanup Job. Whoever runs the operator fills it in."""
    gcs_recovery: GcsRecovery = "RestartHead"
    gcs_grace_seconds: float = 1.0
    """For so long the GCS may be gone before the head loses users' traffic."""
    keeper: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises ValueError naming the variable whose value cannot be used."""

        def on(name: str) -> bool:
            return environ.get(name, "").lower() != "false"

        def asked(name: str) -> bool:
            return environ.get(name, "").lower() == "true"

        mode: CleanupMode
        match environ.get("GCS_FT_REDIS_CLEANUP_MODE", "BestEffort"):
            case "BestEffort" | "":
                mode = "BestEffort"
            case "Mandatory":
                mode = "Mandatory"
            case other:
                raise ValueError(f"GCS_FT_REDIS_CLEANUP_MODE={other!r}: use BestEffort or Mandatory")
        recovery: GcsRecovery
        match environ.get("HEADSTAY_GCS_RECOVERY", "RestartHead"):
            case "RestartHead" | "":
                recovery = "RestartHead"
            case "InPlace":
                recovery = "InPlace"
            case other:
                raise ValueError(f"HEADSTAY_GCS_RECOVERY={other!r}: use RestartHead or InPlace")
        return cls(
            cluster_domain=environ.get("CLUSTER_DOMAIN") or "cluster.local",
            redis_cleanup=on("ENABLE_GCS_FT_REDIS_CLEANUP"),
            redis_access=asked("HEADSTAY_REDIS_ACCESS"),
            cleanup_mode=mode,
            init_container_injection=on("ENABLE_INIT_CONTAINER_INJECTION"),
            probes_injection=on("ENABLE_PROBES_INJECTION"),
            head_cluster_ip_service=asked("ENABLE_RAY_HEAD_CLUSTER_IP_SERVICE"),
            deterministic_head_pod_name=asked("ENABLE_DETERMINISTIC_HEAD_POD_NAME"),
            login_shell=asked("ENABLE_LOGIN_SHELL"),
            random_pod_delete=asked("ENABLE_RANDOM_POD_DELETE"),
            ingress_on_openshift=asked("USE_INGRESS_ON_OPENSHIFT"),
            ignore_kuberay=asked("HEADSTAY_IGNORE_KUBERAY"),
            zero_downtime=on("ENABLE_ZERO_DOWNTIME"),
            resync_seconds=_seconds(environ, "RAYCLUSTER_DEFAULT_REQUEUE_SECONDS_ENV", 300),
            gcs_recovery=recovery,
            gcs_grace_seconds=_seconds(environ, "HEADSTAY_GCS_GRACE_S", 1),
        )


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name) or str(default)
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{name}={text!r}: use a number of seconds") from error

"""How KubeRay names what belongs to a RayCluster. Long names are cut: Pods' at the end, all others at the front."""

from headstay.model.ray import HEAD, WORKER, RayCluster

_POD_PREFIX = 50  # leaves room for "-worker-" and five random characters in 63
_NAME = 50
_LABEL = 63
_PUNCTUATION = frozenset("!\"#%&'()*,-./:;?@[\\]_{}")


def check_name(name: str) -> str:
    """The last 50 characters, with a leading digit or punctuation mark turned into an `r`."""
    name = name[-_NAME:]
    return f"r{name[1:]}" if name[:1].isdigit() or name[:1] in _PUNCTUATION else name


def check_label(value: str) -> str:
    """The last 63 characters, with a leading punctuation mark turned into an `r`. Job names are cut the same way."""
    value = value[-_LABEL:]
    return f"r{value[1:]}" if value[:1] in _PUNCTUATION else value


def identifier(cluster: str, node_type: str) -> str:
    return check_label(f"{cluster}-{node_type}")


def head_pod_prefix(cluster: str) -> str:
    return f"{cluster[:_POD_PREFIX]}-{HEAD}-".lower()


def worker_pod_prefix(cluster: str, group: str) -> str:
    return f"{f'{cluster}-{group}'[:_POD_PREFIX]}-{WORKER}-".lower()


def redis_cleanup_job(cluster: str) -> str:
    return check_label(f"{cluster}-redis-cleanup")


def redis_check_job(cluster: str) -> str:
    return check_label(f"{cluster}-redis-check")


def head_service(cluster: RayCluster) -> str:
    chosen = ((cluster.head_group.get("headService") or {}).get("metadata") or {}).get("name")
    return str(chosen) if chosen else f"{cluster.name}-head-svc"


def gcs_service(cluster: str) -> str:
    return f"{cluster}-gcs-svc"


def headless_worker_service(cluster: str) -> str:
    return f"{cluster}-headless"


def serve_service(cluster: str) -> str:
    return f"{cluster}-serve-svc"


def head_ingress(cluster: str) -> str:
    return check_name(f"{cluster}-head-ingress")


def head_route(cluster: str) -> str:
    """The one name that KubeRay does not cut."""
    return f"{cluster}-head-route"


def head_fqdn(cluster: RayCluster, domain: str) -> str:
    return f"{head_service(cluster)}.{cluster.namespace}.svc.{domain}"


def gcs_fqdn(cluster: RayCluster, domain: str) -> str:
    return f"{gcs_service(cluster.name)}.{cluster.namespace}.svc.{domain}"

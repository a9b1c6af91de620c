"""Whom to ask about a RayCluster's applications, and what an answer or the lack of one means."""

from headstay.model.meta import Pod
from headstay.model.ray import DASHBOARD_PORT, SERVE_PORT, RayCluster, ray_container, start_params
from headstay.plan.raycluster.containers import port_named

MISSES = 3
"""So many times in a row without an answer count as a proxy that is gone; a refused connection counts at once."""


def dashboard_url(cluster: RayCluster, head: Pod) -> str:
    """The head's own address: a Service would answer for whichever Pod it points at by then."""
    port = start_params(cluster.head_group).get("dashboard-port", "")
    return _url(head, int(port) if port.isdecimal() else DASHBOARD_PORT)


def proxy_url(cluster: RayCluster, head: Pod) -> str:
    return _url(head, port_named(ray_container(cluster.head_group), "serve", SERVE_PORT))


def _url(pod: Pod, port: int) -> str:
    address = pod.status.pod_ip
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"

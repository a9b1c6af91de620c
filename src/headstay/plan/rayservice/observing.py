"""Whom to ask about a RayCluster's applications, and what an answer or the lack of one means."""

from headstay.model.meta import Pod
from headstay.model.ray import DASHBOARD_PORT, SERVE_PORT, RayCluster, ray_container, start_params
from headstay.plan.raycluster.containers import port_named
from headstay.plan.raycluster.heads import http_url

MISSES = 3
"""So many times in a row without an answer count as a proxy that is gone; a refused connection counts at once."""


def dashboard_url(cluster: RayCluster, head: Pod) -> str:
    port = start_params(cluster.head_group).get("dashboard-port", "")
    return http_url(head, int(port) if port.isdecimal() else DASHBOARD_PORT)


def proxy_url(cluster: RayCluster, head: Pod) -> str:
    return http_url(head, port_named(ray_container(cluster.head_group), "serve", SERVE_PORT))

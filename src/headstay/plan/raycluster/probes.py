"""Liveness and readiness of a Ray container, where the user gave none.

Since Ray 2.53 one HTTP endpoint of the node's agent answers for all of it; before, the raylet and (on the head) the
GCS are asked one after the other. Workers must outlive a head: without a GCS a worker's check fails in the end, after
the ten minutes that its raylet waits for one as well.
"""

import re
from copy import deepcopy

from headstay.model.objects import Obj
from headstay.model.ray import AGENT_PORT, DASHBOARD_PORT, SERVE_PORT
from headstay.plan.raycluster.containers import port_named

_ONE_ENDPOINT_SINCE = (2, 53, 0)


def ray_version(text: str) -> tuple[int, int, int] | None:
    """`2.53.0`, `v2.53`, `2.53.0rc1` as numbers; None for what is no version."""
    match = re.match(r"^v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def add_probes(container: Obj, params: dict[str, str], *, version: str, head: bool, serves: bool) -> None:
    """`serves` marks a worker of a RayService: it is ready when its Serve proxy is, which answers without a GCS.

    KubeRay asks the node too, whose raylet asks the GCS whether it is alive: without one all workers leave the Service.
    """
    parsed = ray_version(version)
    agent = _port(params, "dashboard-agent-listen-port", AGENT_PORT)
    if parsed is not None and parsed >= _ONE_ENDPOINT_SINCE:
        handler: Obj = {"httpGet": {"path": "/api/healthz", "port": agent}}
    else:
        checks = [_check(agent, "api/local_raylet_healthz", 2)]
        if head:
            checks.append(_check(_port(params, "dashboard-port", DASHBOARD_PORT), "api/gcs_healthz", 10))
        handler = _bash(checks)
    timeout = 5 if head else 2
    if container.get("livenessProbe") is None:
        container["livenessProbe"] = deepcopy(handler) | _pace(delay=30, failures=120, timeout=timeout)
    if container.get("readinessProbe") is None:
        ready = deepcopy(handler) | _pace(delay=10, failures=10, timeout=timeout)
        if serves and not head:
            proxy: Obj = {"httpGet": {"path": "/-/healthz", "port": port_named(container, "serve", SERVE_PORT)}}
            ready = proxy | _pace(delay=10, failures=1, timeout=5)
        container["readinessProbe"] = ready


def _pace(*, delay: int, failures: int, timeout: int) -> Obj:
    return {
        "initialDelaySeconds": delay,
        "periodSeconds": 5,
        "successThreshold": 1,
        "failureThreshold": failures,
        "timeoutSeconds": timeout,
    }


def _check(port: int, path: str, timeout: int) -> str:
    return f"wget --tries 1 -T {timeout} -q -O- http://localhost:{port}/{path} | grep success"


def _bash(checks: list[str]) -> Obj:
    return {"exec": {"command": ["bash", "-c", " && ".join(checks)]}}


def _port(params: dict[str, str], flag: str, default: int) -> int:
    text = params.get(flag, "")
    return int(text) if text.isdecimal() else default

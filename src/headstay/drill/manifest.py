"""What a drill makes for itself: the sample's RayCluster, made small, and a Redis that can be broken and comes back.

Pure: documents in, documents out.
"""

import copy
from dataclasses import dataclass
from typing import Any

from headstay.drill.faults.kind import HANDS, REDIS
from headstay.drill.onlooker import ROLE
from headstay.drill.safety import MADE_BY
from headstay.model.objects import Obj

CLUSTER = "drill"
SECRET = "redis-password-secret"  # noqa: S105  (a name)
_REDIS_CONF = "redis.conf"
_FOREVER = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"
# Redis comes back by itself, whoever killed it, and not before the moment (in nanoseconds) that `away` names.
_REDIS = """trap 'kill -TERM $(cat /drill/pid); wait; exit 0' TERM
while :; do
  redis-server /etc/redis/redis.conf &
  echo $! > /drill/pid
  wait $!
  while [ -e /drill/away ] && [ "$(date +%s%N)" -lt "$(cat /drill/away)" ]; do sleep 0.1; done
  rm -f /drill/away
done
"""
# `always`: a write that the GCS acknowledged is on disk, so that one which is missing is never the fault of Redis.
_CONFIG = """port 6379
bind 0.0.0.0
protected-mode no
dir /data
appendonly yes
appendfsync always
requirepass {password}
"""


@dataclass(frozen=True)
class Wanted:
    """`sample` is the RayCluster that all is made from; `image` and `version` replace its own where given."""

    drill: str
    namespace: str
    sample: Obj
    redis_image: str
    workers: int
    hands: bool
    image: str = ""
    version: str = ""


def namespace(wanted: Wanted) -> Obj:
    labels = {MADE_BY: wanted.drill}
    if wanted.hands:
        # NET_ADMIN is more than the lesser levels let a Pod have.
        labels["pod-security.kubernetes.io/enforce"] = "privileged"
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": wanted.namespace, "labels": labels}}


def redis(wanted: Wanted, password: str) -> list[Obj]:
    labels = {MADE_BY: wanted.drill, ROLE: "redis"}
    meta: Obj = {"namespace": wanted.namespace, "labels": labels}
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {**meta, "name": SECRET},
            "stringData": {"password": password, _REDIS_CONF: _CONFIG.format(password=password)},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {**meta, "name": REDIS},
            "spec": {"selector": labels, "ports": [{"name": "redis", "port": 6379, "targetPort": 6379}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {**meta, "name": REDIS},
            "spec": {
                "replicas": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": _redis_pod(wanted.redis_image)},
            },
        },
    ]


def _redis_pod(image: str) -> Obj:
    password = {"valueFrom": {"secretKeyRef": {"name": SECRET, "key": "password"}}}
    return {
        "terminationGracePeriodSeconds": 5,
        "containers": [
            {
                "name": "redis",
                "image": image,
                "command": ["sh", "-c", _REDIS],
                # Where redis-cli looks for the password, so that it is in no command line.
                "env": [{"name": "REDISCLI_AUTH", **password}],
                "ports": [{"name": "redis", "containerPort": 6379}],
                "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
                "volumeMounts": [
                    {"name": "config", "mountPath": "/etc/redis"},
                    {"name": "data", "mountPath": "/data"},
                    {"name": "drill", "mountPath": "/drill"},
                ],
            }
        ],
        "volumes": [
            {
                "name": "config",
                "secret": {"secretName": SECRET, "items": [{"key": _REDIS_CONF, "path": _REDIS_CONF}]},
            },
            {"name": "data", "emptyDir": {}},
            {"name": "drill", "emptyDir": {}},
        ],
    }


def ray_cluster(wanted: Wanted, recovery: str) -> Obj:
    """The sample's, with `workers` workers and less of everything."""
    made = copy.deepcopy(wanted.sample)
    annotations = {**(made["metadata"].get("annotations") or {}), "headstay.io/gcs-recovery": recovery}
    made["metadata"] = {
        "name": CLUSTER,
        "namespace": wanted.namespace,
        "labels": {MADE_BY: wanted.drill},
        "annotations": annotations,
    }
    spec = made["spec"]
    if wanted.version:
        spec["rayVersion"] = wanted.version
    head, workers = spec["headGroupSpec"], spec["workerGroupSpecs"][0]
    spec["workerGroupSpecs"] = [workers]
    workers |= {"replicas": wanted.workers, "minReplicas": wanted.workers, "maxReplicas": wanted.workers}
    for group in (head, workers):
        pod = group["template"]["spec"]
        container: dict[str, Any] = pod["containers"][0]
        pod.pop("volumes", None)
        container.pop("volumeMounts", None)
        container["resources"]["requests"] = {"cpu": "100m", "memory": "512Mi"}
        container["image"] = wanted.image or container["image"]
    if wanted.hands:
        head["template"]["spec"]["containers"].append(_hands(head["template"]["spec"]["containers"][0]["image"]))
    return made


def _hands(image: str) -> Obj:
    return {
        "name": HANDS,
        "image": image,
        "command": ["sh", "-c", _FOREVER],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}},
    }

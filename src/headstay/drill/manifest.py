"""What a drill makes for itself: the sample's RayCluster or RayService, made small, and a Redis that can be broken and

comes back. With Serve also an application that says who answered, and a Pod for the load to be sent from.

Pure: documents in, documents out.
"""

import copy
import json
from dataclasses import dataclass
from typing import Any

from headstay.drill.faults.kind import HANDS, REDIS
from headstay.drill.onlooker import ROLE
from headstay.drill.programs import text
from headstay.drill.safety import MADE_BY
from headstay.drill.service import GENERATION, cluster_spec
from headstay.model.objects import Obj

CLUSTER = "drill"
"""Name of the RayCluster, or of the RayService."""
LOAD = "drill-load"
"""Name of the Pod that requests are sent from, and of its container."""
APP = "drill-app"
_APP_FOLDER = "/home/ray/headstay-drill"
_APP_MODULE = "answering"
_DELETION_DELAY_S = 10
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
    """`sample` is the RayCluster that all is made from, a RayService for a drill of Serve; `image` and `version`

    replace its own where given.
    """

    drill: str
    namespace: str
    sample: Obj
    redis_image: str
    workers: int
    hands: bool
    image: str = ""
    version: str = ""

    @property
    def serve(self) -> bool:
        return bool(self.sample["kind"] == "RayService")


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


def target(wanted: Wanted, recovery: str) -> Obj:
    """The sample's RayCluster or RayService, with `workers` workers and less of everything."""
    made = copy.deepcopy(wanted.sample)
    annotations = {**(made["metadata"].get("annotations") or {}), "headstay.io/gcs-recovery": recovery}
    made["metadata"] = {
        "name": CLUSTER,
        "namespace": wanted.namespace,
        "labels": {MADE_BY: wanted.drill},
        "annotations": annotations,
    }
    _make_small(cluster_spec(made), wanted)
    if wanted.serve:
        made["spec"]["rayClusterDeletionDelaySeconds"] = _DELETION_DELAY_S
        made["spec"]["excludeHeadPodFromServeSvc"] = False
        made["spec"]["serveConfigV2"] = json.dumps(_serve_config(wanted.workers))
        _mount_app(cluster_spec(made))
    return made


def _make_small(spec: Any, wanted: Wanted) -> None:
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


def _serve_config(replicas: int) -> Obj:
    """One replica on each worker, a proxy on each node."""
    deployment = {
        "name": "Answer",
        "num_replicas": replicas,
        "max_replicas_per_node": 1,
        "ray_actor_options": {"num_cpus": 0.5},
        # An answer takes no time. With the default of 5 a stall of the machine outlasts itself: who has to wait for a
        # replica asks for it again and again.
        "max_ongoing_requests": 100,
    }
    app = {"name": "drill", "import_path": f"{_APP_MODULE}:app", "route_prefix": "/", "deployments": [deployment]}
    quiet = {"enable_access_log": False}
    return {"proxy_location": "EveryNode", "logging_config": quiet, "applications": [app]}


def _mount_app(spec: Any) -> None:
    head, workers = spec["headGroupSpec"], spec["workerGroupSpecs"][0]
    for group in (head, workers):
        pod = group["template"]["spec"]
        pod["volumes"] = [{"name": APP, "configMap": {"name": APP}}]
        pod["containers"][0]["volumeMounts"] = [{"name": APP, "mountPath": _APP_FOLDER}]
        pod["containers"][0]["env"] = [{"name": "PYTHONPATH", "value": _APP_FOLDER}]
    workers["template"]["spec"]["containers"][0]["env"].append({"name": GENERATION, "value": "1"})


def serving(wanted: Wanted) -> list[Obj]:
    """What a drill of Serve needs beside the RayService: its application, and where the load is sent from."""
    meta: Obj = {"namespace": wanted.namespace, "labels": {MADE_BY: wanted.drill}}
    head = cluster_spec(target(wanted, "InPlace"))["headGroupSpec"]["template"]["spec"]["containers"][0]
    container = {
        "name": LOAD,
        "image": head["image"],
        "command": ["sh", "-c", _FOREVER],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {**meta, "name": APP},
            "data": {f"{_APP_MODULE}.py": text(_APP_MODULE)},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**meta, "name": LOAD},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
        },
    ]


def _hands(image: str) -> Obj:
    return {
        "name": HANDS,
        "image": image,
        "command": ["sh", "-c", _FOREVER],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}},
    }

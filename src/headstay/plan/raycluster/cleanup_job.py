"""The Job that removes a deleted cluster's keys from Redis.

It runs in the head's own image with the head's own environment, so whatever it takes to reach Redis (credentials,
certificates, CA files, network policies by label) is there by construction.
"""

from dataclasses import replace

from headstay.model.objects import Obj
from headstay.model.ray import (
    ENV_REDIS_ADDRESS,
    ENV_STORAGE_NAMESPACE,
    NODE_TYPE,
    REDIS_CLEANUP,
    RayCluster,
    env_entry,
)
from headstay.model.ray_names import redis_cleanup_job
from headstay.plan.raycluster.cleanup_script import clean_command
from headstay.plan.raycluster.containers import add_env
from headstay.plan.raycluster.pods import head_pod_base
from headstay.plan.raycluster.settings import Settings

DEADLINE_SECONDS = 300
_RESOURCES = {"cpu": "200m", "memory": "256Mi"}


def cleanup_job(cluster: RayCluster, settings: Settings) -> Obj:
    """The Job document. The caller has made sure that the head template has a container."""
    # Without the keeper: its ConfigMap is made with a head, and after an upgrade there may be none of that name.
    head = head_pod_base(cluster, replace(settings, keeper=""))
    metadata, spec = head["metadata"], head["spec"]
    labels = metadata["labels"] | {NODE_TYPE: REDIS_CLEANUP}
    container = spec["containers"][0]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        container.pop(probe, None)
    container["command"] = ["/bin/bash", "-c", "--"]
    container["args"] = [clean_command(settings.cleaner_source)]
    # A failed attempt's last words become the message of its Pod, where the operator finds them for its Event.
    container["terminationMessagePolicy"] = "FallbackToLogsOnError"
    container["resources"] = {"requests": dict(_RESOURCES), "limits": dict(_RESOURCES)}
    # KubeRay's, for tools that compare the Job. Our cleaner has its own bound, of about a minute too.
    add_env(container, "RAY_redis_db_connect_retries", "120")
    add_env(container, "RAY_redis_db_connect_wait_milliseconds", "500")
    spec["containers"] = [container]
    spec["restartPolicy"] = "Never"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": redis_cleanup_job(cluster.name),
            "namespace": cluster.namespace,
            "labels": labels,
            "annotations": dict(metadata["annotations"]),
            "ownerReferences": [cluster.owner_reference()],
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "template": {
                "metadata": {"labels": dict(labels), "annotations": dict(metadata["annotations"])},
                "spec": spec,
            },
        },
    }


def reaches_redis(job: Obj) -> bool:
    """Whether the Job knows where to go: without these two it could only fail."""
    container = job["spec"]["template"]["spec"]["containers"][0]
    return all(env_entry(container, name) is not None for name in (ENV_REDIS_ADDRESS, ENV_STORAGE_NAMESPACE))

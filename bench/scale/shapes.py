"""The RayClusters of the bench, and what the least number of writes for one is."""

from headstay.model.objects import Obj

UNAVOIDABLE_STATUS_WRITES = 2
"""One that says what was made, one that says that all of it runs."""


def minimal_writes(workers: int) -> int:
    """Finalizer, head Service, head and workers, status."""
    return 1 + 1 + (1 + workers) + UNAVOIDABLE_STATUS_WRITES


def cluster(name: str, workers: int) -> Obj:
    """FT on, as in the samples. The scheduler's name keeps the local scheduler, which is made for one node, away."""

    def template(container: str, cpu: str) -> Obj:
        return {
            "spec": {
                "schedulerName": "simulated",
                "containers": [
                    {
                        "name": container,
                        "image": "rayproject/ray:2.52.0",
                        "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
                    }
                ],
            }
        }

    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "rayVersion": "2.52.0",
            "gcsFaultToleranceOptions": {"redisAddress": "redis:6379"},
            "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": template("ray-head", "500m")},
            "workerGroupSpecs": [
                {
                    "groupName": "workers",
                    "replicas": workers,
                    "minReplicas": workers,
                    "maxReplicas": workers,
                    "rayStartParams": {},
                    "template": template("ray-worker", "1"),
                }
            ],
        },
    }

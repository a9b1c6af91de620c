"""The one heavy test of the node agent: a real Ray head and a real Redis, in the images' own terms."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.local.node_lab import Lab, needs_root, node_lab

from headstay.model.resource import CONFIGMAPS, SECRETS

pytestmark = [needs_root, pytest.mark.asyncio(loop_scope="module")]

RAY = "rayproject/ray:2.60.0"
START_SECONDS = 180.0
START = (
    "ulimit -n 65536; ray start --head --block --num-cpus=0 --dashboard-host=0.0.0.0 "
    "--redis-password=$REDIS_PASSWORD --metrics-export-port=8080"
)
HEALTH = "wget --tries 1 -T 2 -q -O- http://localhost:52365/api/local_raylet_healthz | grep success"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with node_lab("hsray", 92) as made:
        yield made


async def test_a_ray_head_with_its_state_in_redis_runs_as_in_its_image(lab: Lab) -> None:
    await lab.client.create(
        CONFIGMAPS,
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "redis-config", "namespace": "default"},
            "data": {"redis.conf": "port 6379\nbind 0.0.0.0\nprotected-mode no\nrequirepass 5241590000000000\n"},
        },
    )
    await lab.client.create(
        SECRETS,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "redis-password-secret", "namespace": "default"},
            "data": {"password": "NTI0MTU5MDAwMDAwMDAwMA=="},
        },
    )
    await lab.run(
        "redis",
        {
            "name": "redis",
            "image": "redis:7.4",
            "command": ["sh", "-c", "redis-server /usr/local/etc/redis/redis.conf"],
            "ports": [{"containerPort": 6379}],
            "volumeMounts": [
                {"name": "config", "mountPath": "/usr/local/etc/redis/redis.conf", "subPath": "redis.conf"},
            ],
            "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
        },
        volumes=[{"name": "config", "configMap": {"name": "redis-config"}}],
    )
    redis = await lab.until("redis", lambda pod: "'type': 'Ready', 'status': 'True'" in str(pod.get("status")))
    assert any(reason == "ImageDiffers" and "7.4" in text for reason, text in await lab.events("redis"))

    secret = {"secretKeyRef": {"name": "redis-password-secret", "key": "password"}}
    await lab.run(
        "head",
        {
            "name": "ray-head",
            "image": RAY,
            "command": ["/bin/bash", "-c", "--"],
            "args": [
                START,
            ],
            "env": [
                {"name": "RAY_REDIS_ADDRESS", "value": f"{redis['status']['podIP']}:6379"},
                {"name": "REDIS_PASSWORD", "valueFrom": secret},
                {"name": "RAY_external_storage_namespace", "value": "test"},
            ],
            "readinessProbe": {
                "exec": {"command": ["bash", "-c", HEALTH]},
                "initialDelaySeconds": 3,
                "periodSeconds": 2,
                "timeoutSeconds": 4,
                "failureThreshold": 50,
            },
            "resources": {"limits": {"memory": "4Gi"}, "requests": {"cpu": "500m"}},
        },
    )
    await lab.until("head", lambda p: "'type': 'Ready', 'status': 'True'" in str(p.get("status")), START_SECONDS)

    _, who, _ = await lab.exec("head", "sh", "-c", "id -un; pwd; echo $HOME; command -v python3")
    assert who.split() == ["ray", "/home/ray", "/home/ray", "/home/ray/anaconda3/bin/python3"]
    code, keys, _ = await lab.exec("redis", "redis-cli", "-a", "5241590000000000", "--raw", "KEYS", "*")
    assert code == 0
    assert "RAYtest@NODE" in keys.split()

    assert (await lab.exec("head", "pkill", "-9", "gcs_server"))[0] == 0
    again = await lab.until(
        "head", lambda p: p["status"]["containerStatuses"][0]["restartCount"] == 1 and "'ready': True" in str(p), 120
    )
    assert again["status"]["podIP"]
    assert (await lab.pod("redis"))["status"]["containerStatuses"][0]["restartCount"] == 0

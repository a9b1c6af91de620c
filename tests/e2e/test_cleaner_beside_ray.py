"""Our cleaner removes the keys that Ray's own function removes, no more and no less."""

import subprocess
from pathlib import Path

import pytest
from tests.wire.redis_servers import Server, redis_server

from headstay.gcs import cleaner
from headstay.local.config import LocalConfig
from headstay.local.node.pythons import find as pythons_here

RAY = "2.60.0"
KEYS = (
    *("RAYns@KV", "RAYns@NODE", "RAYns@odd@table", "RAYns2@KV", "RAYn@KV", "RAYab@KV", "RAYa*@KV", "RAYa?@KV"),
    *("RAY[ab]@KV", "RAYa@KV", "RAYb@KV", "XRAYns@KV", "RAYns", "raYns@KV"),
)
CLEAN = """
import sys
from ray._private.gcs_utils import cleanup_redis_storage
done = cleanup_redis_storage(
    host="127.0.0.1", port=int(sys.argv[1]), password="pw", use_ssl=False, storage_namespace=sys.argv[2]
)
sys.exit(0 if done else 1)
"""


def prepared_ray() -> Path:
    """Its packages run outside their image too."""
    environments = LocalConfig().cache_dir / "images" / "environments"
    found = next(environments.glob(f"ray-{RAY}-*/lib/python3.*/site-packages"), None)
    assert found is not None, f"no Ray {RAY} in {environments}: .venv/bin/headstay images prepare"
    return found


def fill(server: Server) -> None:
    server.cli("FLUSHALL")
    for key in KEYS:
        server.cli("HSET", key, "field", "value", "other", "value")
    server.cli("INCR", "RAYns@JobCounter")


@pytest.mark.parametrize("namespace", ["ns", "a", "a*", "a?", "[ab]", "nobody"])
async def test_the_same_keys_go(tmp_path: Path, namespace: str) -> None:
    packages = prepared_ray()
    (python,) = [found for found in await pythons_here() if f"python{found.dotted}" == packages.parent.name]
    with redis_server(tmp_path, password="pw") as server:
        fill(server)
        subprocess.run(
            [python.executable, "-c", CLEAN, str(server.port), namespace],
            env={"PYTHONPATH": str(packages)},
            check=True,
            capture_output=True,
            timeout=120,
        )
        left_by_ray = server.names()
        fill(server)
        cleaner.clean(cleaner.RedisTarget(server.address, password="pw"), namespace, patience=5)
        assert server.names() == left_by_ray

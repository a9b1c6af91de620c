"""The RayService sample on real Ray, Serve and Redis: requests go on while its GCS dies and while it is upgraded."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.e2e.cluster import SAMPLES, Cluster

SAMPLE = SAMPLES / "ray-service.gcs-ft.yaml"
"""Applied as it is."""
NAME = "rayservice-gcs-ft"
PORT = 18712
RATE = 5
# One request after the other has its own connection and 15 s; what was answered and what was not is told at the end.
LOAD = f"""
import collections, json, sys, threading, time, urllib.request
told = collections.Counter()
def ask():
    try:
        with urllib.request.urlopen("http://{NAME}-serve-svc:8000/", timeout=15) as answer:
            told[answer.read().decode().strip()] += 1
    except Exception as error:
        told[f"failed: {{error}}"] += 1
until = time.monotonic() + float(sys.argv[1])
threads = []
while time.monotonic() < until:
    threads.append(threading.Thread(target=ask))
    threads[-1].start()
    time.sleep(1 / {RATE})
for thread in threads:
    thread.join()
print(json.dumps(told))
"""


def load_pod() -> dict[str, Any]:
    container = {"name": "load", "image": "rayproject/ray:2.60.0", "command": ["sleep", "3600"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "load"}, "spec": spec}


@contextmanager
def load(environment: dict[str, str], namespace: str, seconds: int) -> Iterator[dict[str, int]]:
    """Runs beside the body; what was answered is there after it."""
    command = ["kubectl", "-n", namespace, "exec", "load", "--", "python3", "-c", LOAD, str(seconds)]
    told: dict[str, int] = {}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield told
            out, _ = running.communicate(timeout=seconds + 60)
            told |= json.loads(out)
        finally:
            running.kill()


@contextmanager
def forwarded(environment: dict[str, str], namespace: str) -> Iterator[None]:
    command = ["kubectl", "-n", namespace, "port-forward", f"service/{NAME}-serve-svc", f"{PORT}:8000"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert "Forwarding" in running.stdout.readline()
        yield
        running.kill()


@pytest.mark.timeout(1200)
def test_requests_go_on_while_the_gcs_dies_and_while_the_service_is_upgraded(environment: dict[str, str]) -> None:
    cluster = Cluster(environment, "serve")
    cluster.kubectl("create", "namespace", "serve")
    cluster.kubectl("apply", "-f", str(SAMPLE))
    cluster.apply([load_pod()])
    cluster.kubectl("wait", "--for=condition=Ready", f"rayservice/{NAME}", "--timeout=400s", timeout=420)
    cluster.kubectl("wait", "--for=condition=Ready", "pod/load", "--timeout=100s")
    with forwarded(environment, "serve"), urllib.request.urlopen(f"http://localhost:{PORT}/", timeout=30) as answer:
        assert answer.read() == b"hello from the first version\n"

    with load(environment, "serve", 40) as told:
        time.sleep(10)
        cluster.in_head("pkill", "-9", "gcs_server")
    print(told)
    assert told.keys() == {"hello from the first version"}

    cluster.kubectl("apply", "-f", "-", stdin=SAMPLE.read_text().replace("the first version", "the second version"))
    with load(environment, "serve", 20) as before:
        pass
    rounds = [before]
    while "hello from the second version" not in rounds[-1]:
        with load(environment, "serve", 30) as told:
            pass
        rounds.append(told)
        assert len(rounds) < 15, f"no second version after {len(rounds)} rounds of 30 s: {rounds}"
    print(rounds)
    assert {what for told in rounds for what in told} == {
        f"hello from the {nth} version" for nth in ("first", "second")
    }

    def one_left() -> str:
        found = [item["metadata"]["name"] for item in cluster.get("rayclusters")]
        return "" if len(found) == 1 else f"there are {found}"

    cluster.wait("the old RayCluster is gone", one_left, timeout=300)
    cluster.kubectl("delete", "rayservice", NAME, "--timeout=300s", timeout=320)
    assert cluster.redis("DBSIZE") == "0"

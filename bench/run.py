"""Measures, in one run: `up` to ready, apply to head Ready, GCS kill to counter 2, memory and idle CPU.

    make bench        raw results go to bench/results/<date>.json, a table to the terminal

It uses an instance of its own, so that a running Headstay is left alone.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "config" / "samples" / "ray-cluster.external-redis.yaml"
CLUSTER = "raycluster-external-redis"
INSTANCE = {
    "HEADSTAY_INSTANCE": "bench",
    "HEADSTAY_API_PORT": "6465",
    "HEADSTAY_POD_NETWORK": "10.79.0.0/16",
    "HEADSTAY_SERVICE_NETWORK": "10.98.0.0/16",
}
HEADSTAY = str(Path(sys.prefix) / "bin" / "headstay")
ENVIRONMENT = {**os.environ, **INSTANCE}
WARM_RUNS = 5
IDLE_SECONDS = 30


def run(*command: str, check: bool = True, timeout: float = 400) -> str:
    done = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=timeout, stdin=subprocess.DEVNULL
    )
    if check and done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def timed(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return round(time.monotonic() - began, 3)


def until(probe: Callable[[], bool], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not probe():
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing after {timeout:.0f} s; see: kubectl get pods")
        time.sleep(0.1)


def pod(node_type: str) -> dict[str, Any] | None:
    found = json.loads(run("kubectl", "get", "pods", f"-l=ray.io/node-type={node_type}", "-o", "json"))["items"]
    return found[0] if found else None


def ready(node_type: str) -> bool:
    found = pod(node_type)
    conditions = (found or {}).get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def restarts(node_type: str) -> int:
    found = pod(node_type)
    return sum(s["restartCount"] for s in (found or {}).get("status", {}).get("containerStatuses", []))


def counter() -> str:
    head = pod("head")
    if head is None:
        return ""
    script = "/home/ray/samples/increment_counter.py"
    output = run("kubectl", "exec", head["metadata"]["name"], "--", "python3", script, check=False)
    return output.strip().rpartition("\n")[2].strip()


def control_plane() -> list[int]:
    """The daemon and the operator's process."""
    daemon = json.loads(run(HEADSTAY, "status", "-o", "json"))["pid"]
    operator = subprocess.run(["pgrep", "-f", "headstay.controllers"], capture_output=True, text=True, check=False)
    return [daemon, *(int(line) for line in operator.stdout.split())]


def resident_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_cpu(pids: list[int]) -> float:
    """Share of one core, in percent, over IDLE_SECONDS."""
    before = [cpu_seconds(pid) for pid in pids]
    time.sleep(IDLE_SECONDS)
    used = sum(cpu_seconds(pid) - was for pid, was in zip(pids, before, strict=True))
    return round(100 * used / IDLE_SECONDS, 2)


def measure() -> dict[str, Any]:
    run(HEADSTAY, "down", "--purge")
    run(HEADSTAY, "images", "prepare", timeout=900)
    results: dict[str, Any] = {"up_first_s": timed(lambda: run(HEADSTAY, "up"))}
    warm = []
    for _ in range(WARM_RUNS):
        run(HEADSTAY, "down")
        warm.append(timed(lambda: run(HEADSTAY, "up")))
    results["up_warm_s"] = warm
    time.sleep(5)
    pids = control_plane()
    results["memory_mb"] = {str(pid): resident_megabytes(pid) for pid in pids}
    results["idle_cpu_percent_no_pods"] = idle_cpu(pids)
    began = time.monotonic()
    run("kubectl", "apply", "-f", str(SAMPLE))
    until(lambda: ready("head"), 300)
    results["apply_to_head_ready_s"] = round(time.monotonic() - began, 2)
    until(lambda: ready("worker"), 300)
    results["apply_to_worker_ready_s"] = round(time.monotonic() - began, 2)
    head = (pod("head") or {})["metadata"]["name"]
    run("kubectl", "exec", head, "--", "python3", "/home/ray/samples/detached_actor.py")
    assert counter() == "1"
    results["idle_cpu_percent_with_cluster"] = idle_cpu(pids)
    results["memory_mb_with_cluster"] = {str(pid): resident_megabytes(pid) for pid in pids}
    began = time.monotonic()
    run("kubectl", "exec", head, "--", "pkill", "gcs_server")
    until(lambda: restarts("head") == 1, 240)
    results["gcs_kill_to_head_restarted_s"] = round(time.monotonic() - began, 2)
    until(lambda: counter() == "2", 240)
    results["gcs_kill_to_counter_2_s"] = round(time.monotonic() - began, 2)
    results["delete_s"] = timed(lambda: run("kubectl", "delete", "raycluster", CLUSTER))
    results["down_s"] = timed(lambda: run(HEADSTAY, "down", "--purge"))
    return results


def machine() -> dict[str, Any]:
    return {"cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}


def main() -> None:
    if shutil.which("kubectl") is None:
        raise SystemExit("kubectl is not on PATH; make install puts it there")
    ENVIRONMENT["KUBECONFIG"] = run(HEADSTAY, "kubeconfig").strip()
    when = datetime.now(UTC)
    try:
        results = measure()
    finally:
        run(HEADSTAY, "down", "--purge", check=False)
    target = ROOT / "bench" / "results" / f"{when:%Y-%m-%d-%H%M}.json"
    target.write_text(json.dumps({"when": when.isoformat(), "machine": machine(), "results": results}, indent=2) + "\n")
    for name, value in results.items():
        print(f"{name:34} {value}")
    print(f"raw results: {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

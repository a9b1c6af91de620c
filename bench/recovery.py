"""Measures how long a new actor has to wait when the GCS dies: `RestartHead` beside `InPlace`, SIGTERM and SIGKILL.

    make bench-recovery           RUNS=10 for each; the result is bench/results/recovery.json

The clock runs from the signal's return to the first answer of a new detached actor, asked for every 100 ms with a 2 s
timeout by a driver on the worker that was connected before the fault. A run of `RestartHead` begins with a head Pod
that has never restarted, so that Kubernetes' back-off is never in the figure. Calls on living actors are not
measured: they never stop.
"""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from run import CLUSTER, ENVIRONMENT, HEADSTAY, ROOT, SAMPLE, machine, pod, ready, restarts, run, until

RUNS = int(os.environ.get("RUNS", "10"))
RESULT = ROOT / "bench" / "results" / "recovery.json"
SIGNALS = {"gcs-term": "TERM", "gcs-kill": "KILL"}
_PATIENCE = 300
DRIVER = """
import sys, time
import ray

ray.init(log_to_driver=False)

@ray.remote(num_cpus=0.001)
class Answer:
    def now(self):
        return 1

def new_actor():
    actor = Answer.options(lifetime="detached").remote()
    ray.get(actor.now.remote(), timeout=2)
    ray.kill(actor)

def until_answered(attempts):
    for _ in range(attempts):
        try:
            return new_actor()
        except Exception:
            time.sleep(0.1)
    sys.exit("no actor answered")

until_answered(60)
print("ready", flush=True)
sys.stdin.readline()
began = time.monotonic()
until_answered(3000)
print("seconds", time.monotonic() - began, flush=True)
"""


def manifest(recovery: str) -> str:
    documents = list(yaml.safe_load_all(SAMPLE.read_text()))
    for document in documents:
        if document["kind"] == "RayCluster":
            document["metadata"]["annotations"]["headstay.io/gcs-recovery"] = recovery
    return yaml.safe_dump_all(documents)


def fresh_head() -> None:
    """A head Pod that never restarted, with its worker known to it."""
    head = pod("head")
    if head is not None and restarts("head"):
        run("kubectl", "delete", "pod", head["metadata"]["name"])  # waits until it is gone
    until(lambda: ready("head") and ready("worker"), _PATIENCE)


def told(lines: Iterable[str], word: str) -> str:
    """The driver's line that begins with `word`. Ray's own warnings come between, whatever it was told."""
    return next((line.strip() for line in lines if line.startswith(word)), "")


def measure(signal: str) -> dict[str, Any]:
    head, worker = pod("head"), pod("worker")
    if head is None or worker is None:
        raise SystemExit("no head or no worker; see: kubectl get pods")
    command = ["kubectl", "exec", "-i", worker["metadata"]["name"], "--", "python3", "-c", DRIVER]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as driver:
        if driver.stdin is None or driver.stdout is None or not told(driver.stdout, "ready"):
            raise SystemExit("the driver did not connect; see: kubectl logs of the worker")
        run("kubectl", "exec", head["metadata"]["name"], "--", "pkill", f"-{signal}", "-x", "gcs_server")
        driver.stdin.write("go\n")
        driver.stdin.flush()
        seconds = told(driver.stdout, "seconds").removeprefix("seconds")
    if not seconds:
        raise SystemExit("the driver died with the GCS")
    return {
        "seconds": round(float(seconds), 3),
        "head_restarts": restarts("head"),
        "worker_restarts": restarts("worker"),
    }


def campaign(recovery: str) -> dict[str, Any]:
    subprocess.run(["kubectl", "apply", "-f", "-"], env=ENVIRONMENT, input=manifest(recovery), text=True, check=True)
    outcome: dict[str, Any] = {}
    for fault, signal in SIGNALS.items():
        runs = []
        for number in range(RUNS):
            fresh_head()
            runs.append(measure(signal))
            print(f"{recovery} {fault} {number + 1}/{RUNS}: {runs[-1]['seconds']:.2f} s", flush=True)
        seconds = [found["seconds"] for found in runs]
        outcome[fault] = {"p50_s": round(statistics.median(seconds), 3), "max_s": max(seconds), "runs": runs}
    run("kubectl", "delete", "raycluster", CLUSTER)
    return outcome


def main() -> None:
    ENVIRONMENT["KUBECONFIG"] = run(HEADSTAY, "kubeconfig").strip()
    run(HEADSTAY, "down", "--purge")
    began = time.monotonic()
    try:
        run(HEADSTAY, "up")
        result: dict[str, Any] = {recovery: campaign(recovery) for recovery in ("InPlace", "RestartHead")}
    finally:
        run(HEADSTAY, "down", "--purge")
    result["machine"] = machine()
    result["seconds"] = round(time.monotonic() - began)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    for recovery in ("RestartHead", "InPlace"):
        for fault, found in result[recovery].items():
            print(f"{recovery:12} {fault:9} p50 {found['p50_s']:7.2f} s   max {found['max_s']:7.2f} s")
    print(f"raw: {Path(RESULT).relative_to(ROOT)}")


if __name__ == "__main__":
    main()

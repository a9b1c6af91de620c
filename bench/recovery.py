"""Measures how long a new actor has to wait when the GCS dies or its Pod is deleted: `RestartHead` beside `InPlace`.

    make bench-recovery           RUNS=10 for each; the result is bench/results/recovery.json

The clock runs from the return of the command that did it to the first answer of a new detached actor, asked for every
100 ms with a 2 s timeout by a driver on the worker that was connected before the fault. A deleted Pod's GCS may answer
on for a moment: more actors are asked for until the next head is ready, and the answer that counts is the first after
one that failed; `settled_s` is the first after the last that failed. Every run begins with a head Pod that has never
restarted, so that Kubernetes' back-off is never in the figure. Calls on living actors are not measured: they never
stop. `none` is the control: what a new actor, which is a new process, takes without a fault.
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
FAULTS = ("none", *SIGNALS, "head-pod")
_PATIENCE = 300
_OVER_S = 5
DRIVER = """
import sys, threading, time
import ray

ray.init(log_to_driver=False)

@ray.remote(num_cpus=0.001)
class Answer:
    def now(self):
        return 1

def new_actor():
    actor = Answer.options(lifetime="detached").remote()
    try:
        ray.get(actor.now.remote(), timeout=2)
    finally:
        # Elsewhere: it waits for the GCS. One left alive would cost the next its processor, being made at last.
        threading.Thread(target=ray.kill, args=(actor,), daemon=True).start()

def answered():
    try:
        new_actor()
    except Exception:
        return False
    return True

while not answered():
    time.sleep(0.1)
time.sleep(5)  # what the driver's own start costs the worker's processor is over
print("ready", flush=True)
sys.stdin.readline()
began = time.monotonic()
over = threading.Event()
outcomes = []
while not (over.is_set() and outcomes[-1][1]):
    good = answered()
    outcomes.append((time.monotonic() - began, good))
    if good and sum(good for _, good in outcomes) == 1:
        print("answered", flush=True)
        threading.Thread(target=lambda: (sys.stdin.readline(), over.set()), daemon=True).start()
    time.sleep(0.1)
bad = [number for number, (_, good) in enumerate(outcomes) if not good]
seconds = next(at for at, good in outcomes[bad[0] if bad else 0:] if good)
settled = outcomes[bad[-1] + 1][0] if bad else seconds
print("seconds", seconds, settled, flush=True)
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


def break_it(fault: str, head: str) -> None:
    if fault in SIGNALS:
        run("kubectl", "exec", head, "--", "pkill", f"-{SIGNALS[fault]}", "-x", "gcs_server")
    elif fault == "none":
        run("kubectl", "exec", head, "--", "true")
    else:
        run("kubectl", "delete", "pod", head, "--wait=false")


def wait_for_another_head(head: str) -> None:
    """Another head Pod is ready, and has been for a moment."""

    def there() -> bool:
        found = pod("head")
        return found is not None and found["metadata"]["name"] != head and ready("head")

    until(there, _PATIENCE)
    time.sleep(_OVER_S)


def measure(fault: str) -> dict[str, Any]:
    head, worker = pod("head"), pod("worker")
    if head is None or worker is None:
        raise SystemExit("no head or no worker; see: kubectl get pods")
    name = head["metadata"]["name"]
    command = ["kubectl", "exec", "-i", worker["metadata"]["name"], "--", "python3", "-c", DRIVER]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as driver:
        if driver.stdin is None or driver.stdout is None or not told(driver.stdout, "ready"):
            raise SystemExit("the driver did not connect; see: kubectl logs of the worker")
        break_it(fault, name)
        driver.stdin.write("go\n")
        driver.stdin.flush()
        if told(driver.stdout, "answered"):
            if fault == "head-pod":
                wait_for_another_head(name)
            driver.stdin.write("over\n")
            driver.stdin.flush()
        times = told(driver.stdout, "seconds").split()[1:]
    if not times:
        raise SystemExit("the driver died with the GCS")
    return {
        "seconds": round(float(times[0]), 3),
        "settled_s": round(float(times[1]), 3),
        "head_restarts": restarts("head"),
        "worker_restarts": restarts("worker"),
    }


def campaign(recovery: str) -> dict[str, Any]:
    subprocess.run(["kubectl", "apply", "-f", "-"], env=ENVIRONMENT, input=manifest(recovery), text=True, check=True)
    outcome: dict[str, Any] = {}
    for fault in FAULTS:
        runs = []
        for number in range(RUNS):
            fresh_head()
            runs.append(measure(fault))
            print(f"{recovery} {fault} {number + 1}/{RUNS}: {runs[-1]['seconds']:.2f} s", flush=True)
        seconds = [found["seconds"] for found in runs]
        outcome[fault] = {"p50_s": round(statistics.median(seconds), 3), "max_s": max(seconds), "runs": runs}
    run("kubectl", "delete", "raycluster", CLUSTER)
    until(lambda: pod("head") is None and pod("worker") is None, _PATIENCE)
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

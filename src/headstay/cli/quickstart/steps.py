"""What the quickstart does, as data: commands a person could type, and what each must show.

The steps and their numbers are those of the GCS fault tolerance guide. An expectation returns "" when it holds, or
one sentence that says what was seen instead.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

CLUSTER = "raycluster-external-redis"
PASSWORD = "5241590000000000"  # noqa: S105  the sample's, printed in the guide
REDIS_PROMPT = "127.0.0.1:6379> "


@dataclass
class Seen:
    """What the commands before have shown."""

    uid: str = ""


Expectation = Callable[[str, Seen], str]


class Command(NamedTuple):
    """`text` is typed as it stands. `dialogue` is typed at the program's own prompt."""

    text: str
    expect: Expectation | None = None
    proves: str = ""
    dialogue: tuple[str, ...] = ()
    timeout: float = 60.0
    note: str = ""


class Wait(NamedTuple):
    """Asks `text` again until `expect` holds, showing progress. `timeout` in seconds."""

    text: str
    expect: Expectation
    proves: str
    timeout: float = 300.0
    note: str = ""


@dataclass
class Step:
    number: str
    title: str
    actions: list[Command | Wait] = field(default_factory=list)


def _rows(output: str) -> list[list[str]]:
    """The cells of kubectl's table, header left out; RESTARTS' `1 (5s ago)` counts as one cell."""
    lines = [re.sub(r"\((\S+ ago)\)", "", line) for line in output.splitlines() if line.strip()]
    return [line.split() for line in lines[1:]]


def four_pods_running(output: str, _: Seen) -> str:
    rows = _rows(output)
    waiting = [f"{row[0]} is {row[2]} {row[1]}" for row in rows if row[2] != "Running" or row[1] != "1/1"]
    if waiting:
        return "; ".join(waiting)
    if len(rows) != 4:
        return f"{len(rows)} Pods"
    for part in ("-head-", "-worker-", "operator", "redis"):
        if not any(part in row[0] for row in rows):
            return f"no Pod with {part!r} in its name"
    return ""


def ray_pods_running(output: str, _: Seen) -> str:
    """The same where the operator lives in another namespace."""
    rows = [row for row in _rows(output) if "operator" not in row[0]]
    waiting = [f"{row[0]} is {row[2]} {row[1]}" for row in rows if row[2] != "Running" or row[1] != "1/1"]
    if waiting or len(rows) < 3:
        return "; ".join(waiting) or f"{len(rows)} of 3 Pods"
    return ""


def two_configmaps(output: str, _: Seen) -> str:
    data = {row[0]: row[1] for row in _rows(output)}
    if data.get("ray-example") != "2":
        return "ConfigMap ray-example with 2 entries is not there"
    return "" if data.get("redis-config") == "1" else "ConfigMap redis-config with 1 entry is not there"


def counter_is(value: int) -> Expectation:
    def expect(output: str, _: Seen) -> str:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        return "" if lines and lines[-1] == str(value) else f"the last line is {lines[-1] if lines else ''!r}"

    return expect


def no_error(output: str, _: Seen) -> str:
    return "the script failed" if "Traceback" in output else ""


def remember_uid(output: str, seen: Seen) -> str:
    seen.uid = output.strip().splitlines()[-1] if output.strip() else ""
    return "" if re.fullmatch(r"[0-9a-f-]{36}", seen.uid) else f"{seen.uid!r} is not a UID"


def _environment(output: str) -> dict[str, str]:
    start = output.find("[")
    try:
        entries = json.loads(output[start:]) if start >= 0 else []
    except ValueError:
        return {}
    return {entry["name"]: entry.get("value", "") for entry in entries}


def namespace_is_uid(output: str, seen: Seen) -> str:
    found = _environment(output).get("RAY_external_storage_namespace")
    return "" if found == seen.uid else f"RAY_external_storage_namespace is {found!r}"


def no_timeout_set(output: str, _: Seen) -> str:
    environment = _environment(output)
    if not environment:
        return "the head's environment could not be read"
    found = environment.get("RAY_gcs_rpc_server_reconnect_timeout_s")
    return "" if found is None else f"it is set to {found!r}"


def timeout_is_600(output: str, _: Seen) -> str:
    found = _environment(output).get("RAY_gcs_rpc_server_reconnect_timeout_s")
    return "" if found == "600" else f"it is {found!r}"


def keys_of_the_cluster(output: str, seen: Seen) -> str:
    return "" if f"RAY{seen.uid}@NODE" in output else f"no key RAY{seen.uid}@NODE"


def node_table(output: str, _: Seen) -> str:
    return "" if re.search(r'^\s*2\) "', output, re.MULTILINE) else "the table is empty"


def no_keys(output: str, _: Seen) -> str:
    return "" if "(empty" in output else "keys are left"


def cluster_gone(output: str, _: Seen) -> str:
    return "" if "No resources found" in output else "the RayCluster is still there"


def head_restarted_worker_did_not(output: str, _: Seen) -> str:
    rows = _rows(output)
    head = next((row for row in rows if "-head-" in row[0]), None)
    worker = next((row for row in rows if "-worker-" in row[0]), None)
    if head is None or worker is None:
        return "head or worker Pod is missing"
    if worker[3] != "0":
        return f"the worker has {worker[3]} restarts"
    if head[3] != "1":
        return f"the head has {head[3]} restarts"
    unready = [row[0] for row in (head, worker) if row[1] != "1/1" or row[2] != "Running"]
    return f"{', '.join(unready)}: not ready yet" if unready else ""


def steps(sample: str, *, operator_here: bool) -> list[Step]:
    """Steps 3 to 9. `sample` is the manifest's path; `operator_here`: the operator shares the namespace."""
    head = "kubectl get pods $HEAD_POD -o=jsonpath='{.spec.containers[0].env}' | jq"
    worker = head.replace("$HEAD_POD", "$YOUR_WORKER_POD")
    redis = f'kubectl exec -it $REDIS_POD -- redis-cli -a "{PASSWORD}"'
    pod = "kubectl get pods --selector={} -o custom-columns=POD:metadata.name --no-headers"
    find_redis = Command(f"export REDIS_POD=$({pod.format('app=redis')})")
    increment = "kubectl exec -it $HEAD_POD -- python3 /home/ray/samples/increment_counter.py"
    return [
        Step("3", "Install a RayCluster with GCS FT enabled", [Command(f"kubectl apply -f {sample}")]),
        Step(
            "4",
            "Verify the Kubernetes cluster status",
            [
                Wait(
                    "kubectl get pods",
                    four_pods_running if operator_here else ray_pods_running,
                    "four Pods run: 1 head, 1 worker, 1 operator, 1 Redis"
                    if operator_here
                    else "three Pods run: 1 head, 1 worker, 1 Redis; the operator is in its own namespace",
                    note="Pod names are KubeRay 1.7's: the guide shows an older form, "
                    "...-worker-small-group-yyyyy for what is now ...-small-group-worker-yyyyy.",
                ),
                Command("kubectl get configmaps", two_configmaps, "the scripts and Redis' configuration are there"),
            ],
        ),
        Step(
            "5",
            "Create a detached actor",
            [
                Command(f"export HEAD_POD=$({pod.format('ray.io/node-type=head')})"),
                Command(
                    "kubectl exec -it $HEAD_POD -- python3 /home/ray/samples/detached_actor.py",
                    no_error,
                    "the detached actor counter_actor lives on the worker",
                    timeout=120,
                ),
                Command(increment, counter_is(1), "the counter says 1", timeout=120),
            ],
        ),
        Step(
            "6",
            "Check the data in Redis",
            [
                Command(
                    f"kubectl get rayclusters.ray.io {CLUSTER} -o=jsonpath='{{.metadata.uid}}'",
                    remember_uid,
                    "this UID is the cluster's storage namespace",
                ),
                Command(head, namespace_is_uid, "the head keeps its tables under that namespace"),
                find_redis,
                Command(redis, keys_of_the_cluster, "the GCS's tables are in Redis", dialogue=("KEYS *",)),
                Command(redis, node_table, "the node table can be read", dialogue=("HGETALL RAY{uid}@NODE",)),
            ],
        ),
        Step(
            "7",
            "Kill the GCS process in the head Pod",
            [
                Command(
                    f"export YOUR_WORKER_POD=$({pod.format('ray.io/node-type=worker')})",
                    note="The guide leaves $YOUR_WORKER_POD to you; this is the line that sets it.",
                ),
                Command(head, no_timeout_set, "the head uses Ray's own 60 s to wait for its GCS"),
                Command(worker, timeout_is_600, "the worker waits 600 s, longer than the head needs"),
                Command("kubectl exec -it $HEAD_POD -- pkill gcs_server", None, "", timeout=30),
                Wait(
                    "kubectl get pods -l=ray.io/is-ray-node=yes",
                    head_restarted_worker_did_not,
                    "the head restarted once, the worker not at all",
                    timeout=240,
                    note="Ray's head gives its GCS 60 s before it exits; then the same Pod starts again.",
                ),
            ],
        ),
        Step(
            "8",
            "Access the detached actor again",
            [Command(increment, counter_is(2), "the counter says 2: the actor and its state survived", timeout=120)],
        ),
        Step(
            "9",
            "Remove the key stored in Redis when deleting RayCluster",
            [
                Command(f"kubectl delete raycluster {CLUSTER}", None, "deletion ends", timeout=330),
                Command("kubectl get raycluster", cluster_gone, "the RayCluster is gone"),
                find_redis,
                Command(redis, no_keys, "Redis is empty again: the cleanup Job did its work", dialogue=("KEYS *",)),
            ],
        ),
    ]

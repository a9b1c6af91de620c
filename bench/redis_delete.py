"""Deletes a 350 MB namespace while another client PINGs the same Redis, and measures what that client feels.

    make bench-redis-delete       raw results go to bench/results/<date>-redis-delete.json, a table to the terminal

Three ways: our cleaner with UNLINK, our cleaner where the account may not use UNLINK, and one DEL a key for comparison.
The PINGs come from a process of its own, one every 2 ms, before and during. A PING that is held up holds up those
after it: they are counted too, each with the time it would have waited. "During" ends one second after the deletion,
while memory is freed behind UNLINK. Redis, the cleaner and the client share this machine's processors; where others
work on it too, `chrt -r 5 make bench-redis-delete` as root keeps their work out of the figures.
"""

import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headstay.gcs import cleaner

ROOT = Path(__file__).resolve().parents[1]
NAMESPACE = "ns"
MEGABYTES = int(os.environ.get("MEGABYTES", "350"))
RUNS = int(os.environ.get("RUNS", "3"))
QUIET_SECONDS = 5.0
AFTER_SECONDS = 1.0
GAP_SECONDS = 0.002
# What a GCS keeps: many small rows, and pickled functions and actor specifications of some kilobytes.
SHAPES = {"KV": (0.5, 10_000), "WORKERS": (0.5, 100)}


@contextmanager
def redis_server() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield port
        finally:
            process.kill()
            process.wait()


def connection(port: int) -> cleaner.Redis:
    target = cleaner.RedisTarget(f"127.0.0.1:{port}")
    return cleaner.Redis(cleaner.endpoints(target)[0], target)


def fill(redis: cleaner.Redis) -> None:
    script = (
        "for i=tonumber(ARGV[1]),tonumber(ARGV[2]) do "
        "redis.call('HSET', KEYS[1], string.format('field%012d', i), string.rep('x', ARGV[3])) end"
    )
    for table, (share, size) in SHAPES.items():
        fields = int(MEGABYTES * 1e6 * share / size)
        for begin in range(0, fields, 20_000):
            redis.ask("EVAL", script, 1, f"RAY{NAMESPACE}@{table}", begin, min(begin + 20_000, fields) - 1, size)


def ping(port: int) -> None:
    """The other client: until its input ends, a line for each PING, when it was sent and the milliseconds it took."""
    redis = connection(port)
    os.set_blocking(sys.stdin.fileno(), False)
    found: list[tuple[float, float]] = []
    while sys.stdin.buffer.read(1) != b"":
        began = time.monotonic()
        redis.ask("PING")
        took = time.monotonic() - began
        while took > 0:
            found.append((began, 1000 * took))
            began, took = began + GAP_SECONDS, took - GAP_SECONDS
        time.sleep(GAP_SECONDS)
    json.dump(found, sys.stdout)


def with_pings(port: int, action: Callable[[], object]) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).resolve()), "ping", str(port)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    time.sleep(1 + QUIET_SECONDS)
    began = time.monotonic()
    action()
    ended = time.monotonic()
    time.sleep(AFTER_SECONDS)
    output, _ = other.communicate()
    pings = [(at, took) for at, took in json.loads(output) if at >= began - QUIET_SECONDS]
    return {
        "seconds": round(ended - began, 3),
        "before_ms": summary([took for at, took in pings if at + took / 1000 < began]),
        "during_ms": summary([took for at, took in pings if at + took / 1000 >= began and at <= ended + AFTER_SECONDS]),
    }


def summary(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)

    return {"pings": len(ordered), "p50": at(0.5), "p99": at(0.99), "max": round(ordered[-1], 3)}


def clean(port: int, *, username: str = "") -> None:
    target = cleaner.RedisTarget(f"127.0.0.1:{port}", username=username, password="x" if username else "")
    if cleaner.clean(target, NAMESPACE) != len(SHAPES):
        raise SystemExit("the cleaner did not remove every key")


def delete(redis: cleaner.Redis) -> None:
    for table in SHAPES:
        redis.ask("DEL", f"RAY{NAMESPACE}@{table}")


def measure(way: str) -> dict[str, Any]:
    with redis_server() as port:
        redis = connection(port)
        redis.ask("ACL", "SETUSER", "limited", "on", ">x", "~*", "+@all", "-unlink")
        fill(redis)
        memory = redis.ask("INFO", "memory")
        if not isinstance(memory, bytes):
            raise SystemExit("no INFO")
        used = int(memory.partition(b"used_memory:")[2].split()[0])
        actions: dict[str, Callable[[], None]] = {
            "unlink": lambda: clean(port),
            "hdel": lambda: clean(port, username="limited"),
            "del": lambda: delete(redis),
        }
        found = with_pings(port, actions[way])
        if redis.ask("DBSIZE") != 0:
            raise SystemExit(f"{way} left keys")
        return {"way": way, "used_mb": round(used / 1e6), **found, "server_us": server_side(redis)}


def server_side(redis: cleaner.Redis) -> dict[str, str]:
    """What Redis itself says its commands took, in microseconds: free of this machine's other work and its clients'."""
    told = redis.ask("INFO", "latencystats")
    lines = told.decode().splitlines() if isinstance(told, bytes) else []
    pairs = [line.removeprefix("latency_percentiles_usec_").split(":", 1) for line in lines if line.startswith("lat")]
    return {name: text for name, text in pairs if name in {"unlink", "hscan", "hdel", "scan", "del"}}


def main() -> None:
    if sys.argv[1:2] == ["ping"]:
        ping(int(sys.argv[2]))
        return
    version = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    runs = []
    for way in ("unlink", "hdel", "del"):
        for _ in range(RUNS):
            runs.append(measure(way))
            print(show(runs[-1]), flush=True)
    now = datetime.now(UTC)
    result = {
        "at": now.isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "kernel": platform.release(), "redis": version.split()[2]},
        "real_time_priority": os.sched_getscheduler(0) in {os.SCHED_RR, os.SCHED_FIFO},
        "load_average": os.getloadavg(),
        "megabytes_of_values": MEGABYTES,
        "ping_gap_ms": 1000 * GAP_SECONDS,
        "runs": runs,
    }
    path = ROOT / "bench" / "results" / f"{now:%Y-%m-%d-%H%M}-redis-delete.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"raw results: {path.relative_to(ROOT)}")


def show(run: dict[str, Any]) -> str:
    def cells(of: dict[str, float]) -> str:
        return f"p50 {of['p50']:.2f}  p99 {of['p99']:.2f}  max {of['max']:.2f} ms"

    return (
        f"{run['way']:6} {run['used_mb']} MB in {run['seconds']:.2f} s | "
        f"PING before: {cells(run['before_ms'])} | during: {cells(run['during_ms'])} | "
        f"in Redis (us): {run['server_us']}"
    )


if __name__ == "__main__":
    main()

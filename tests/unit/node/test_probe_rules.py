"""Thresholds of probes, gRPC's health call, and the engine's arguments."""

import asyncio
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headstay.local.node import grpc_health
from headstay.local.node.containerspec import ContainerSpec, Mount, limit_argument, run_arguments
from headstay.local.node.engine import parse_state
from headstay.local.node.probes import Outcome, Schedule, Tally, Target, ask, port_number


def changes(results: str, *, state: bool, **numbers: int) -> list[bool | None]:
    tally = Tally(Schedule.of(numbers), state=state)
    return [tally.add(result == "+") for result in results]


def test_three_failures_in_a_row_are_a_failure_by_default() -> None:
    assert changes("--+---", state=True) == [None, None, None, None, None, False]


def test_a_liveness_failure_is_told_again_after_as_many_more() -> None:
    assert changes("----", state=True, failureThreshold=2) == [None, False, None, False]


def test_success_is_told_once_and_after_its_threshold() -> None:
    assert changes("+++", state=False) == [True, None, None]
    assert changes("+-++", state=False, successThreshold=2) == [None, None, None, True]


def test_a_port_can_have_a_name() -> None:
    assert port_number("http", {"http": 80}) == 80
    assert port_number("8080", {}) == port_number(8080, {}) == 8080
    with pytest.raises(ValueError, match="no port named 'x'"):
        port_number("x", {})


async def serve(answer: Callable[[bytes], bytes]) -> tuple[asyncio.Server, int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readexactly(24)
        while len(asked) < 24 + 9 + 9 + 60:
            asked += await reader.read(1000)
        writer.write(answer(asked))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def frame(kind: int, flags: int, payload: bytes, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (frame(4, 0, b"", 0) + frame(1, 4, b"\x88") + frame(0, 0, b"\0\0\0\0\x02\x08\x01"), (True, "SERVING")),
        (frame(4, 0, b"", 0) + frame(0, 0, b"\0\0\0\0\x02\x08\x02"), (False, "NOT_SERVING")),
        (frame(1, 5, b"\x88"), (False, "does not implement")),
        (frame(7, 0, b"\0" * 8, 0), (False, "refused")),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", (False, "not a gRPC server")),
        (b"", (False, "closed")),
    ],
)
async def test_a_grpc_server_is_asked_for_its_health(answer: bytes, expected: tuple[bool, str]) -> None:
    server, port = await serve(lambda _: answer)
    async with server:
        healthy, words = await grpc_health.check("127.0.0.1", port, "svc")
    assert healthy is expected[0]
    assert expected[1] in words


async def test_a_probe_of_a_closed_port_says_so_as_the_kubelet_does(unused_tcp_port: int) -> None:
    target = Target(None, "", "127.0.0.1", {"web": unused_tcp_port})  # type: ignore[arg-type]
    here = f"127.0.0.1:{unused_tcp_port}"
    http = await ask({"httpGet": {"port": "web", "path": "healthz"}}, target, 1)
    assert http == Outcome(False, f'Get "http://{here}/healthz": dial tcp {here}: connect: connection refused')
    tcp = await ask({"tcpSocket": {"port": "web"}}, target, 1)
    assert tcp == Outcome(False, f"dial tcp {here}: connect: connection refused")
    assert await ask({"tcpSocket": {"port": "none"}}, target, 1) == Outcome(
        False, "the container has no port named 'none'"
    )


@pytest.mark.parametrize(("status", "success"), [("200 OK", True), ("302 Found", True), ("404 No", False)])
async def test_an_http_probe_succeeds_with_a_status_from_200_to_399(status: str, success: bool) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        target = Target(None, "", "127.0.0.1", {})  # type: ignore[arg-type]
        probe = {
            "httpGet": {"port": server.sockets[0].getsockname()[1], "httpHeaders": [{"name": "X-A", "value": "1"}]}
        }
        assert (await ask(probe, target, 1)).success is success
    assert b"X-A: 1" in asked[0]
    assert b"kube-probe/1.32" in asked[0]


def spec(**more: Any) -> ContainerSpec:
    fixed: dict[str, Any] = {
        "name": "n",
        "labels": {"pod": "p"},
        "netns": Path("/run/netns/x"),
        "cgroup_parent": "/h/podu/a",
        "hostname": "h",
        "log_path": Path("/l/0.log"),
        "rootfs": Path("/r"),
    }
    return ContainerSpec(**(fixed | more))


def test_values_of_variables_do_not_appear_among_the_arguments() -> None:
    arguments, env = run_arguments(spec(env={"PASSWORD": "hunter2", "PATH": "/bin"}))
    assert not any("hunter2" in argument for argument in arguments)
    assert "--env=PASSWORD" in arguments
    assert env == {"PASSWORD": "hunter2"}
    assert "--env=PATH=/bin" in arguments, "podman must not get the container's PATH as its own"


def test_a_command_is_never_taken_for_an_option() -> None:
    arguments, _ = run_arguments(spec(entrypoint=("sh", "-c"), command=("--help",)))
    assert arguments[-4:] == ["/r:O", "sh", "-c", "--help"]
    arguments, _ = run_arguments(spec(rootfs=None, image="abc", entrypoint=("sh",), command=("-x",)))
    assert arguments[-4:] == ['--entrypoint=["sh"]', "--pull=never", "abc", "-x"]


def test_mounts_are_read_only_private_or_shared() -> None:
    mounts = (Mount(Path("/a"), "/x", read_only=True), Mount(Path("/b"), "/y", overlay=True), Mount(Path("/c"), "/z"))
    arguments, _ = run_arguments(spec(mounts=mounts))
    assert [a for a in arguments if a.startswith("--volume")] == [
        "--volume=/a:/x:ro",
        "--volume=/b:/y:O",
        "--volume=/c:/z:rw",
    ]


def test_limits_never_exceed_the_machine_s() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = int(limit_argument(resource.RLIMIT_NOFILE).partition(":")[0])
    assert wanted <= (hard if hard != resource.RLIM_INFINITY else 1 << 20)


def test_podman_s_own_words_for_never_and_for_nanoseconds() -> None:
    state = parse_state(
        {
            "Id": "i",
            "Name": "n",
            "Config": {"Labels": {"io.headstay.pod-uid": "u", "other": "x"}},
            "State": {
                "Status": "exited",
                "Pid": 0,
                "ExitCode": 3,
                "StartedAt": "0001-01-01T00:00:00Z",
                "FinishedAt": "2026-11-23T22:05:45.356461024Z",
            },
        }
    )
    assert state.started_at is None
    assert state.finished_at is not None
    assert (state.finished_at.microsecond, state.ended, state.labels) == (356461, True, {"pod-uid": "u"})

"""Real kubectl against the stream handlers, over WebSocket and over SPDY."""

import asyncio
import hashlib
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator
from fcntl import ioctl
from pathlib import Path
from typing import NamedTuple, Self

import pytest
from tests.local.stream_server import StreamServer

from headstay.local.seams import LogOptions

BOUND = 30.0
BIG = 20 << 20


@pytest.fixture
async def server(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[StreamServer]:
    found = StreamServer(tmp_path, unused_tcp_port)
    async with found.serve():
        yield found


@pytest.fixture(params=["websocket", "spdy"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    websockets = "true" if request.param == "websocket" else "false"
    monkeypatch.setenv("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)
    monkeypatch.setenv("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
    return str(request.param)


class Output(NamedTuple):
    code: int
    out: bytes
    err: str


async def start(server: StreamServer, *arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    command = ("kubectl", "--kubeconfig", str(server.kubeconfig), f"--cache-dir={server.kubeconfig.parent}/cache")
    return await asyncio.create_subprocess_exec(*command, *arguments, stdin=pipe, stdout=pipe, stderr=pipe)


async def kubectl(server: StreamServer, *arguments: str, stdin: bytes = b"") -> Output:
    process = await start(server, *arguments)
    async with asyncio.timeout(BOUND):
        out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Output(process.returncode, out, err.decode())


async def until(condition: object, what: str) -> None:
    assert callable(condition)
    for _ in range(int(BOUND / 0.05)):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never: {what}")


async def test_an_exec_hands_over_output_errors_and_the_exit_code(server: StreamServer, transport: str) -> None:
    found = await kubectl(server, "exec", "one", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert found == (3, b"out\n", "err\ncommand terminated with exit code 3\n")
    assert await kubectl(server, "exec", "one", "--", "true") == (0, b"", "")


async def test_an_exec_sees_the_end_of_its_input(server: StreamServer, transport: str) -> None:
    data = os.urandom(BIG)
    found = await kubectl(server, "exec", "-i", "one", "--", "md5sum", stdin=data)
    assert found.out.split()[0].decode() == hashlib.md5(data).hexdigest()
    assert found.code == 0


async def test_large_output_arrives_whole(server: StreamServer, transport: str, tmp_path: Path) -> None:
    file = tmp_path / "big"
    file.write_bytes(os.urandom(BIG))
    found = await kubectl(server, "exec", "one", "--", "cat", str(file))
    assert hashlib.md5(found.out).digest() == hashlib.md5(file.read_bytes()).digest()


async def test_a_reader_that_stops_holds_up_the_command(server: StreamServer, transport: str) -> None:
    reader = await start(server, "exec", "one", "--", "sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); done")
    await until(lambda: server.streams.processes, "the command runs")
    busy = server.streams.processes[-1].pid
    await until(lambda: _state(busy) == "S", "the command waits for its reader")
    await asyncio.sleep(0.5)
    assert _state(busy) == "S"
    reader.kill()
    await reader.communicate()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_a_client_that_is_killed_takes_its_command_along(server: StreamServer, transport: str) -> None:
    for arguments in (("exec", "one"), ("exec", "-i", "one")):
        client = await start(server, *arguments, "--", "sh", "-c", "echo started; sleep 600")
        assert client.stdout is not None
        async with asyncio.timeout(BOUND):
            assert await client.stdout.readline() == b"started\n"
        client.send_signal(signal.SIGKILL)
        await client.communicate()
        command = server.streams.processes[-1]
        async with asyncio.timeout(BOUND):
            assert await command.wait() == -signal.SIGKILL


async def test_a_command_that_closes_its_input_early_ends_well(server: StreamServer, transport: str) -> None:
    found = await kubectl(server, "exec", "-i", "one", "--", "head", "-c", "3", stdin=b"abcdef" * 500_000)
    assert (found.code, found.out) == (0, b"abc")


async def test_a_container_that_does_not_run_is_said_before_the_stream(server: StreamServer, transport: str) -> None:
    found = await kubectl(server, "exec", "slow", "--", "true")
    message = 'Error from server (BadRequest): container "waiting" in pod "slow" is not running\n'
    assert (found.code, found.err) == (1, message)
    found = await kubectl(server, "exec", "two", "-c", "z", "--", "true")
    assert found.err == "Error from server (BadRequest): container z is not valid for pod two\n"


async def test_files_are_copied_both_ways(server: StreamServer, transport: str, tmp_path: Path) -> None:
    for name in ("from", "to"):
        (tmp_path / name).mkdir()
    original = tmp_path / "from" / "big"
    original.write_bytes(os.urandom(BIG))
    there, back = tmp_path / "to" / "there", tmp_path / "to" / "back"
    assert (await kubectl(server, "cp", str(original), f"one:{there}")).code == 0
    assert (await kubectl(server, "cp", f"one:{there}", str(back))).code == 0
    assert back.read_bytes() == original.read_bytes()


async def test_a_terminal_has_the_users_size_and_follows_it(server: StreamServer, transport: str) -> None:
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
    script = 'while :; do s=$(stty size); echo $s; [ "$s" = "20 50" ] && exit 7; sleep 0.1; done'
    command = ("kubectl", "--kubeconfig", str(server.kubeconfig), "exec", "-it", "one", "--", "bash", "-c", script)

    def control() -> None:
        os.setsid()
        ioctl(slave, termios.TIOCSCTTY, 0)

    client = await asyncio.create_subprocess_exec(
        *command, stdin=slave, stdout=slave, stderr=asyncio.subprocess.PIPE, preexec_fn=control
    )
    try:
        # The first size arrives after the command has started, in any Kubernetes.
        await _until_line(master, "33 99")
        ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 50, 0, 0))
        await _until_line(master, "20 50")
        async with asyncio.timeout(BOUND):
            await client.communicate()
        assert client.returncode == 7
    finally:
        os.close(master)
        os.close(slave)
        if client.returncode is None:
            client.kill()
            await client.communicate()


async def _line(terminal: int) -> str:
    data = b""
    async with asyncio.timeout(BOUND):
        while not data.endswith(b"\n"):
            data += await asyncio.to_thread(os.read, terminal, 1)
    return data.decode().strip()


async def test_a_terminal_takes_what_is_typed_and_control_c(server: StreamServer, transport: str) -> None:
    master, slave = pty.openpty()
    command = ("kubectl", "--kubeconfig", str(server.kubeconfig), "exec", "-it", "one", "--", "sh", "-i")
    client = await asyncio.create_subprocess_exec(
        *command, stdin=slave, stdout=slave, stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        os.write(master, b"echo mar''ker\n")
        await _until_line(master, "marker")
        os.write(master, b"sleep 100\n\x03")
        await asyncio.sleep(0.3)
        os.write(master, b"\x03\nexit 5\n")
        async with asyncio.timeout(BOUND):
            await client.communicate()
        assert client.returncode == 5
    finally:
        os.close(master)
        os.close(slave)
        if client.returncode is None:
            client.kill()
            await client.communicate()


async def _until_line(terminal: int, wanted: str) -> None:
    seen: list[str] = []
    try:
        async with asyncio.timeout(BOUND):
            while not (line := await _line(terminal)).endswith(wanted):
                seen.append(line)
    except TimeoutError as error:
        raise AssertionError(f"never {wanted!r} in {seen}") from error


async def test_attaching_and_leaving_lets_the_container_live(server: StreamServer, transport: str) -> None:
    for word in ("a", "b"):
        client = await start(server, "attach", "-i", "one")
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(word.encode() + b"\n")
        async with asyncio.timeout(BOUND):
            assert await client.stdout.readline() == f"got {word}\n".encode()
        client.kill()
        await client.communicate()
    assert server.streams.attachable is not None
    assert server.streams.attachable.returncode is None


async def test_logs_come_from_the_container_that_was_meant(server: StreamServer) -> None:
    server.streams.log = [b"one\n", b"two\n"]
    assert (await kubectl(server, "logs", "one")).out == b"one\ntwo\n"
    assert (await kubectl(server, "logs", "two", "-c", "b", "--tail=1")).out == b"two\n"
    assert server.streams.asked == [LogOptions("main"), LogOptions("b", tail_lines=1)]
    assert (await kubectl(server, "logs", "one", "--limit-bytes=5")).out == b"one\nt"


async def test_logs_that_cannot_be_are_refused_with_the_reason(server: StreamServer) -> None:
    found = await kubectl(server, "logs", "slow")
    message = (
        'Error from server (BadRequest): container "waiting" in pod "slow" is waiting to start: ContainerCreating\n'
    )
    assert (found.code, found.err) == (1, message)
    found = await kubectl(server, "get", "--raw", "/api/v1/namespaces/default/pods/two/log")
    assert "a container name must be specified for pod two, choose one of: [a b]" in found.err


async def test_followed_logs_arrive_as_they_are_written(server: StreamServer) -> None:
    server.streams.log = [b"one\n"]
    client = await start(server, "logs", "-f", "one")
    assert client.stdout is not None
    async with asyncio.timeout(BOUND):
        assert await client.stdout.readline() == b"one\n"
        await asyncio.sleep(1.5)
        server.streams.log.append(b"two\n")
        server.streams.log_grew.set()
        assert await client.stdout.readline() == b"two\n"
    client.kill()
    await client.communicate()
    await until(lambda: not server.streams.followers, "the follower's leaving is noticed")


class Echo:
    """A server in the Pod: answers with what it was sent, once the sender has closed its side."""

    def __init__(self) -> None:
        self.port = 0
        self.open = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        data = await reader.read(-1)
        writer.write(data)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        self.open -= 1


async def forwarded(server: StreamServer, port: int) -> tuple[asyncio.subprocess.Process, int]:
    client = await start(server, "port-forward", "one", f":{port}")
    assert client.stdout is not None
    async with asyncio.timeout(BOUND):
        said = (await client.stdout.readline()).decode()
    return client, int(said.split(" -> ", maxsplit=1)[0].rpartition(":")[2])


async def exchange(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(BOUND):
        writer.write(data)
        writer.write_eof()
        found = await reader.read(-1)
    writer.close()
    return found


async def test_forwarded_connections_carry_each_others_bytes_and_half_closes(
    server: StreamServer, transport: str
) -> None:
    async with Echo() as echo:
        client, port = await forwarded(server, echo.port)
        sent = [os.urandom(2 << 20) for _ in range(5)]
        found = await asyncio.gather(*(exchange(port, data) for data in sent))
        assert found == sent
        client.kill()
        await client.communicate()
    assert echo.open == 0


async def test_a_port_nobody_listens_on_is_named(server: StreamServer, transport: str) -> None:
    client, port = await forwarded(server, 1)
    assert await exchange(port, b"x") == b""
    async with asyncio.timeout(BOUND):
        _, err = await client.communicate()
    assert "error forwarding port 1 to pod one, uid " in err.decode()


async def test_the_servers_shutdown_ends_every_stream(server: StreamServer, transport: str) -> None:
    client = await start(server, "exec", "one", "--", "sh", "-c", "echo started; sleep 600")
    assert client.stdout is not None
    async with asyncio.timeout(BOUND):
        await client.stdout.readline()
        await server.plane.close()
        await client.communicate()
    assert server.streams.processes[-1].returncode == -signal.SIGKILL

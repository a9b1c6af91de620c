"""The WebSocket protocols that kubectl does not use: those of the Python client and of browsers."""

import asyncio
import json
import os
import ssl
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from tests.local.stream_server import StreamServer

BOUND = 30.0


class Client:
    def __init__(self, server: StreamServer, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._url = f"https://127.0.0.1:{port}/api/v1/namespaces/default/pods/one"
        self._tls = ssl.create_default_context(cafile=str(server.pki.ca_certificate))
        self._tls.load_cert_chain(server.pki.admin)

    @asynccontextmanager
    async def connect(self, path: str, *protocols: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with (
            asyncio.timeout(BOUND),
            self._session.ws_connect(f"{self._url}/{path}", protocols=protocols, ssl=self._tls) as socket,
        ):
            yield socket

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.get(f"{self._url}/{path}", ssl=self._tls, headers=named) as response:
            return response.status, (await response.json())["message"]


@pytest.fixture
async def server(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[StreamServer]:
    found = StreamServer(tmp_path, unused_tcp_port)
    async with found.serve():
        yield found


@pytest.fixture
async def client(server: StreamServer, unused_tcp_port: int) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(server, session, unused_tcp_port)


async def collected(socket: aiohttp.ClientWebSocketResponse) -> dict[int, bytes]:
    """All that comes, by channel, to the end."""
    found: dict[int, bytes] = {}
    async for message in socket:
        channel, data = (
            (int(message.data[0]), b64decode(message.data[1:]))
            if message.type is aiohttp.WSMsgType.TEXT
            else (message.data[0], message.data[1:])
        )
        found[channel] = found.get(channel, b"") + data
    return found


async def test_the_python_clients_protocol_has_a_channel_for_each_stream(client: Client) -> None:
    path = "exec?command=sh&command=-c&command=read+l;+echo+$l;+echo+e+>%262;+exit+4&stdin=true&stdout=1&stderr=1"
    async with client.connect(path, "v4.channel.k8s.io") as socket:
        assert socket.protocol == "v4.channel.k8s.io"
        first = await socket.receive_bytes()
        assert first == b"\x01", "an empty message says that the command has started"
        await socket.send_bytes(b"\x00hello\n")
        found = await collected(socket)
    assert (found[1], found[2]) == (b"hello\n", b"e\n")
    status = json.loads(found[3])
    assert (status["status"], status["details"]["causes"]) == ("Failure", [{"reason": "ExitCode", "message": "4"}])


async def test_the_python_client_types_in_text_messages(client: Client) -> None:
    async with client.connect("exec?command=cat&command=-&stdin=true", "v5.channel.k8s.io") as socket:
        await socket.send_str("\x00grüße\n")
        await socket.send_bytes(b"\xff\x00")
        assert (await collected(socket))[1] == "grüße\n".encode()


async def test_browsers_may_speak_base64(client: Client) -> None:
    path = "exec?command=head&command=-c5&stdin=true"
    async with client.connect(path, "v4.base64.channel.k8s.io") as socket:
        await socket.send_str("0" + b64encode(b"hello there").decode())
        found = await collected(socket)
    assert found[1] == b"hello"
    assert json.loads(found[3])["status"] == "Success"


async def test_messages_that_mean_nothing_change_nothing(client: Client) -> None:
    async with client.connect("exec?command=cat&stdin=true", "v5.channel.k8s.io") as socket:
        for message in (b"", b"\x09?", b"\x04", b"\x04{", b'\x04{"Width":0}', b"\xff", b"\xff\x07"):
            await socket.send_bytes(message)
        await socket.send_str("text")
        await socket.send_bytes(b"\x00still here")
        await socket.send_bytes(b"\xff\x00")
        assert (await collected(socket))[1] == b"still here"


@pytest.mark.parametrize("path", ["exec?command=true", "portforward?ports=1"])
async def test_a_protocol_we_do_not_speak_is_refused_by_name(client: Client, path: str) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Protocol": "v1.channel.k8s.io"}
    status, message = await client.get(path, **headers)
    assert status == 403
    assert "v1.channel.k8s.io" in message
    assert "v4.channel.k8s.io" in message
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X_Stream_Protocol_Version": "v9.channel.k8s.io"}
    status, message = await client.get(path, **headers)
    assert (status, "v9.channel.k8s.io" in message) == (403, True)


@pytest.mark.parametrize("path", ["exec?command=true", "attach", "portforward"])
async def test_a_plain_request_for_a_stream_is_refused(client: Client, path: str) -> None:
    assert await client.get(path) == (400, "Upgrade request required")


@pytest.mark.parametrize("protocols", [("v4.channel.k8s.io",), ()])
async def test_ports_are_forwarded_in_pairs_of_channels(client: Client, protocols: tuple[str, ...]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readexactly(5)).upper())
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with client.connect(f"portforward?ports={port},1", *protocols) as socket:
        await socket.send_bytes(b"\x00hello")
        found = await collected(socket)
    listener.close()
    little = port.to_bytes(2, "little")
    assert (found[0], found[1], found[2]) == (little + b"HELLO", little, b"\x01\x00")
    assert found[3].startswith(b"\x01\x00error forwarding port 1 to pod one")


async def test_a_tunnel_of_garbage_is_given_up(client: Client) -> None:
    async with client.connect("portforward", "SPDY/3.1+portforward.k8s.io") as socket:
        await socket.send_bytes(b"\x80\x02" + os.urandom(64))
        message = await socket.receive()
        assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}

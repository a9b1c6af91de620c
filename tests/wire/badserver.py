"""A scripted API server on a loopback socket that misbehaves on demand.

It speaks HTTP/1.1 by hand, so that it can do what no library would: cut a line, go silent, close at once. Answers to
lists and to watches are consumed in order; the last of each is repeated.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from headstay.model.objects import Obj


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    at: float

    def json(self) -> Any:
        return json.loads(self.body)


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def reply(document: Any, status: int = 200, **headers: str) -> Answer:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        lines = [f"HTTP/1.1 {status} Scripted", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return answer


def status(code: int, reason: str, message: str = "scripted", **headers: str) -> Answer:
    return reply(
        {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}, code, **headers
    )


@dataclass
class Silent:
    """The peer stays connected and says nothing any more."""


@dataclass
class Cut:
    """The connection is reset, in the middle of whatever was being said."""


SILENT, CUT = Silent(), Cut()


def stream(*steps: Obj | bytes | float | Silent | Cut) -> Answer:
    """A watch: objects are lines, bytes go out as they are, numbers are pauses in seconds; then it ends properly."""

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        for step in steps:
            if isinstance(step, Silent):
                await writer.drain()
                await asyncio.Event().wait()
            elif isinstance(step, Cut):
                await writer.drain()
                writer.transport.abort()
                return
            elif isinstance(step, float):
                await writer.drain()
                await asyncio.sleep(step)
            else:
                data = step if isinstance(step, bytes) else json.dumps(step).encode() + b"\n"
                writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    return answer


async def slam(_: Request, writer: asyncio.StreamWriter) -> None:
    """Closes without a word."""
    writer.transport.abort()


async def hang(_: Request, writer: asyncio.StreamWriter) -> None:
    await writer.drain()
    await asyncio.Event().wait()


def pod(name: str, version: int, *, uid: str = "") -> Obj:
    meta = {"name": name, "namespace": "default", "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta}


def pods(version: int, *items: Obj, token: str = "") -> Answer:
    meta = {"resourceVersion": str(version)} | ({"continue": token} if token else {})
    # As a real server does: the items of a built-in list say neither kind nor apiVersion.
    bare = [{"metadata": item["metadata"]} for item in items]
    return reply({"kind": "PodList", "apiVersion": "v1", "metadata": meta, "items": bare})


def event(kind: str, obj: Obj) -> Obj:
    return {"type": kind, "object": obj}


def bookmark(version: int) -> Obj:
    return event("BOOKMARK", {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": str(version)}})


EXPIRED_EVENT = event(
    "ERROR", {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}
)


@dataclass
class BadServer:
    lists: list[Answer] = field(default_factory=list)
    watches: list[Answer] = field(default_factory=list)
    others: list[Answer] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def seen(self, kind: str) -> list[Request]:
        return [request for request in self.requests if _kind(request) == kind]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader)) is not None:
                self.requests.append(request)
                script = {"list": self.lists, "watch": self.watches, "other": self.others}[_kind(request)]
                await (script.pop(0) if len(script) > 1 else script[0])(request, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def _kind(request: Request) -> str:
    if request.method != "GET" or not request.path.endswith("/pods"):
        return "other"
    return "watch" if request.query.get("watch") == "true" else "list"


async def _read(reader: asyncio.StreamReader) -> Request | None:
    first = await reader.readline()
    if not first:
        return None
    method, target, _ = first.decode().split()
    headers: dict[str, str] = {}
    while line := (await reader.readline()).strip():
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    url = urlsplit(target)
    at = asyncio.get_running_loop().time()
    return Request(method, url.path, dict(parse_qsl(url.query)), headers, body, at)


@asynccontextmanager
async def bad_server(
    *,
    lists: list[Answer] | None = None,
    watches: list[Answer] | None = None,
    others: list[Answer] | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[BadServer]:
    server = BadServer(lists or [], watches or [], others or [])
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(server.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()

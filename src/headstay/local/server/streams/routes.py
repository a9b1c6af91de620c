"""The Pod subresources that are streams, as handlers for the API server's router.

Authentication and authorisation are over when these are called. What is wrong with a request is said with a Status
before any upgrade (StatusError, for the caller to write); what goes wrong later, on the stream's own error channel.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web

from headstay.local.seams import ExecRequest, ExecSession, PodStreams
from headstay.local.server.seams import Reader
from headstay.local.server.streams import logs, portforward, remote, spdyremote, websocket
from headstay.local.server.streams.options import attach_request, exec_request, log_options
from headstay.local.server.streams.portforward import SpdyPortForward, Target, WebSocketPortForward, ports_of
from headstay.local.server.streams.remote import Channel
from headstay.local.server.streams.spdyremote import SpdyChannels
from headstay.local.server.streams.upgrade import (
    WebSocketConnection,
    accept_spdy,
    accept_websocket,
    not_upgraded,
    spdy_protocol,
    wants_spdy,
    wants_websocket,
    websocket_protocol,
)
from headstay.local.server.streams.websocket import WebSocketChannels
from headstay.model.errors import StatusError
from headstay.model.objects import Obj, dig
from headstay.model.resource import PODS


class StreamHandlers:
    """`close` ends all streams, for the server's shutdown."""

    def __init__(self, streams: PodStreams, reader: Reader) -> None:
        self._streams = streams
        self._reader = reader
        self._running: set[asyncio.Task[object]] = set()

    async def logs(self, request: web.Request, namespace: str, name: str) -> web.StreamResponse:
        pod = self._pod(namespace, name)
        options = log_options(request.query, pod)
        if not dig(pod, "spec", "nodeName"):
            return web.Response(content_type="text/plain")
        async with self._registered():
            lines = self._streams.logs(namespace, name, options)
            return await logs.respond(request, lines, options.limit_bytes)

    async def exec(self, request: web.Request, namespace: str, name: str) -> web.StreamResponse:
        asked = exec_request(request.query, self._pod(namespace, name))
        return await self._remote(request, asked, lambda: self._streams.exec(namespace, name, asked))

    async def attach(self, request: web.Request, namespace: str, name: str) -> web.StreamResponse:
        asked = attach_request(request.query, self._pod(namespace, name))
        return await self._remote(request, asked, lambda: self._streams.attach(namespace, name, asked))

    async def port_forward(self, request: web.Request, namespace: str, name: str) -> web.StreamResponse:
        pod = self._pod(namespace, name)
        if not dig(pod, "spec", "nodeName"):
            raise StatusError(400, "BadRequest", f"pod {name} does not have a host assigned")
        target = Target(self._streams, namespace, name, pod["metadata"]["uid"])
        async with self._registered():
            if wants_websocket(request):
                return await _forward_over_websocket(request, target)
            if not wants_spdy(request):
                raise not_upgraded()
            protocol = spdy_protocol(request, (portforward.PROTOCOL,))
            response, connection = await accept_spdy(request, protocol)
            await SpdyPortForward(connection, target).run()
            return response

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _remote(
        self, request: web.Request, asked: ExecRequest, start: Callable[[], Awaitable[ExecSession]]
    ) -> web.StreamResponse:
        if wants_websocket(request):
            protocol = websocket_protocol(request, websocket.PROTOCOLS)
        elif wants_spdy(request):
            protocol = spdy_protocol(request, spdyremote.PROTOCOLS)
        else:
            raise not_upgraded()
        async with self._registered():
            # Before the upgrade, so that "no such container" is an answer and not a broken stream.
            session = await start()
            async with AsyncExitStack() as stack:
                stack.push_async_callback(session.close)
                response, channels = await _accept(request, protocol, asked)
                stack.pop_all()
            await remote.serve(session, channels, asked)
            return response

    @asynccontextmanager
    async def _registered(self) -> AsyncIterator[None]:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("not in a task")
        self._running.add(task)
        try:
            yield
        finally:
            self._running.discard(task)

    def _pod(self, namespace: str, name: str) -> Obj:
        pod = self._reader.get(PODS, namespace, name)
        if pod is None:
            details = {"name": name, "kind": "pods"}
            raise StatusError(404, "NotFound", f'pods "{name}" not found', details=details)
        return pod


async def _accept(
    request: web.Request, protocol: str, asked: ExecRequest
) -> tuple[web.StreamResponse, remote.Channels]:
    if wants_websocket(request):
        socket = await accept_websocket(request, protocol)
        channels = WebSocketChannels(socket, protocol)
        await channels.greet(Channel.STDOUT if asked.stdout else Channel.STDERR if asked.stderr else Channel.ERROR)
        return socket, channels
    response, connection = await accept_spdy(request, protocol)
    return response, SpdyChannels(connection, asked)


async def _forward_over_websocket(request: web.Request, target: Target) -> web.StreamResponse:
    known = (portforward.TUNNELLED, websocket.V4)
    # kr8s names no protocol at all, and means the oldest.
    protocol = websocket_protocol(request, known) if "Sec-WebSocket-Protocol" in request.headers else ""
    if protocol == portforward.TUNNELLED:
        socket = await accept_websocket(request, protocol)
        await SpdyPortForward(WebSocketConnection(socket), target).run()
        return socket
    ports = ports_of(request.query)
    socket = await accept_websocket(request, protocol)
    await WebSocketPortForward(socket, target, ports).run()
    return socket

"""The keeper's read-only HTTP endpoint: `GET /v1/state?after=N&wait=S` and `GET /readyz`.

Not `http.server`: that costs 7 MB and a thread for each reader. Here one thread serves a bounded number of readers and
never waits for one of them: whoever is slow, sends too much or keeps too many connections loses his.
"""

import json
import os
import selectors
import socket
import threading
import time
from contextlib import suppress
from typing import Dict, Mapping, NamedTuple, Optional, Tuple

from .board import Board
from .log import tell

_PORT = 44250
_GRACE = 1.0
_READERS = 16
_REQUEST_BYTES = 4096
_REQUEST_SECONDS = 10.0
_IDLE_SECONDS = 120.0
_LONGEST_WAIT = 30.0
_ROUND_SECONDS = 0.01  # a flood of requests gets a hundred rounds a second, and the supervisor the rest
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 431: "Too Large", 503: "Gone"}


class Asked(NamedTuple):
    """A request that was read. `status` is not 200 where the answer is known already, in `problem`."""

    path: str = ""
    after: Optional[int] = None
    wait: float = 0.0
    close: bool = False
    status: int = 200
    problem: str = ""


def parse(request: bytes) -> Asked:
    """`request` is everything up to the empty line. Whatever is not a plain GET ends the connection."""
    lines = request.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return Asked(close=True, status=400, problem="this is no HTTP/1.1 request")
    headers = {
        name.strip().lower(): value.strip().lower() for name, _, value in (line.partition(":") for line in lines[1:])
    }
    if words[0] != "GET":
        return Asked(close=True, status=405, problem="only GET is served here")
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        return Asked(close=True, status=400, problem="a request with a body is not served here")
    close = headers.get("connection", "") == "close" or words[2] == "HTTP/1.0"
    path, _, query = words[1].partition("?")
    options = dict(part.partition("=")[::2] for part in query.split("&") if part)
    try:
        after = int(options["after"]) if "after" in options else None
        asked_for = float(options.get("wait", "0"))
        wait = min(asked_for, _LONGEST_WAIT) if asked_for > 0 else 0.0
    except ValueError:
        return Asked(close=close, status=400, problem="after takes a whole number and wait a number of seconds")
    return Asked(path, after, wait, close)


class Reader:
    """One connection, ended at `deadline`. `waits` is a request for the next change, answered at `answer_at` latest."""

    def __init__(self, connection: socket.socket, now: float) -> None:
        self.connection = connection
        self.inbox = b""
        self.outbox = b""
        self.waits: Optional[Asked] = None
        self.answer_at = 0.0
        self.close = False
        self.deadline = now + _REQUEST_SECONDS
        self.active = now

    @property
    def next_deadline(self) -> float:
        return min(self.deadline, self.answer_at) if self.waits else self.deadline


class Server(threading.Thread):
    """Raises OSError where the port is not to be had."""

    def __init__(self, board: Board, port: int, grace: float, host: str = "0.0.0.0") -> None:
        super().__init__(daemon=True)
        self._board = board
        self._grace = grace
        self._stopped = False
        self._readers: Dict[int, Reader] = {}
        self._listener = socket.socket()
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind((host, port))
            self._listener.listen(_READERS)
        except BaseException:
            self._listener.close()
            raise
        self.port: int = self._listener.getsockname()[1]
        self._wake_read, self._wake_write = os.pipe()
        self._selector = selectors.DefaultSelector()
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        board.on_change(self._nudge)

    def run(self) -> None:
        while not self._stopped:
            deadline = min((reader.next_deadline for reader in self._readers.values()), default=None)
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
            for key, events in self._selector.select(timeout):
                if key.fd == self._wake_read:
                    with suppress(BlockingIOError):
                        os.read(self._wake_read, 512)
                elif key.fd in self._readers:
                    self._serve(self._readers[key.fd], events)
                else:
                    self._accept()
            self._look_at_clock()
            time.sleep(_ROUND_SECONDS)
        for reader in list(self._readers.values()):
            self._drop(reader)
        self._selector.close()
        self._listener.close()

    def stop(self) -> None:
        """The port is free when this returns, or a second later at most."""
        self._stopped = True
        self._nudge()
        self.join(timeout=1.0)

    def _nudge(self) -> None:
        with suppress(OSError):
            os.write(self._wake_write, b"\0")

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if len(self._readers) >= _READERS:
            self._drop(min(self._readers.values(), key=lambda reader: reader.active))
        connection.setblocking(False)
        self._readers[connection.fileno()] = Reader(connection, time.monotonic())
        self._selector.register(connection, selectors.EVENT_READ)

    def _drop(self, reader: Reader) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(reader.connection)
        self._readers.pop(reader.connection.fileno(), None)
        reader.connection.close()

    def _serve(self, reader: Reader, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                self._read(reader)
            if events & selectors.EVENT_WRITE and reader.outbox:
                self._write(reader)
        except BlockingIOError:
            pass
        except OSError:
            self._drop(reader)

    def _read(self, reader: Reader) -> None:
        part = reader.connection.recv(_REQUEST_BYTES)
        if not part or reader.waits or reader.outbox:  # it went away, or does not wait for its answer
            raise ConnectionError
        if not reader.inbox:
            reader.deadline = time.monotonic() + _REQUEST_SECONDS
        reader.inbox += part
        request, end, rest = reader.inbox.partition(b"\r\n\r\n")
        if not end:
            if len(reader.inbox) > _REQUEST_BYTES:
                self._answer(reader, Asked(close=True, status=431, problem="the request is too large"))
            return
        reader.inbox = b""
        asked = parse(request)._replace(close=True) if rest else parse(request)
        reader.active = time.monotonic()
        if asked.path == "/v1/state" and asked.after == self._board.sequence and asked.wait:
            reader.waits, reader.answer_at = asked, reader.active + asked.wait
            reader.deadline = reader.answer_at + _REQUEST_SECONDS
        else:
            self._answer(reader, asked)

    def _look_at_clock(self) -> None:
        now, sequence = time.monotonic(), self._board.sequence
        for reader in list(self._readers.values()):
            try:
                if reader.waits and (reader.waits.after != sequence or now >= reader.answer_at):
                    self._answer(reader, reader.waits)
                elif now >= reader.deadline:
                    self._drop(reader)
            except OSError:
                self._drop(reader)

    def _answer(self, reader: Reader, asked: Asked) -> None:
        status, content, body = self._content(asked)
        reader.outbox = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {content}\r\nContent-Length: {len(body)}\r\n"
            f"Cache-Control: no-store\r\nConnection: {'close' if asked.close else 'keep-alive'}\r\n\r\n"
        ).encode() + body
        reader.waits, reader.close = None, asked.close
        reader.deadline = time.monotonic() + _REQUEST_SECONDS
        self._write(reader)

    def _content(self, asked: Asked) -> Tuple[int, str, bytes]:
        if asked.status != 200:
            return asked.status, "text/plain", asked.problem.encode() + b"\n"
        if asked.path == "/v1/state":
            return 200, "application/json", json.dumps(self._board.document()).encode()
        if asked.path == "/readyz":
            ready = self._board.serves(self._grace)
            return (200, "text/plain", b"ok\n") if ready else (503, "text/plain", b"the GCS does not serve\n")
        return 404, "text/plain", b"try /v1/state or /readyz\n"

    def _write(self, reader: Reader) -> None:
        with suppress(BlockingIOError):
            sent = reader.connection.send(reader.outbox)
            reader.outbox = reader.outbox[sent:]
        if reader.outbox:
            self._selector.modify(reader.connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
            return
        if reader.close:
            self._drop(reader)
            return
        reader.deadline = time.monotonic() + _IDLE_SECONDS
        self._selector.modify(reader.connection, selectors.EVENT_READ)


def serve(board: Board, environ: Mapping[str, str]) -> Optional[Server]:
    """Nothing else changes where it cannot be served."""
    text = environ.get("HEADSTAY_KEEPER_PORT") or str(_PORT)
    try:
        server = Server(board, int(text), float(environ.get("HEADSTAY_GCS_GRACE_S") or _GRACE))
    except (OSError, ValueError, OverflowError) as error:
        tell(f"port {text} (HEADSTAY_KEEPER_PORT) cannot be served: {error}; the GCS is watched all the same")
        return None
    server.start()
    return server

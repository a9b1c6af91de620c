"""An open load of HTTP requests: the n-th is sent when it is due, whether or not any before it was answered.

    python3 -u -c START '{"name": "load", "timeout": 15}'

One JSON document a line. In: {"do": "ping" | "load" | "rest", "id": ...}. `load` says what is sent from now on:
{"streams": [{"hop": HOP, "rate": A_SECOND, "targets": [[SUBJECT, ADDRESS, PORT], ...]}, ...]}, to the targets of a
stream in turn; a stream that goes on with other targets keeps its pace. `rest` ends it, and is answered when no request
is under way. Out: {"ready": ...}, {"reply": id, ...}, and four times a second {"requests": [...]} with those that
ended: [HOP, SUBJECT, due, ended, outcome, value, error]. Times are Unix seconds of this machine's clock.

Each request has a connection of its own: that is what is balanced, and what a user's first request has. Latency counts
from when a request was due, so that a load which falls behind hides nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any, Dict, List, Tuple

BATCH = 0.25
LATE = 1.0

setup = json.loads(sys.argv[1])
ended: List[List[Any]] = []
streams: Dict[str, "Stream"] = {}
under_way = set()  # type: ignore[var-annotated]


def say(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


async def answer_of(address: str, port: int) -> Tuple[int, str]:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        head = "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % address
        writer.write(head.encode())
        answer = await reader.read(-1)
    finally:
        writer.close()
    start, _, rest = answer.partition(b"\r\n")
    headers, _, body = rest.partition(b"\r\n\r\n")
    parts = start.split()
    if len(parts) < 2 or not parts[1].isdigit():
        raise ConnectionResetError("the connection ended after %d bytes" % len(answer))
    return int(parts[1]), whole(headers, body).decode(errors="replace").strip()


def whole(headers: bytes, body: bytes) -> bytes:
    """An answer that was cut short is none. (Serve sends some with a length and some in chunks.)"""
    lines = (line.partition(b":") for line in headers.split(b"\r\n"))
    told = {name.strip().lower(): value.strip() for name, _, value in lines}
    if told.get(b"transfer-encoding", b"").lower() == b"chunked":
        found, rest = b"", body
        while True:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size or b"-1", 16)
            if length < 0 or len(rest) < length + 2:
                raise ConnectionResetError("the connection ended within the answer")
            if length == 0:
                return found
            found, rest = found + rest[:length], rest[length + 2 :]
    if len(body) < int(told.get(b"content-length", b"0")):
        raise ConnectionResetError("the connection ended within the answer")
    return body


async def ask(hop: str, subject: str, address: str, port: int, due: float) -> None:
    outcome, value, error = "unknown", None, ""
    try:
        status, body = await asyncio.wait_for(answer_of(address, port), setup["timeout"])
        if status == 200:
            outcome, value = "ok", body[:200]
        else:
            error = "%d: %s" % (status, " ".join(body.split())[:200])
    except ConnectionRefusedError:
        outcome, error = "failed", "refused: nobody listens"
    except asyncio.TimeoutError:
        error = "timeout: no answer within %g s" % setup["timeout"]
    except ConnectionError as failure:
        error = "reset: %s" % failure
    except OSError as failure:
        error = "unreachable: %s" % failure
    except Exception as failure:  # noqa: BLE001  an answer that is no HTTP is none, too
        error = "broken: %s" % failure
    ended.append([hop, subject, due, time.time(), outcome, value, error])


class Stream:
    """One hop's requests, evenly spaced."""

    def __init__(self, order: Any) -> None:
        self.hop = order["hop"]
        self.rate = order["rate"]
        self.targets = order["targets"]
        self.task = asyncio.ensure_future(self.run())

    async def run(self) -> None:
        wall, start, number = time.time(), time.monotonic(), 0
        while True:
            wait = start + number / self.rate - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            elif number % 100 == 0:
                await asyncio.sleep(0)  # also a load that is behind lets others run
            if self.targets:
                subject, address, port = self.targets[number % len(self.targets)]
                asking = asyncio.ensure_future(ask(self.hop, subject, address, port, wall + number / self.rate))
                under_way.add(asking)
                asking.add_done_callback(under_way.discard)
            number += 1


def on_load(order: Any) -> None:
    wanted = {one["hop"]: one for one in order["streams"]}
    for hop in list(streams):
        if hop not in wanted or wanted[hop]["rate"] != streams[hop].rate:
            streams.pop(hop).task.cancel()
    for hop, one in wanted.items():
        if hop in streams:
            streams[hop].targets = one["targets"]
        else:
            streams[hop] = Stream(one)


async def on_rest() -> None:
    for hop in list(streams):
        streams.pop(hop).task.cancel()
    while under_way:
        await asyncio.wait(set(under_way))
    tell()


def tell() -> None:
    global ended
    if ended:
        told, ended = ended, []
        say(requests=told)


async def tell_often() -> None:
    while True:
        await asyncio.sleep(BATCH)
        tell()


async def obey(order: Any) -> None:
    try:
        if order["do"] == "load":
            on_load(order)
        elif order["do"] == "rest":
            await on_rest()
        say(reply=order["id"], at=time.time())
    except Exception as error:  # noqa: BLE001  who asked is told
        say(reply=order["id"], at=time.time(), problem="%s: %s" % (type(error).__name__, error))


async def main() -> None:
    telling = asyncio.ensure_future(tell_often())
    say(ready=True, at=time.time())
    orders = asyncio.StreamReader(limit=2**20)
    loop = asyncio.get_event_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), os.fdopen(os.dup(0), "rb", 0))
    obeying = set()
    while True:
        line = await orders.readline()
        if not line:
            break
        order = asyncio.ensure_future(obey(json.loads(line)))
        obeying.add(order)
        order.add_done_callback(obeying.discard)
    telling.cancel()
    os._exit(0)  # nobody is left to hear of requests under way


if __name__ == "__main__":
    asyncio.get_event_loop().run_until_complete(main())

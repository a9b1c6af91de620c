"""Measures what listening to heads costs the operator: memory, CPU, and how soon it knows.

    python bench/heads.py [HEADS] [--gcs-ports]      1,000 heads with keepers by default; prints JSON

One process plays the heads (long polls, or GCS ports that greet), this one listens with what the operator listens with.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import msgspec
from aiohttp import web

from headstay.controllers.heads import Heads
from headstay.model.head_report import HeadTarget
from headstay.model.keeper_state import GcsNow, KeeperState
from headstay.model.objects import ObjectKey

HEADS = next((int(text) for text in sys.argv[1:] if text.isdecimal()), 1000)
IDLE_SECONDS = 60.0
_SETTINGS_FRAME = bytes(3) + b"\x04" + bytes(5)


async def play() -> None:
    """The heads. A line on stdin is a change that all of them tell."""
    changed = asyncio.Condition()
    state = KeeperState("life", 1, time.time(), GcsNow("Serving", time.time()))

    async def answer(request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(float(request.query.get("wait", "0"))), changed:
                await changed.wait_for(lambda: str(state.sequence) != request.query.get("after"))
        except TimeoutError:
            pass
        return web.Response(body=msgspec.json.encode(msgspec.structs.replace(state, now=time.time())))

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_SETTINGS_FRAME)
        with suppress(OSError):
            await reader.read()
        writer.close()

    app = web.Application()
    app.router.add_get("/v1/state", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    gcs = await asyncio.start_server(greet, "127.0.0.1", 0, backlog=4096)
    print(runner.addresses[0][1], gcs.sockets[0].getsockname()[1], flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        async with changed:
            state = KeeperState("life", state.sequence + 1, time.time(), GcsNow("Gone", time.time(), "signal 9"))
            changed.notify_all()


def _megabytes() -> float:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def listen(port: int, *, keeper: bool, change: Any) -> dict[str, float]:
    learned: dict[ObjectKey, float] = {}
    heads = Heads(lambda key: learned.__setitem__(key, time.monotonic()))
    before = _megabytes()
    for number in range(HEADS):
        key = ObjectKey("default", f"c{number}")
        heads.listen(key, HeadTarget(f"uid-{number}", "127.0.0.1", port, keeper))
    while sum(report.gcs == "Serving" for _, report in heads.reports()) < HEADS:
        await asyncio.sleep(0.1)
    used = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.sleep(IDLE_SECONDS)
    after = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "kilobytes_each": round((_megabytes() - before) * 1000 / HEADS, 1),
        "idle_core_percent": round(
            (after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime) * 100 / IDLE_SECONDS, 2
        ),
    }
    if keeper:
        learned.clear()
        began = time.monotonic()
        change()
        while len(learned) < HEADS:
            await asyncio.sleep(0.05)
        found["all_gone_at_once_known_after_s"] = round(max(learned.values()) - began, 3)
    await heads.stop()
    return found


def main() -> None:
    with subprocess.Popen(
        [sys.executable, __file__, "--play"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as player:
        if player.stdin is None or player.stdout is None:
            raise SystemExit("no pipes")
        keeper_port, gcs_port = map(int, player.stdout.readline().split())
        stdin = player.stdin

        def change() -> None:
            stdin.write("\n")
            stdin.flush()

        what, port = ("gcs_ports", gcs_port) if "--gcs-ports" in sys.argv else ("keepers", keeper_port)
        found = asyncio.run(listen(port, keeper=what == "keepers", change=change))
        player.terminate()
    print(json.dumps({"heads": HEADS, what: found}, indent=2))


if __name__ == "__main__":
    if "--play" in sys.argv:
        asyncio.run(play())
    else:
        main()

"""The server is killed with writers at work: what it acknowledged is there again, and watchers can go on."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from tests.unit.server_core.objects import config_map

from headstay.model.objects import Obj

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
SERVER = """
import asyncio, sys
from pathlib import Path
from headstay.local.seams import SYSTEM, Decision
from headstay.local.server.about import About
from headstay.local.server.assembly import build_api
from headstay.local.server.http import Surroundings, create_app, start

class Everyone:
    def authorize(self, user, attributes):
        return Decision(True, "")

async def main():
    api = build_api(Path(sys.argv[1]))
    app = create_app(api, Surroundings(lambda request: SYSTEM, Everyone()), About(api.kinds))
    runner = await start(app, "127.0.0.1", 0)
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def server(database: Path) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(database), stdout=asyncio.subprocess.PIPE, env=os.environ
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            port = int(await process.stdout.readline())
        yield f"http://127.0.0.1:{port}", process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def write(session: aiohttp.ClientSession, url: str, worker: int, acknowledged: dict[str, Obj | None]) -> None:
    """Creates, changes and deletes until the server is gone. Notes the state each answer promised."""
    turn = 0
    while True:
        turn += 1
        name = f"w{worker}-{turn}"
        try:
            async with session.post(url + CONFIGMAPS, json=config_map(name)) as response:
                made = await response.json()
            acknowledged[name] = made
            async with session.put(f"{url}{CONFIGMAPS}/{name}", json=made | {"data": {"turn": "2"}}) as response:
                acknowledged[name] = await response.json()
            if turn % 3 == 0:
                acknowledged.pop(name)  # from here on either answer is right
                async with session.delete(f"{url}{CONFIGMAPS}/{name}") as response:
                    await response.read()
                acknowledged[name] = None
        except (aiohttp.ClientError, ConnectionError):
            return


@pytest.mark.parametrize("seconds", [0.3, 0.7])
async def test_a_killed_server_has_lost_nothing_it_acknowledged(tmp_path: Path, seconds: float) -> None:
    database = tmp_path / "objects.sqlite"
    acknowledged: dict[str, Obj | None] = {}
    async with server(database) as (url, process), aiohttp.ClientSession() as session:
        writers = [asyncio.create_task(write(session, url, worker, acknowledged)) for worker in range(3)]
        while len(acknowledged) < 20:
            await asyncio.sleep(0.01)
        await asyncio.sleep(seconds)
        process.kill()
        await asyncio.gather(*writers)

    async with server(database) as (url, _), aiohttp.ClientSession() as session:
        async with session.get(url + CONFIGMAPS) as response:
            listed = await response.json()
        found = {item["metadata"]["name"]: item for item in listed["items"]}
        for name, expected in acknowledged.items():
            if expected is None:
                assert name not in found
            else:
                kept = found[name]
                assert int(kept["metadata"]["resourceVersion"]) >= int(expected["metadata"]["resourceVersion"])
        assert await replayed(session, url) == found


async def replayed(session: aiohttp.ClientSession, url: str) -> dict[str, Obj]:
    """What a watcher that saw the very first revision makes of the log that survived."""
    state: dict[str, Obj] = {}
    last = 0
    query = "?watch=true&resourceVersion=1&timeoutSeconds=1"
    async with session.get(url + CONFIGMAPS + query) as response:
        async for line in response.content:
            event = json.loads(line)
            meta = event["object"]["metadata"]
            assert int(meta["resourceVersion"]) > last
            last = int(meta["resourceVersion"])
            if event["type"] == "DELETED":
                del state[meta["name"]]
            else:
                state[meta["name"]] = event["object"]
    return state

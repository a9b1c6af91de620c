"""The API server alone, on a loopback port without TLS or rights, and real kubectl against it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from headstay.local.seams import SYSTEM, Attributes, Decision, User
from headstay.local.server.about import About
from headstay.local.server.assembly import MEMORY, build_api
from headstay.local.server.http import Surroundings, create_app, start
from headstay.local.server.rest import Api
from headstay.local.server.schema.kinds import KindSchemas
from headstay.local.server.schema.openapi import OpenApi

TIMEOUT = 60


class Everyone:
    """May do everything: these tests are not about rights."""

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        return Decision(allowed=True, reason="")


class Output(NamedTuple):
    code: int
    out: str
    err: str


@dataclass
class Server:
    api: Api
    url: str
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    async def start_kubectl(self, *arguments: str) -> asyncio.subprocess.Process:
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"], "KUBECONFIG": "/dev/null"}
        return await asyncio.create_subprocess_exec(
            "kubectl",
            f"--server={self.url}",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment | self.environment,
        )

    async def kubectl(self, *arguments: str, stdin: Any = None) -> Output:
        """Runs kubectl to its end; `stdin` is one document, or a list of them."""
        process = await self.start_kubectl(*arguments)
        documents = stdin if isinstance(stdin, list) else [stdin]
        text = None if stdin is None else yaml.safe_dump_all(documents).encode()
        async with asyncio.timeout(TIMEOUT):
            out, err = await process.communicate(text)
        return Output(process.returncode or 0, out.decode(), err.decode())

    async def run(self, *arguments: str, stdin: Any = None) -> str:
        """What kubectl printed; it must have succeeded."""
        code, out, err = await self.kubectl(*arguments, stdin=stdin)
        assert code == 0, f"kubectl {' '.join(arguments)}: {err or out}"
        return out

    async def refused(self, *arguments: str, stdin: Any = None) -> str:
        """What kubectl complained of; it must have failed."""
        code, out, err = await self.kubectl(*arguments, stdin=stdin)
        assert code != 0, f"kubectl {' '.join(arguments)} succeeded: {out}"
        return err


@asynccontextmanager
async def api_server(home: Path, database: Path | str = MEMORY, **surroundings: Any) -> AsyncIterator[Server]:
    api = build_api(database)
    around = Surroundings(authenticate=lambda request: SYSTEM, authorizer=Everyone(), **surroundings)
    assert isinstance(api.schemas, KindSchemas)
    openapi = OpenApi(api.schemas.definitions, api.kinds, api.reader)
    about = About(api.kinds, openapi=openapi.document)
    runner = await start(create_app(api, around, about), "127.0.0.1", 0)
    port = runner.addresses[0][1]
    try:
        yield Server(api, f"http://127.0.0.1:{port}", home)
    finally:
        api.broadcaster.close()
        await runner.cleanup()
        api.store.close()

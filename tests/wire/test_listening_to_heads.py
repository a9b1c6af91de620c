"""How the operator learns of a dead GCS, over real sockets."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.wire.heads_servers import GcsPort, KeeperServer, dashboard

from headstay.controllers.heads import Heads
from headstay.gcs.nodes import NodesUnreadError, read_nodes
from headstay.model.head_report import HeadReport, HeadTarget, TableWanted
from headstay.model.keeper_state import GcsNow, Revival
from headstay.model.objects import ObjectKey
from headstay.model.ray_nodes import RayNode
from headstay.plan.raycluster.plan import Returns

KEY = ObjectKey("default", "a")


def keeper_of(port: int, uid: str = "uid-1") -> HeadTarget:
    return HeadTarget(uid, "127.0.0.1", port, keeper=True)


def gcs_of(port: int) -> HeadTarget:
    return HeadTarget("uid-1", "127.0.0.1", port, keeper=False)


@asynccontextmanager
async def listening(target: HeadTarget) -> AsyncIterator[Heads]:
    told: list[ObjectKey] = []
    heads = Heads(told.append)
    heads.listen(KEY, target)
    try:
        yield heads
    finally:
        await heads.stop()
        assert set(told) <= {KEY}


async def until(heads: Heads, wanted: Callable[[HeadReport], bool], seconds: float = 15) -> tuple[HeadReport, float]:
    """The report, and after how many seconds it was there."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        report = heads.report(KEY)
        if report is not None and wanted(report):
            return report, time.monotonic() - began
        await asyncio.sleep(0.005)
    raise AssertionError(f"after {seconds} s: {heads.report(KEY)}")


@pytest.fixture
async def keeper() -> AsyncIterator[KeeperServer]:
    server = KeeperServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def gcs() -> AsyncIterator[GcsPort]:
    port = GcsPort()
    await port.start()
    yield port
    await port.stop()


async def test_what_a_keeper_tells_is_known_at_once(keeper: KeeperServer) -> None:
    async with listening(keeper_of(keeper.port)) as heads:
        await until(heads, lambda report: report.gcs == "Serving")
        await asyncio.sleep(0.2)
        dead = Revival(1, "Gone", "it ended with signal 9", lost=1000.0, detected=1000.1)
        await keeper.tell(gcs=GcsNow("Gone", 1000.1, "it ended with signal 9"), revivals=(dead,), now=1000.2)
        report, seconds = await until(heads, lambda report: report.gcs == "Gone")
        assert report.why == "it ended with signal 9"
        assert seconds < 2  # milliseconds where nothing else runs
        assert [poll.get("after") for poll in keeper.polls] == [None, "1", "2"]


async def test_times_of_the_head_are_put_on_our_clock(keeper: KeeperServer) -> None:
    await keeper.tell(gcs=GcsNow("Gone", 990.0), now=1000.0)
    async with listening(keeper_of(keeper.port)) as heads:
        report, _ = await until(heads, lambda report: report.gcs == "Gone")
        assert time.time() - report.since.timestamp() == pytest.approx(10.0, abs=3)


async def test_a_keeper_out_of_reach_is_unknown_and_said_once(keeper: KeeperServer) -> None:
    async with listening(keeper_of(keeper.port)) as heads:
        await until(heads, lambda report: report.gcs == "Serving")
        told: list[ObjectKey] = []
        heads.on_change(told.append)
        await keeper.stop()
        report, _ = await until(heads, lambda report: report.gcs == "Unknown")
        assert report.state is not None, "what it told last is kept"
        await asyncio.sleep(1.5)
        assert told == [KEY]
        await keeper.start()
        await until(heads, lambda report: report.gcs == "Serving")


@pytest.mark.parametrize("answer", [b"not json", b"{}", b" " * 300_000], ids=["words", "nothing", "too much"])
async def test_whoever_is_no_keeper_tells_nothing(keeper: KeeperServer, answer: bytes) -> None:
    keeper.answer = answer
    async with listening(keeper_of(keeper.port)) as heads:
        report, _ = await until(heads, lambda _: True)
        assert report.gcs == "Unknown"
        assert len(report.why) <= 300


async def test_fields_of_a_later_keeper_are_passed_over(keeper: KeeperServer) -> None:
    keeper.answer = json.dumps(
        {"incarnation": "a", "sequence": 7, "now": 1.0, "gcs": {"phase": "Serving", "since": 1.0, "x": 1}, "y": []}
    ).encode()
    async with listening(keeper_of(keeper.port)) as heads:
        await until(heads, lambda report: report.gcs == "Serving")


async def test_a_gcs_that_ends_is_gone_as_soon_as_its_port_refuses(gcs: GcsPort) -> None:
    async with listening(gcs_of(gcs.port)) as heads:
        await until(heads, lambda report: report.gcs == "Serving")
        await gcs.stop()
        _, seconds = await until(heads, lambda report: report.gcs == "Gone")
        assert seconds < 2
        await gcs.start()
        _, seconds = await until(heads, lambda report: report.gcs == "Serving")
        assert seconds < 4


async def test_a_gcs_that_hangs_up_and_takes_the_next_call_is_not_gone(gcs: GcsPort) -> None:
    """As a gRPC server does after 120 s with whoever says nothing."""
    async with listening(gcs_of(gcs.port)) as heads:
        await until(heads, lambda report: report.gcs == "Serving")
        told: list[ObjectKey] = []
        heads.on_change(told.append)
        gcs.hang_up()
        while gcs.connections < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert told == []


async def test_a_port_that_never_served_is_not_gone_but_not_there_yet(gcs: GcsPort) -> None:
    await gcs.stop()
    async with listening(gcs_of(gcs.port)) as heads:
        await asyncio.sleep(0.6)
        assert heads.report(KEY) is None
        await gcs.start()
        await until(heads, lambda report: report.gcs == "Serving")


async def test_a_port_that_takes_connections_and_says_nothing_is_unknown() -> None:
    """TLS, or a GCS that is stopped."""
    silent = GcsPort(greets=False)
    await silent.start()
    async with listening(gcs_of(silent.port)) as heads:
        report, _ = await until(heads, lambda _: True)
        assert report.gcs == "Unknown"
    await silent.stop()


async def test_another_head_pod_is_another_listening(keeper: KeeperServer) -> None:
    async with listening(keeper_of(keeper.port)) as heads:
        await until(heads, lambda report: report.gcs == "Serving")
        assert heads.listen(KEY, keeper_of(keeper.port, "uid-2")) is None
        await until(heads, lambda report: report.pod_uid == "uid-2")
        assert heads.listen(KEY, None) is None
        await asyncio.sleep(0.2)
        polls = len(keeper.polls)
        await keeper.tell(gcs=GcsNow("Gone", 1.0))
        await asyncio.sleep(0.2)
        assert len(keeper.polls) == polls
        assert heads.report(KEY) is None


def table(*nodes: tuple[str, str], **more: Any) -> dict[str, Any]:
    rows = [{"node_ip": ip, "state": state, "is_head_node": False, "node_id": "x"} for ip, state in nodes]
    inner = {"total": len(rows), "num_after_truncation": len(rows), "result": rows, "partial_failure_warning": ""}
    return {"result": True, "msg": "", "data": {"result": inner | more}}


async def test_the_node_table_is_read_as_ray_tells_it() -> None:
    answer = table(("10.0.0.1", "ALIVE"), ("10.0.0.2", "DEAD"))
    async with dashboard(lambda: web.json_response(answer)) as port, aiohttp.ClientSession() as session:
        found = await read_nodes(session, "127.0.0.1", port)
        assert found == (RayNode("10.0.0.1", "ALIVE"), RayNode("10.0.0.2", "DEAD"))


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (web.json_response({"result": False, "msg": "no GCS", "data": None}), "no GCS"),
        (web.json_response(table(("10.0.0.1", "ALIVE"), total=2)), "1 of 2"),
        (web.json_response(table(partial_failure_warning="cut off", total=0)), "0 of 0"),
        (web.Response(status=401), "401"),
        (web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), "302"),
        (web.Response(text="<html>"), "something else"),
    ],
    ids=["refused", "cut short", "in parts", "locked", "elsewhere", "a page"],
)
async def test_half_a_table_is_no_table(answer: web.Response, word: str) -> None:
    async with dashboard(lambda: answer) as port, aiohttp.ClientSession() as session:
        with pytest.raises(NodesUnreadError, match=word):
            await read_nodes(session, "127.0.0.1", port)


async def test_a_table_is_read_again_until_nobody_wants_it_and_a_failure_begins_the_evidence_anew() -> None:
    answers: list[Callable[[], web.Response]] = [
        lambda: web.json_response(table(("10.0.0.1", "ALIVE"))),
        lambda: web.Response(status=500),
    ]
    turn = 0

    def answer() -> web.Response:
        nonlocal turn
        turn += 1
        return answers[1 if turn == 3 else 0]()

    async with dashboard(answer) as port, listening(keeper_of(1)) as heads:
        wanted = TableWanted("life/1", "127.0.0.1", port)
        seen: list[Returns] = []
        while turn < 5:
            found = heads.read_table(KEY, wanted)
            assert found is not None
            if not seen or found != seen[-1]:
                seen.append(found)
            await asyncio.sleep(0.02)
        assert seen[0].last is None
        firm = [found for found in seen if found.since is not None and found.before is not None]
        broken = [found for found in seen if found.why]
        assert firm
        assert broken
        assert broken[0].since is None
        assert broken[0].first is not None, "that it answered once is not forgotten"
        heads.replaced(KEY, 2)
        assert heads.read_table(KEY, wanted._replace(record="life/2")) is not None
        again = heads.read_table(KEY, wanted._replace(record="life/2"))
        assert again is not None
        assert len(again.replaced) == 2, "one minute's quota holds across recoveries"
        assert heads.read_table(KEY, None) is None

"""A session at one end, frames written by the test at the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from headstay.local.server.streams import pipe
from headstay.local.server.streams.pipe import LIMIT, Pipe
from headstay.local.server.streams.session import (
    SpdySession,
    SpdyStream,
    StreamRefusedError,
    StreamResetError,
)
from headstay.local.server.streams.spdy import (
    Data,
    Decoder,
    Encoder,
    Frame,
    GoAway,
    Ping,
    ResetCode,
    RstStream,
    SynReply,
    SynStream,
)

BOUND = 5.0


class Wire:
    """The session's connection; the test is the client."""

    def __init__(self) -> None:
        self._to_server: asyncio.Queue[bytes] = asyncio.Queue()
        self._from_server: asyncio.Queue[Frame] = asyncio.Queue()
        self._encoder, self._decoder = Encoder(), Decoder()
        self.reads = 0

    async def read(self) -> bytes:
        self.reads += 1
        return await self._to_server.get()

    async def write(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            self._from_server.put_nowait(frame)

    async def close(self) -> None:
        pass

    def send(self, *frames: Frame) -> None:
        for frame in frames:
            self._to_server.put_nowait(self._encoder.encode(frame))

    def hang_up(self) -> None:
        self._to_server.put_nowait(b"")

    async def receive(self) -> Frame:
        async with asyncio.timeout(BOUND):
            return await self._from_server.get()


class Ends:
    def __init__(self) -> None:
        self.wire = Wire()
        self.accepted: list[SpdyStream] = []
        self.session = SpdySession(self.wire, self._accept)

    def _accept(self, stream: SpdyStream) -> None:
        if "refuse" in stream.headers:
            raise StreamRefusedError("as asked")
        self.accepted.append(stream)

    async def open(self, number: int = 1) -> SpdyStream:
        self.wire.send(SynStream(number, {"n": str(number)}))
        assert await self.wire.receive() == SynReply(number, {})
        return self.accepted[-1]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.session.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    found = Ends()
    async with found.running():
        yield found


async def test_a_stream_is_answered_and_carries_bytes_both_ways(ends: Ends) -> None:
    stream = await ends.open()
    ends.wire.send(Data(1, b"up"))
    assert await stream.read() == b"up"
    await stream.write(b"down")
    assert await ends.wire.receive() == Data(1, b"down")


async def test_each_side_closes_on_its_own(ends: Ends) -> None:
    stream = await ends.open()
    ends.wire.send(Data(1, b"last", fin=True))
    assert (await stream.read(), await stream.read()) == (b"last", b"")
    await stream.write(b"still here")
    await stream.close()
    assert [await ends.wire.receive(), await ends.wire.receive()] == [Data(1, b"still here"), Data(1, b"", fin=True)]
    with pytest.raises(StreamResetError):
        await stream.write(b"too late")


async def test_long_writes_go_out_in_pieces(ends: Ends) -> None:
    stream = await ends.open()
    await stream.write(bytes(100_000))
    sizes: list[int] = []
    while sum(sizes) < 100_000:
        frame = await ends.wire.receive()
        assert isinstance(frame, Data)
        sizes.append(len(frame.data))
    assert max(sizes) == 32 << 10


async def test_a_reset_ends_both_sides(ends: Ends) -> None:
    stream = await ends.open()
    ends.wire.send(RstStream(1, ResetCode.CANCEL))
    with pytest.raises(StreamResetError):
        await stream.read()
    with pytest.raises(StreamResetError):
        await stream.write(b"x")


async def test_a_stream_that_is_not_wanted_is_refused(ends: Ends) -> None:
    ends.wire.send(SynStream(1, {"refuse": ""}))
    assert await ends.wire.receive() == RstStream(1, ResetCode.REFUSED_STREAM)


@pytest.mark.parametrize("number", [2, 1])
async def test_a_stream_number_that_is_not_the_next_odd_one_is_an_error(ends: Ends, number: int) -> None:
    await ends.open(1)
    ends.wire.send(SynStream(number, {}))
    assert await ends.wire.receive() == RstStream(number, ResetCode.PROTOCOL_ERROR)


async def test_data_for_a_stream_that_never_was_is_an_error_but_late_data_is_not(ends: Ends) -> None:
    stream = await ends.open(1)
    await stream.reset(ResetCode.CANCEL)
    assert await ends.wire.receive() == RstStream(1, ResetCode.CANCEL)
    ends.wire.send(Data(1, b"late"), Data(9, b"what"))
    assert await ends.wire.receive() == RstStream(9, ResetCode.INVALID_STREAM)


async def test_pings_of_the_client_are_answered_and_ours_are_not_echoed(ends: Ends) -> None:
    ends.wire.send(Ping(2), Ping(1))
    assert await ends.wire.receive() == Ping(1)


async def test_the_end_of_the_connection_ends_every_stream(ends: Ends) -> None:
    one, two = await ends.open(1), await ends.open(3)
    ends.wire.hang_up()
    for stream in (one, two):
        with pytest.raises(StreamResetError, match="connection has ended"):
            await stream.read()


async def test_a_go_away_lets_open_streams_finish(ends: Ends) -> None:
    stream = await ends.open()
    ends.wire.send(GoAway(0), Data(1, b"more"))
    assert await stream.read() == b"more"


async def test_a_stream_nobody_reads_stops_the_reading_of_the_connection(ends: Ends) -> None:
    stream = await ends.open()
    ends.wire.send(*(Data(1, bytes(64 << 10)) for _ in range(20)))
    await asyncio.sleep(0.05)
    assert ends.wire.reads <= 2 + LIMIT // (64 << 10) + 1
    received = 0
    while received < 20 * (64 << 10):
        received += len(await stream.read())


async def test_a_dead_peer_is_found_while_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "PROBE_SECONDS", 0.01)

    async def probe() -> None:
        raise ConnectionResetError("gone")

    full = Pipe(limit=1)
    await full.put(b"x", probe)
    with pytest.raises(ConnectionResetError):
        await full.put(b"y", probe)

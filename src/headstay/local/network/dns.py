"""The Pods' DNS server, on the bridge's address: our own zones from memory, the rest from the machine's resolvers.

Answers from memory are given within the datagram callback, so they cost no task and cannot queue behind a slow
resolver. A name outside our zones never blocks one inside.
"""

import asyncio
import logging
from typing import Any

from dnslib import EDNS0, QTYPE, RCODE, RR, DNSError, DNSHeader, DNSRecord

from headstay.local.network.commands import NetworkError
from headstay.local.network.upstream import UnanswerableError, Upstream
from headstay.local.network.zone import ClusterZone, Found, rcode_of

PLAIN_LIMIT = 512
EDNS_LIMIT = 1232
TCP_LIMIT = 65535
TCP_IDLE_SECONDS = 10.0
TCP_CONNECTIONS = 128
CNAME_DEPTH = 8
FILL_SECONDS = 4.0
"""Less than the five seconds after which a stub resolver asks again."""
_CLASS_IN = 1

logger = logging.getLogger(__name__)


class Resolver:
    """From a query's bytes to an answer's, over either transport."""

    def __init__(self, zone: ClusterZone, upstream: Upstream) -> None:
        self._zone = zone
        self._upstream = upstream
        self.filled = asyncio.Event()
        """Set by the owner when the zone's caches are: before that, absence means nothing and questions wait."""
        self._turn = 0

    def at_once(self, query: bytes, *, tcp: bool) -> bytes | DNSRecord | None:
        """The answer, where memory has all of it; the parsed query, where others must be asked; None: say nothing."""
        if len(query) < 12 or query[2] & 0x80:
            return None  # answering an answer is how two servers talk for ever
        try:
            request = DNSRecord.parse(query)
        except (DNSError, ValueError, IndexError):
            return _refusal(query, RCODE.FORMERR)
        if request.header.opcode != 0:
            return _refusal(query, RCODE.NOTIMP)
        if len(request.questions) != 1:
            return _refusal(query, RCODE.FORMERR)
        if request.q.qclass != _CLASS_IN:
            return _refusal(query, RCODE.REFUSED)
        found = self._zone.lookup(str(request.q.qname), request.q.qtype)
        if found is None or not self.filled.is_set() or _to_follow(found, request.q.qtype) is not None:
            return request
        return self._pack(request, found, tcp=tcp)

    async def ask_others(self, request: DNSRecord, query: bytes, *, tcp: bool) -> bytes:
        found = self._zone.lookup(str(request.q.qname), request.q.qtype)
        try:
            if found is not None and not self.filled.is_set():
                async with asyncio.timeout(FILL_SECONDS):
                    await self.filled.wait()
                found = self._zone.lookup(str(request.q.qname), request.q.qtype)
            if found is None:
                return await self._upstream.ask(query, tcp=tcp)
            return self._pack(request, await self._follow(found, request.q.qtype), tcp=tcp)
        except (UnanswerableError, TimeoutError, DNSError) as error:
            logger.debug("%s: %s", request.q.qname, error)
            return _refusal(query, RCODE.SERVFAIL)

    async def _follow(self, found: Found, kind: int) -> Found:
        """An ExternalName's chain to its end: stub resolvers do not follow it themselves."""
        records = list(found.records)
        for _ in range(CNAME_DEPTH):
            target = _to_follow(found, kind)
            if target is None:
                return Found(found.exists, records, [])
            here = self._zone.lookup(target, kind)
            if here is None:
                answer = DNSRecord.parse(await self._upstream.ask(DNSRecord.question(target, QTYPE[kind]).pack()))
                return Found(answer.header.rcode != RCODE.NXDOMAIN, records + answer.rr, [])
            found = here
            records += here.records
        raise UnanswerableError(f"more than {CNAME_DEPTH} names in a chain of CNAMEs")

    def _pack(self, request: DNSRecord, found: Found, *, tcp: bool) -> bytes:
        header = DNSHeader(id=request.header.id, qr=1, aa=1, rd=request.header.rd, ra=1, rcode=rcode_of(found))
        answer = DNSRecord(header, q=request.q, rr=self._rotated(found.records), ar=list(found.additional))
        if not found.records:
            answer.add_auth(self._zone.authority())
        limit = TCP_LIMIT if tcp else PLAIN_LIMIT
        offered = next((extra for extra in request.ar if extra.rtype == QTYPE.OPT), None)
        if offered is not None:
            limit = limit if tcp else max(PLAIN_LIMIT, min(offered.rclass, EDNS_LIMIT))
            answer.add_ar(EDNS0(udp_len=EDNS_LIMIT))
        return _fitted(answer, limit)

    def _rotated(self, records: list[RR]) -> list[RR]:
        """Another address first each time: most clients take the first. A chain of CNAMEs keeps its order."""
        if len(records) < 2 or any(record.rtype == QTYPE.CNAME for record in records):
            return list(records)
        self._turn += 1
        start = self._turn % len(records)
        return records[start:] + records[:start]


def _to_follow(found: Found, kind: int) -> str | None:
    last = found.records[-1] if found.records else None
    if last is None or last.rtype != QTYPE.CNAME or kind in {QTYPE.CNAME, QTYPE.ANY}:
        return None
    return str(last.rdata.label)


def _fitted(answer: DNSRecord, limit: int) -> bytes:
    """As much as fits: the optional part goes first, then answers, which says TC so that the asker comes by TCP."""
    packed = bytes(answer.pack())
    if len(packed) > limit:
        answer.ar = [extra for extra in answer.ar if extra.rtype == QTYPE.OPT]
        packed = bytes(answer.pack())
    while len(packed) > limit and answer.rr:
        answer.header.tc = 1
        # By the average size of what is there, so that a hundred addresses do not take a hundred rounds.
        surplus = max(1, (len(packed) - limit) * len(answer.rr) // len(packed))
        answer.rr = answer.rr[:-surplus]
        packed = bytes(answer.pack())
    return packed


def _refusal(query: bytes, code: int) -> bytes:
    """A bare header, for questions that could not be read or not be answered."""
    flags = 0x8000 | (int.from_bytes(query[2:4], "big") & 0x7900) | 0x0080 | code
    return query[:2] + flags.to_bytes(2, "big") + bytes(8)


class DnsServer:
    def __init__(self, resolver: Resolver, address: str, port: int = 53) -> None:
        self._resolver = resolver
        self._address = address
        self._port = port
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._udp, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), local_addr=(self._address, self._port)
            )
            self._tcp = await asyncio.start_server(self._serve, self._address, self._port)
        except OSError as error:
            await self.stop()
            raise NetworkError(
                f"cannot serve DNS on {self._address} port {self._port}: {error.strerror}; "
                "another DNS server on all addresses (dnsmasq, bind) must be told to leave this one out"
            ) from error

    async def stop(self) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for writer in list(self._connections):
            writer.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def datagram(self, query: bytes, sender: Any) -> None:
        answer = self._resolver.at_once(query, tcp=False)
        if isinstance(answer, bytes):
            self._send(answer, sender)
        elif answer is not None:
            task = asyncio.create_task(self._datagram_later(answer, query, sender))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _datagram_later(self, request: DNSRecord, query: bytes, sender: Any) -> None:
        self._send(await self._resolver.ask_others(request, query, tcp=False), sender)

    def _send(self, answer: bytes, receiver: Any) -> None:
        if self._udp is not None and not self._udp.is_closing():
            self._udp.sendto(answer, receiver)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= TCP_CONNECTIONS:
            writer.close()
            return
        self._connections.add(writer)
        try:
            while True:
                async with asyncio.timeout(TCP_IDLE_SECONDS):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    query = await reader.readexactly(size)
                answer = self._resolver.at_once(query, tcp=True)
                if answer is None:
                    return
                if not isinstance(answer, bytes):
                    answer = await self._resolver.ask_others(answer, query, tcp=True)
                writer.write(len(answer).to_bytes(2, "big") + answer)
                async with asyncio.timeout(TCP_IDLE_SECONDS):
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return  # the asker has gone, or has nothing more to ask
        finally:
            self._connections.discard(writer)
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._server.datagram(data, addr)

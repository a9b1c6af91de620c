"""Asks the machine's own resolvers what is not ours to answer, within two seconds in all.

We ask from the machine's own network namespace, so a resolver on its loopback (systemd-resolved, dnsmasq) is as good
as any other. They are tried in the order of resolv.conf, because with a VPN the order means something.
"""

import asyncio
import os
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple, Protocol

RESOLV_CONF = Path("/etc/resolv.conf")
SYSTEMD_RESOLV_CONF = Path("/run/systemd/resolve/resolv.conf")
TOTAL_SECONDS = 2.0
IN_FLIGHT = 256
SERVERS = 3
_FAILURES = frozenset({2, 5})  # SERVFAIL and REFUSED: another server may know better


class UnanswerableError(Exception):
    """No resolver, too many questions at once, or no answer in time; the asker gets SERVFAIL."""


class Server(NamedTuple):
    address: str
    port: int = 53


def nameservers(text: str) -> list[str]:
    """The addresses on the `nameserver` lines, the unreadable ones left out."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and _address(words[1]) is not None:
            found.append(words[1])
    return found


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


class Resolvers(Protocol):
    def servers(self) -> list[Server]: ...


class HostResolvers:
    """resolv.conf as it is now: it changes when a laptop moves."""

    def __init__(self, own: IPv4Address, paths: tuple[Path, ...] = (RESOLV_CONF, SYSTEMD_RESOLV_CONF)) -> None:
        self._own = str(own)
        self._paths = paths
        self._stamps: tuple[tuple[int, int], ...] | None = None
        self._servers: list[Server] = []

    def servers(self) -> list[Server]:
        """Without ourselves; systemd-resolved's own list comes second, for when its stub does not answer."""
        stamps = tuple(_stamp(path) for path in self._paths)
        if stamps != self._stamps:
            self._stamps = stamps
            found = [address for path in self._paths for address in nameservers(_text(path))]
            self._servers = [Server(address) for address in dict.fromkeys(found) if address != self._own][:SERVERS]
        return self._servers


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


class Upstream:
    def __init__(self, resolvers: Resolvers, *, total_seconds: float = TOTAL_SECONDS) -> None:
        self._resolvers = resolvers
        self._total = total_seconds
        self._in_flight = 0

    async def ask(self, query: bytes, *, tcp: bool = False) -> bytes:
        """The answer to `query`, under the asker's own id. Raises UnanswerableError."""
        servers = self._resolvers.servers()
        if not servers:
            raise UnanswerableError("this machine has no resolver in /etc/resolv.conf")
        if self._in_flight >= IN_FLIGHT:
            raise UnanswerableError(f"{IN_FLIGHT} questions are waiting for this machine's resolvers")
        self._in_flight += 1
        try:
            return await self._try_each(servers, query, tcp=tcp)
        finally:
            self._in_flight -= 1

    async def _try_each(self, servers: list[Server], query: bytes, *, tcp: bool) -> bytes:
        last: bytes | None = None
        for server in servers:
            try:
                async with asyncio.timeout(self._total / len(servers)):
                    answer = await (_ask_tcp(server, query) if tcp else _ask_udp(server, query))
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                continue
            if answer[3] & 0x0F not in _FAILURES:
                return answer
            last = answer
        if last is None:
            raise UnanswerableError("no answer from this machine's resolvers")
        return last


class _Question(asyncio.DatagramProtocol):
    def __init__(self, identifier: bytes) -> None:
        self._identifier = identifier
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 the socket is connected
        if len(data) >= 12 and data[:2] == self._identifier and data[2] & 0x80 and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _ask_udp(server: Server, query: bytes) -> bytes:
    # A fresh id and a fresh port for each question: what an off-path forger would have to guess.
    identifier = os.urandom(2)
    loop = asyncio.get_running_loop()
    transport, question = await loop.create_datagram_endpoint(lambda: _Question(identifier), remote_addr=server)
    try:
        transport.sendto(identifier + query[2:])
        answer = await question.answer
    finally:
        transport.close()
    return query[:2] + answer[2:]


async def _ask_tcp(server: Server, query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        size = int.from_bytes(await reader.readexactly(2), "big")
        answer = await reader.readexactly(max(size, 12))
    finally:
        writer.close()
    if answer[:2] != query[:2]:
        raise OSError("the resolver answered another question")
    return answer

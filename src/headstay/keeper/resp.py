"""One connection to Redis, logged in: as much of its protocol as the keeper needs."""

import os
import select
import socket
from typing import TYPE_CHECKING, Any, List, Mapping, NamedTuple, Sequence, Union

if TYPE_CHECKING:
    import ssl

Word = Union[str, bytes, int]
_NOT_YET = ("LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY", "TRYAGAIN", "ERR max number of clients")
_LONGEST_LINE = 64 * 1024


class Redis(NamedTuple):
    host: str
    port: int
    username: str = ""
    password: str = ""
    tls: bool = False

    def __str__(self) -> str:
        return f"Redis at {self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"Redis({self.host}:{self.port})"


class NotReadyError(OSError):
    """Redis is there and says that it cannot answer yet."""


class RefusedError(Exception):
    """Redis answers and does not let us in: waiting will not help."""


class ReplyError(Exception):
    """What Redis has against one command, in its own words without the arguments that it may repeat."""


class Connection:
    """Raises OSError where Redis is not to be had, RefusedError where it does not let us in. No text has the password.

    `timeout` bounds the connect and each reply.
    """

    def __init__(self, redis: Redis, timeout: float = 1.0) -> None:
        self._redis = redis
        plain = socket.create_connection((redis.host, redis.port), timeout=timeout)
        try:
            plain.settimeout(timeout)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if redis.tls:
                context = _tls_context(os.environ)
                self._socket: socket.socket = context.wrap_socket(plain, server_hostname=_server_name(redis))
            else:
                self._socket = plain
            self._stream = self._socket.makefile("rb")
            self._log_in()
        except BaseException:
            plain.close()
            raise

    def __enter__(self) -> "Connection":  # noqa: PYI034 Self came after Python 3.8
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def _log_in(self) -> None:
        if self._redis.password:
            self._admitted([word for word in ("AUTH", self._redis.username, self._redis.password) if word])
        self._admitted(["PING"])

    def ping(self) -> None:
        self._admitted(["PING"])

    def _admitted(self, words: Sequence[Word]) -> None:
        try:
            self.ask(*words)
        except ReplyError as error:
            text = str(error)
            if words[0] == "PING" and text.startswith("NOPERM"):
                return  # an account that may not PING is logged in all the same
            raise RefusedError(f"{self._redis} refuses to let us in: {text}") from None

    def ask(self, *words: Word) -> Any:
        (reply,) = self.ask_all([words])
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def ask_all(self, commands: Sequence[Sequence[Word]]) -> List[Any]:
        """All in one round trip. A command that Redis refuses has a ReplyError for its reply."""
        self._socket.sendall(b"".join(_request(words) for words in commands))
        return [self._reply() for _ in commands]

    def closed_within(self, seconds: float) -> bool:
        """Waits, and says whether the connection ended meanwhile: nothing else can come while nothing was asked."""
        readable, _, _ = select.select([self._socket], [], [], seconds)
        return bool(readable)

    def _reply(self) -> Any:
        line = self._stream.readline(_LONGEST_LINE)
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("it closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return self._error(rest.decode(errors="replace"))
        if kind not in (b":", b"$", b"*") or not rest.lstrip(b"-").isdigit():
            raise ConnectionError("it does not speak Redis' protocol")
        size = int(rest)
        if kind == b":":
            return size
        if size < 0:
            return None
        if kind == b"*":
            return [self._reply() for _ in range(size)]
        data = self._stream.read(size + 2)
        if len(data) != size + 2:
            raise ConnectionResetError("it closed the connection")
        return data[:-2]

    def _error(self, text: str) -> ReplyError:
        text = text.partition(", with args")[0]
        if self._redis.password:
            text = text.replace(self._redis.password, "***")
        if text.startswith(_NOT_YET):
            raise NotReadyError(f"it is not ready: {text}")
        return ReplyError(text)


def _request(words: Sequence[Word]) -> bytes:
    encoded = [word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogateescape") for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)


def _tls_context(environ: Mapping[str, str]) -> "ssl.SSLContext":
    """Ray's own variables say which certificates to use and to trust."""
    import ssl  # 4 MB that most keepers do without

    context = ssl.create_default_context(
        cafile=environ.get("RAY_REDIS_CA_CERT") or None, capath=environ.get("RAY_REDIS_CA_PATH") or None
    )
    certificate = environ.get("RAY_REDIS_CLIENT_CERT")
    if certificate:
        context.load_cert_chain(certificate, environ.get("RAY_REDIS_CLIENT_KEY") or None)
    # Ray checks the chain; it compares the name only where RAY_REDIS_SERVER_NAME gives one.
    context.check_hostname = bool(environ.get("RAY_REDIS_SERVER_NAME"))
    return context


def _server_name(redis: Redis) -> str:
    return os.environ.get("RAY_REDIS_SERVER_NAME") or redis.host

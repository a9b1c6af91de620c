"""Is Redis there, and does it let us in? An authenticated PING, over TLS where the address asks for it."""

import os
import socket
import ssl
import time
from typing import Callable, Mapping, NamedTuple, Optional, Sequence
from urllib.parse import unquote, urlsplit

_NOT_YET = ("LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY")


class Redis(NamedTuple):
    host: str
    port: int
    username: str = ""
    password: str = ""
    tls: bool = False

    def __repr__(self) -> str:
        return f"Redis({self.host}:{self.port})"


class RefusedError(Exception):
    """Redis answers and does not let us in: waiting will not help."""


def from_gcs_arguments(arguments: Sequence[str]) -> Optional[Redis]:
    """The Redis of a gcs_server with these arguments; None where it keeps its tables in memory."""
    options = dict(argument.lstrip("-").split("=", 1) for argument in arguments if "=" in argument)
    if not options.get("redis_address"):
        return None
    return Redis(
        options["redis_address"],
        int(options.get("redis_port") or 6379),
        options.get("redis_username", ""),
        options.get("redis_password", ""),
        options.get("redis_enable_ssl", "false") == "true",
    )


def from_environment(environ: Mapping[str, str], arguments: Sequence[str]) -> Optional[Redis]:
    """The Redis that `ray start` with these arguments will use, the first of a comma list."""
    address = environ.get("RAY_REDIS_ADDRESS", "").split(",")[0].strip()
    if not address:
        return None
    url = urlsplit(address if "://" in address else "redis://" + address)
    username = _option(arguments, "--redis-username") or unquote(url.username or "")
    password = _option(arguments, "--redis-password") or unquote(url.password or "")
    return Redis(url.hostname or "", url.port or 6379, username, password, url.scheme == "rediss")


def _option(arguments: Sequence[str], name: str) -> str:
    for index, argument in enumerate(arguments):
        if argument.startswith(name + "="):
            return argument[len(name) + 1 :]
        if argument == name and index + 1 < len(arguments):
            return arguments[index + 1]
    return ""


def answers(redis: Redis, timeout: float = 1.0) -> str:
    """Why Redis does not answer PING, or "". Raises RefusedError; no text holds the password."""
    where = f"Redis at {redis.host}:{redis.port}"
    try:
        with socket.create_connection((redis.host, redis.port), timeout=timeout) as plain:
            plain.settimeout(timeout)
            if not redis.tls:
                reply = _ask(plain, redis)
            else:
                with _tls_context(os.environ).wrap_socket(plain, server_hostname=_server_name(redis)) as secured:
                    reply = _ask(secured, redis)
    except OSError as error:
        return f"{where}: {error}"
    if reply.startswith("+PONG"):
        return ""
    words = reply[1:].strip()
    if words.startswith(_NOT_YET) or not reply.startswith("-"):
        return f"{where} is not ready: {words or 'it closed the connection'}"
    if words.startswith("NOPERM"):
        return ""  # an account that may not PING is logged in all the same
    raise RefusedError(f"{where} refuses to let us in: {words}")


def wait(redis: Redis, seconds: float, tell: Callable[[str], None]) -> bool:
    """Waits until Redis answers; False after `seconds`. Raises RefusedError."""
    deadline = time.monotonic() + seconds
    told = ""
    while True:
        why = answers(redis)
        if not why:
            if told:
                tell(f"Redis at {redis.host}:{redis.port} answers again")
            return True
        if why != told:
            told = why
            tell(f"waiting for Redis: {why}")
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)


def _ask(connection: socket.socket, redis: Redis) -> str:
    words = [word.encode() for word in ("AUTH", redis.username, redis.password) if word]
    if redis.password:
        connection.sendall(_request(words))
        reply = _line(connection)
        if reply.startswith("-"):
            return reply
    connection.sendall(_request([b"PING"]))
    return _line(connection)


def _request(words: "list[bytes]") -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def _line(connection: socket.socket) -> str:
    found = b""
    while not found.endswith(b"\r\n") and len(found) < 512:
        part = connection.recv(512)
        if not part:
            break
        found += part
    return found.decode(errors="replace")


def _tls_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Ray's own variables say which certificates to use and to trust."""
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

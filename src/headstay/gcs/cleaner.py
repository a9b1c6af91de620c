"""Removes the keys of one storage namespace from Redis.

The clean-up Job runs this file's text inside the user's Ray image, the operator runs it in a thread: so it is one file,
needs Python 3.8 and the standard library, and holds no dollar sign, which the kubelet would read as a variable.

Redis serves others meanwhile, so no command here takes it long: UNLINK frees in the background; where the account may
not use it, hashes are emptied a few fields at a time. Every step may be repeated: after a crash, run it again.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:  # Python 3.8 could not run these
    from collections.abc import Callable, Iterator, Mapping

    Reply = bytes | int | list[Any] | None
    Tell = Callable[[str], None]

DEFAULT_PORT = 6379
PATIENCE_SECONDS = 60.0
# Less than the Job's deadline, whose signal would leave no last words.
_JOB_SECONDS = 270.0
_CONNECT_SECONDS = 5.0
_REPLY_SECONDS = 10.0
_SCAN_COUNT = 1000
_FIELDS_AT_ONCE = 200
_REPLY_BYTES = 64 * 1024
_SMALL_HASH = 1000
# Redis says these while it starts, fails over or is overloaded: asked again later, it answers.
_NOT_YET = (
    *("LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "READONLY", "BUSY", "MISCONF", "NOREPLICAS", "ASK"),
    *("MOVED", "ERR max number of clients"),
)
_MISSING_COMMAND = ("ERR unknown command", "ERR unknown subcommand")


class RedisUnreachableError(Exception):
    """Redis was not to be had in time. Trying again later can help."""


class RedisRefusedError(Exception):
    """Redis is there and does not let us work: somebody has to change something."""


class NotReadyError(Exception):
    """Not now; the reason is for a person."""


class ReplyError(Exception):
    """An error reply in Redis' own words, without the arguments it may repeat."""

    def says(self, *beginnings: str) -> bool:
        return str(self).startswith(beginnings)

    @property
    def forbids_command(self) -> bool:
        return self.says(*_MISSING_COMMAND) or (self.says("NOPERM") and " command" in str(self))


@dataclass(frozen=True)
class RedisTarget:
    """Where Redis is and how to get in, as Ray's own variables say it."""

    address: str = field(repr=False)  # it may carry a password
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    ca_path: str = ""
    client_cert: str = ""
    client_key: str = ""
    server_name: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> RedisTarget:
        return cls(
            address=environ.get("RAY_REDIS_ADDRESS", ""),
            username=environ.get("REDIS_USERNAME", ""),
            password=environ.get("REDIS_PASSWORD", ""),
            ca_file=environ.get("RAY_REDIS_CA_CERT", ""),
            ca_path=environ.get("RAY_REDIS_CA_PATH", ""),
            client_cert=environ.get("RAY_REDIS_CLIENT_CERT", ""),
            client_key=environ.get("RAY_REDIS_CLIENT_KEY", ""),
            server_name=environ.get("RAY_REDIS_SERVER_NAME", ""),
        )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


class Endpoint(NamedTuple):
    host: str
    port: int
    username: str
    password: str
    tls: bool

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"Endpoint({self})"


def endpoints(target: RedisTarget) -> list[Endpoint]:
    """The servers of a comma list. What only the first one names, account or TLS, holds for all."""
    found: list[Endpoint] = []
    for item in filter(None, (text.strip() for text in target.address.split(","))):
        try:
            url = urlsplit(item if "://" in item else "redis://" + item)
            host, port = url.hostname, url.port or DEFAULT_PORT
        except ValueError:
            host, port = None, 0  # the error quotes the text, and with it a password
        if not host or url.scheme not in ("redis", "rediss"):
            raise RedisRefusedError(
                "The Redis address cannot be read: write HOST:PORT, redis://HOST:PORT or rediss://HOST:PORT in "
                "redisAddress (RAY_REDIS_ADDRESS), with special characters of a password percent-encoded"
            )
        username = target.username or unquote(url.username or "") or (found[0].username if found else "")
        password = target.password or unquote(url.password or "") or (found[0].password if found else "")
        tls = url.scheme == "rediss" or bool(found and found[0].tls)
        found.append(Endpoint(host, port, username, password, tls))
    if not found:
        raise RedisRefusedError("No Redis address is given: set redisAddress (RAY_REDIS_ADDRESS)")
    return found


class Namespace:
    """Which keys are this namespace's. Since Ray 2.38 RAY<name>@<TABLE>; before, one hash that has the bare name."""

    def __init__(self, name: str) -> None:
        if not name:
            raise RedisRefusedError("No storage namespace is given: set RAY_external_storage_namespace")
        self.name = name
        self.old_key = _bytes(name)
        self.prefix = b"RAY" + self.old_key + b"@"
        special = b"*?[]^-\\"
        self.pattern = b"".join(b"\\" + bytes([c]) if c in special else bytes([c]) for c in self.prefix) + b"*"

    def has(self, key: bytes) -> bool:
        return key.startswith(self.prefix)

    def is_old_field(self, name: bytes) -> bool:
        return name.startswith(self.old_key + b"@") or name == b"JobCounter"


class Redis:
    """One connection, logged in."""

    def __init__(self, endpoint: Endpoint, target: RedisTarget) -> None:
        self.endpoint = endpoint
        context = _tls_context(target) if endpoint.tls else None
        try:
            plain = socket.create_connection((endpoint.host, endpoint.port), timeout=_CONNECT_SECONDS)
        except UnicodeError:
            raise RedisRefusedError(f"The Redis address is no host name: {endpoint}") from None
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = _secured(plain, context, endpoint, target) if context else plain
            self._socket.settimeout(_REPLY_SECONDS)
        except BaseException:
            plain.close()
            raise
        self._stream = self._socket.makefile("rb")
        try:
            self._log_in()
        except BaseException:
            self.close()
            raise

    def _log_in(self) -> None:
        if not self.endpoint.password:
            return
        words = [word for word in (self.endpoint.username, self.endpoint.password) if word]
        try:
            self.ask("AUTH", *words)
        except ReplyError as error:
            if error.says(*_NOT_YET):
                raise
            raise RedisRefusedError(f"Redis at {self.endpoint} refuses to let us in: {error}") from None

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def ask(self, *words: str | bytes | int) -> Reply:
        encoded = [word if isinstance(word, bytes) else _bytes(str(word)) for word in words]
        parts = [b"*%d\r\n" % len(encoded)]
        parts += [b"%b%d\r\n%b\r\n" % (b"\x24", len(word), word) for word in encoded]
        self._socket.sendall(b"".join(parts))
        return self._reply()

    def _reply(self) -> Reply:
        line = self._stream.readline(64 * 1024)
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("it closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            text = rest.decode(errors="replace").partition(", with args")[0]
            if self.endpoint.password:
                text = text.replace(self.endpoint.password, "***")
            raise ReplyError(text)
        if kind not in (b":", b"\x24", b"*") or not rest.lstrip(b"-").isdigit():
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

    def scan(self, *words: str | bytes | int) -> tuple[bytes, list[bytes]]:
        reply = self.ask(*words)
        if not isinstance(reply, list) or len(reply) != 2:
            raise ConnectionError(f"its answer to {words[0]!s} is not one")
        return reply[0], reply[1]


def _tls_context(target: RedisTarget) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=target.ca_file or None, capath=target.ca_path or None)
        if target.client_cert:
            context.load_cert_chain(target.client_cert, target.client_key or None)
    except OSError as error:
        raise RedisRefusedError(
            "The TLS files for Redis cannot be used (RAY_REDIS_CA_CERT, RAY_REDIS_CA_PATH, RAY_REDIS_CLIENT_CERT, "
            f"RAY_REDIS_CLIENT_KEY): {error}"
        ) from None
    # As Ray: the chain is always checked, the name only where one is given.
    context.check_hostname = bool(target.server_name)
    return context


def _secured(plain: socket.socket, context: ssl.SSLContext, endpoint: Endpoint, target: RedisTarget) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(plain, server_hostname=target.server_name or endpoint.host)
    except ssl.SSLCertVerificationError as error:
        raise RedisRefusedError(
            f"The certificate of Redis at {endpoint} is not trusted ({error.verify_message}): "
            "set RAY_REDIS_CA_CERT to its CA, and RAY_REDIS_SERVER_NAME to a name in the certificate or not at all"
        ) from None
    except OSError as error:
        raise ConnectionError(f"no TLS there ({error}); does it want redis:// instead of rediss://?") from None


class Attempts:
    """The bounds: `patience` without any progress, and `seconds` in all."""

    def __init__(self, patience: float, seconds: float, stopped: Callable[[], bool], tell: Tell) -> None:
        self._patience, self._stopped, self._tell = patience, stopped, tell
        self._end = time.monotonic() + seconds
        self.progress()

    def progress(self) -> None:
        self._give_up = time.monotonic() + self._patience
        self._why, self._pause = "", 0.1

    @property
    def half_spent(self) -> bool:
        return self._give_up - time.monotonic() < self._patience / 2

    def check(self) -> None:
        if self._stopped():
            raise RedisUnreachableError("The clean-up was stopped before its end")
        now = time.monotonic()
        if self._why and now >= min(self._give_up, self._end):
            raise RedisUnreachableError(self._why)
        if now >= self._end:
            raise RedisUnreachableError("The clean-up ran out of time before its end; run again, it goes on")

    def wait(self, why: str) -> None:
        if why != self._why:
            self._why = why
            self._tell(f"Waiting: {why}")
        self.check()
        time.sleep(self._pause)
        self._pause = min(1.0, self._pause * 2)


class Opened(NamedTuple):
    redis: Redis
    told_by: Endpoint
    by_sentinel: bool  # which knows where the data is


def open_primary(target: RedisTarget, listed: list[Endpoint]) -> Opened:
    """The primary, through whichever address of the list answers first."""
    problem = ""
    for endpoint in listed:
        try:
            redis = Redis(endpoint, target)
            try:
                primary = _named_by_sentinel(redis, target)
            except BaseException:
                redis.close()
                raise
            return Opened(primary or redis, endpoint, primary is not None)
        except OSError as error:
            problem = problem or _away(endpoint, error)
        except ReplyError as error:
            problem = problem or f"Redis at {endpoint} is not ready: {error}"
    raise NotReadyError(problem)


def _away(endpoint: Endpoint, error: OSError) -> str:
    hint = ""
    if isinstance(error, (ConnectionResetError, ssl.SSLEOFError)):
        # A server that asks for a certificate may close before its reason gets through.
        wish = "a client certificate (RAY_REDIS_CLIENT_CERT)" if endpoint.tls else "TLS (rediss://)"
        hint = f"; does it want {wish}?"
    return f"Redis at {endpoint} cannot be reached: {error}{hint}"


def _named_by_sentinel(redis: Redis, target: RedisTarget) -> Redis | None:
    """Ray asks for a section only a Sentinel has, and accepts a Sentinel that watches exactly one primary."""
    try:
        if not redis.ask("INFO", "SENTINEL"):
            return None
    except ReplyError as error:
        if error.says(*_NOT_YET):
            raise
        return None
    try:
        primaries = redis.ask("SENTINEL", "MASTERS")
    except ReplyError as error:
        raise _refusal(redis, "SENTINEL", error) from None
    if not isinstance(primaries, list) or len(primaries) != 1:
        raise RedisRefusedError(f"The Sentinel at {redis.endpoint} must watch exactly one primary, as for Ray")
    facts = dict(_pairs(primaries[0]))
    place = redis.endpoint._replace(host=_text(facts[b"ip"]), port=int(facts[b"port"]))
    try:
        primary = Redis(place, target)
    except OSError as error:
        raise NotReadyError(
            f"Redis at {place}, the primary that the Sentinel at {redis.endpoint} names, cannot be reached: {error}"
        ) from None
    redis.close()
    return primary


def _pairs(flat: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return ((flat[index], flat[index + 1]) for index in range(0, len(flat) - 1, 2))


def _refusal(redis: Redis, command: str, error: ReplyError) -> Exception:
    where, user = f"Redis at {redis.endpoint}", redis.endpoint.username or "default"
    if error.says(*_NOT_YET):
        return NotReadyError(f"{where} is not ready: {error}")
    if error.says("NOAUTH"):
        return RedisRefusedError(f"{where} refuses to let us in: {error}")
    if error.forbids_command:
        return RedisRefusedError(
            f"{where} does not allow user {user} the command {command}, which the clean-up needs. "
            f"Allow it with: ACL SETUSER {user} +{command.lower()} (Redis says: {error})"
        )
    if error.says("NOPERM"):
        return RedisRefusedError(
            f"{where} does not allow user {user} the keys of this storage namespace. "
            f"Allow Ray's keys with: ACL SETUSER {user} ~RAY* (Redis says: {error})"
        )
    return RedisRefusedError(f"{where} refuses {command} to user {user}: {error}")


def old_key_is_ray_s(redis: Redis, space: Namespace) -> bool:
    """A Ray before 2.38 reads its hash by HSCAN, so an account that may not has no such hash."""
    try:
        _, flat = redis.scan("HSCAN", space.old_key, 0, "COUNT", 20)
    except ReplyError as error:
        if error.says("WRONGTYPE", "NOPERM", *_MISSING_COMMAND):
            return False
        raise _refusal(redis, "HSCAN", error) from None
    return bool(flat) and all(space.is_old_field(name) for name, _ in _pairs(flat))


class Sweep:
    """One pass over the namespace on one connection: cursors mean nothing on another."""

    def __init__(self, redis: Redis, space: Namespace, attempts: Attempts, *, unlinks: bool) -> None:
        self._redis, self._space, self._attempts = redis, space, attempts
        self._unlinks, self._novalues = unlinks, True

    def run(self) -> Iterator[bytes]:
        """Yields each key once it is gone."""
        cursor = b"0"
        while True:
            cursor, keys = self._scan("SCAN", cursor, "MATCH", self._space.pattern, "COUNT", _SCAN_COUNT)
            # The pattern is Redis' to read; this comparison decides.
            for key in filter(self._space.has, keys):
                if self._remove(key):
                    yield key
            if cursor == b"0":
                break
        if old_key_is_ray_s(self._redis, self._space) and self._remove(self._space.old_key):
            yield self._space.old_key

    def _remove(self, key: bytes) -> bool:
        if not (self._space.has(key) or key == self._space.old_key):
            raise RuntimeError(f"{key!r} is not a key of storage namespace {self._space.name}")
        if self._unlinks:
            return bool(self._ask("UNLINK", key))
        kind = self._ask("TYPE", key)
        if kind == b"none":
            return False
        if kind == b"string":
            return bool(self._ask("DEL", key))
        if kind != b"hash":
            raise RedisRefusedError(
                f"Key {_text(key)} in Redis at {self._redis.endpoint} is no hash, so Ray did not write it: "
                "remove it by hand, or allow UNLINK"
            )
        self._empty(key)
        return True

    def _empty(self, key: bytes) -> None:
        cursor, count = b"0", 16
        while True:
            cursor, names, size = self._some_fields(key, cursor, count)
            for begin in range(0, len(names), _FIELDS_AT_ONCE):
                chunk = names[begin : begin + _FIELDS_AT_ONCE]
                try:
                    self._ask("HDEL", key, *chunk)
                except RedisRefusedError:
                    length = self._ask("HLEN", key)
                    if not isinstance(length, int) or length > _SMALL_HASH:
                        raise
                    self._ask("DEL", key)
                    return
            count = max(2, count // 2) if size > _REPLY_BYTES else min(count * 2, _FIELDS_AT_ONCE)
            if cursor == b"0":
                return

    def _some_fields(self, key: bytes, cursor: bytes, count: int) -> tuple[bytes, list[bytes], int]:
        """Field names, and how much was sent for them. Redis before 7.4 always sends the values too."""
        if self._novalues:
            try:
                cursor, names = self._redis.scan("HSCAN", key, cursor, "COUNT", count, "NOVALUES")
                return cursor, names, sum(map(len, names))
            except ReplyError as error:
                if not error.says("ERR"):
                    raise _refusal(self._redis, "HSCAN", error) from None
                self._novalues = False
        cursor, flat = self._scan("HSCAN", key, cursor, "COUNT", count)
        return cursor, flat[::2], sum(map(len, flat))

    def _scan(self, *words: str | bytes | int) -> tuple[bytes, list[bytes]]:
        reply: Any = self._ask(*words)
        return reply[0], reply[1]

    def _ask(self, *words: str | bytes | int) -> Reply:
        self._attempts.check()
        began = time.monotonic()
        try:
            reply = self._redis.ask(*words)
        except ReplyError as error:
            raise _refusal(self._redis, str(words[0]), error) from None
        self._attempts.progress()
        # Others come first: at least half of the time is theirs.
        time.sleep(min(0.05, max(0.001, time.monotonic() - began)))
        return reply


def _refuse_shards(redis: Redis) -> None:
    """A namespace's tables lie on different shards, and we sweep one server. Ray refuses such a cluster too."""
    try:
        facts = redis.ask("CLUSTER", "INFO")
    except ReplyError:
        return  # no cluster, or nothing that this account may know
    if isinstance(facts, bytes) and int(dict(_lines(facts)).get(b"cluster_size", 1)) > 1:
        raise RedisRefusedError(
            f"Redis at {redis.endpoint} is a cluster of more than one shard, and Ray accepts only one"
        )


def _lines(facts: bytes) -> Iterator[tuple[bytes, bytes]]:
    for line in facts.splitlines():
        name, _, value = line.partition(b":")
        yield name, value


def _unlinks(redis: Redis, space: Namespace) -> bool:
    """Writes to a key that Ray never makes: what a replica, a cluster or an ACL has against it shows here."""
    try:
        redis.ask("UNLINK", space.prefix)
    except ReplyError as error:
        if not error.forbids_command:
            raise
        return False
    return True


def _at_primary(redis: Redis, target: RedisTarget, space: Namespace) -> tuple[Redis, bool]:
    """Where this namespace may be written, and whether UNLINK may be used. `redis` is closed where it is left."""
    for _ in range(2):
        try:
            _refuse_shards(redis)
            return redis, _unlinks(redis, space)
        except ReplyError as error:
            where = redis.endpoint
            redis.close()
            if not error.says("MOVED "):
                raise _refusal(redis, "UNLINK", error) from None
            # A Redis Cluster: a replica sends us to its primary, where Ray goes too.
            host, _, port = str(error).split()[2].rpartition(":")
            redis = Redis(where._replace(host=host.strip("[]") or where.host, port=int(port)), target)
        except BaseException:
            redis.close()
            raise
    redis.close()
    raise NotReadyError(f"Redis at {redis.endpoint} sends us elsewhere again")


def clean(
    target: RedisTarget,
    namespace: str,
    *,
    patience: float = PATIENCE_SECONDS,
    seconds: float = _JOB_SECONDS,
    tell: Tell = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Removes every key of the namespace, and says how many it removed. None there is success."""
    space, listed = Namespace(namespace), endpoints(target)
    attempts = Attempts(patience, seconds, stopped, tell)
    removed = 0
    while True:
        attempts.check()
        try:
            opened = open_primary(target, listed if attempts.half_spent else listed[:1])
            redis, unlinks = _at_primary(opened.redis, target, space)
            try:
                for key in Sweep(redis, space, attempts, unlinks=unlinks).run():
                    removed += 1
                    tell(f"Removed {_text(key)}")
            finally:
                redis.close()
        except NotReadyError as error:
            attempts.wait(str(error))
        except OSError as error:
            attempts.wait(_away(opened.told_by, error))
        else:
            if not removed and opened.told_by != listed[0] and not opened.by_sentinel:
                raise RedisUnreachableError(
                    f"Redis at {listed[0]} cannot be reached, and {opened.told_by}, listed after it, has no keys of "
                    f"storage namespace {namespace}: there may be some at the first"
                )
            return removed


def check(target: RedisTarget, *, patience: float) -> None:
    """Connects, logs in and asks, and touches no key."""
    listed = endpoints(target)
    attempts = Attempts(patience, patience + _CONNECT_SECONDS, lambda: False, lambda _: None)
    while True:
        try:
            redis = open_primary(target, listed[:1]).redis
            try:
                redis.ask("PING")
            except ReplyError as error:
                # An account that may not PING is logged in all the same.
                if not error.says("NOPERM"):
                    raise _refusal(redis, "PING", error) from None
            finally:
                redis.close()
        except NotReadyError as error:
            attempts.wait(str(error))
        except OSError as error:
            attempts.wait(_away(listed[0], error))
        else:
            return


def main(arguments: list[str], environ: Mapping[str, str]) -> None:
    def tell(text: str) -> None:
        print(text, flush=True)  # noqa: T201 the container's log

    try:
        target = RedisTarget.from_environment(environ)
        patience = float(environ.get("HEADSTAY_REDIS_PATIENCE_S") or PATIENCE_SECONDS)
        if arguments == ["check"]:
            check(target, patience=patience)
            return
        namespace = environ.get("RAY_external_storage_namespace", "")
        tell(f"Removing the keys of storage namespace {namespace}")
        removed = clean(target, namespace, patience=patience, tell=tell)
        tell(f"Removed {removed} keys of storage namespace {namespace}")
    except (RedisUnreachableError, RedisRefusedError) as error:
        sys.exit(str(error))  # the last line of the log, which becomes the Pod's termination message


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)

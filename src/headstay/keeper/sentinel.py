"""Where the data is: at the address that was given, or at the one primary that a Sentinel there names, as for Ray."""

from typing import Optional

from .resp import Connection, Redis, ReplyError


def connect(redis: Redis, timeout: float = 1.0) -> Connection:
    """Raises OSError where Redis is not to be had, RefusedError where it does not let us in."""
    connection = Connection(redis, timeout)
    try:
        primary = _named_primary(connection, redis)
        if primary is None:
            return connection
        found = Connection(primary, timeout)
    except BaseException:
        connection.close()
        raise
    connection.close()
    return found


def _named_primary(connection: Connection, redis: Redis) -> Optional[Redis]:
    try:
        if not connection.ask("INFO", "SENTINEL"):
            return None
        primaries = connection.ask("SENTINEL", "MASTERS")
    except ReplyError:
        return None  # what an account may not ask, it does without
    if not isinstance(primaries, list) or len(primaries) != 1:
        return None  # Ray says what is wrong with that
    facts = dict(zip(primaries[0][::2], primaries[0][1::2]))  # noqa: B905 `strict` came after Python 3.8
    return redis._replace(host=facts[b"ip"].decode(), port=int(facts[b"port"]))

"""Which Redis the GCS uses, and whether it answers."""

import time
from typing import Callable, Mapping, Optional, Sequence

from .resp import Redis, RefusedError
from .sentinel import connect

__all__ = ["Redis", "RefusedError", "answers", "from_environment", "from_gcs_arguments", "wait"]


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
    from urllib.parse import unquote, urlsplit  # 1 MB that the supervisor does without

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
    """Why Redis does not answer an authenticated PING, or "". Raises RefusedError; no text holds the password."""
    try:
        connect(redis, timeout).close()
    except OSError as error:
        return f"{redis}: {error}"
    return ""


def wait(redis: Redis, seconds: float, waiting: Callable[[str], None]) -> bool:
    """Waits until Redis answers; False after `seconds`. Raises RefusedError. `waiting` hears each new reason."""
    deadline = time.monotonic() + seconds
    told = ""
    while True:
        why = answers(redis)
        if not why:
            return True
        if why != told:
            told = why
            waiting(why)
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)

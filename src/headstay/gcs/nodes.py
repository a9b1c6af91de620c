"""Reads the GCS's node table through the head's dashboard.

The state API asks the GCS itself for every answer: while the GCS is stopped it answers nothing (seen with Ray 2.9.3
and 2.60). `/nodes` would answer from the dashboard's memory.
"""

import aiohttp
import msgspec

from headstay.model.ray_nodes import RayNode

_LIMIT = 10_000
_MOST_BYTES = 64 * 1024 * 1024


class NodesUnreadError(Exception):
    """The GCS did not answer, or not in words that we know. The text says which, for people."""


class _Node(msgspec.Struct):
    node_ip: str
    state: str
    is_head_node: bool = False


class _Inner(msgspec.Struct):
    result: list[_Node]
    total: int
    partial_failure_warning: str | None = ""


class _Data(msgspec.Struct):
    result: _Inner


class _Answer(msgspec.Struct):
    result: bool
    msg: str = ""
    data: _Data | None = None


async def read_nodes(
    session: aiohttp.ClientSession, address: str, port: int, *, seconds: float = 5.0
) -> tuple[RayNode, ...]:
    """Raises NodesUnreadError after `seconds` at the latest. A table that is cut short is no table."""
    url = f"http://{_host(address)}:{port}/api/v0/nodes?limit={_LIMIT}"
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with session.get(url, timeout=timeout, allow_redirects=False) as response:
            body = await read_bounded(response, _MOST_BYTES)
            if response.status != 200:
                raise NodesUnreadError(f"the head's dashboard answered {response.status}")
    except TimeoutError as error:
        raise NodesUnreadError(f"the GCS told no nodes within {seconds:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NodesUnreadError(f"the head's dashboard is out of reach: {error}") from error
    return _nodes(body)


async def read_bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The whole body. ValueError where it is longer than `most`: nobody of ours sends that."""
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > most:
            raise ValueError(f"an answer of more than {most} bytes")
        parts.append(part)
    return b"".join(parts)


def _nodes(body: bytes) -> tuple[RayNode, ...]:
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except msgspec.DecodeError as error:
        raise NodesUnreadError(f"the head's dashboard answered something else than nodes: {error}") from error
    if not answer.result or answer.data is None:
        raise NodesUnreadError(f"the GCS told no nodes: {answer.msg[:200]}")
    table = answer.data.result
    if table.partial_failure_warning or table.total > len(table.result):
        raise NodesUnreadError(f"the GCS told {len(table.result)} of {table.total} nodes")
    return tuple(RayNode(node.node_ip, node.state, node.is_head_node) for node in table.result)


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address

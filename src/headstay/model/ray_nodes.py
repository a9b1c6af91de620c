"""The GCS's node table, as far as it tells which Pods are part of the cluster."""

from typing import NamedTuple


class RayNode(NamedTuple):
    """`state` is ALIVE or DEAD. One address may appear again and again: nodes that died stay in the table."""

    address: str
    state: str
    head: bool = False

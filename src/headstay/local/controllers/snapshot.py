"""What a scheduling decision is made on."""

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from headstay.local.controllers.ledger import Ledger
from headstay.local.controllers.schedulingviews import SchedulingNode
from headstay.model.objects import ObjectKey


class Snapshot(NamedTuple):
    nodes: Sequence[SchedulingNode]
    others: Ledger
    namespaces: Mapping[str, Mapping[str, str]] = {}
    """Labels by name."""
    claims: Container[ObjectKey] = ()
    """The PersistentVolumeClaims there are."""

"""What a drill can break, by name. `KINDS` is the registry; adding a fault is adding a `Kind` to it."""

from headstay.drill.expression import Rule
from headstay.drill.faults import gcs, network, pods, redis, upgrade
from headstay.drill.faults.kind import Kind

_ALL = (*gcs.KINDS, *pods.KINDS, *redis.KINDS, *network.KINDS, *upgrade.KINDS)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}


def rules(*, serve: bool) -> dict[str, Rule]:
    """What may be said of each, in a drill with Serve or without."""
    return {name: Rule(kind.most, kind.in_all or (serve and kind.of_serve)) for name, kind in KINDS.items()}


RULES: dict[str, Rule] = rules(serve=False)

"""What a drill can break, by name. `KINDS` is the registry; adding a fault is adding a `Kind` to it."""

from headstay.drill.expression import Rule
from headstay.drill.faults import gcs, network, pods, redis
from headstay.drill.faults.kind import Kind

KINDS: dict[str, Kind] = {kind.name: kind for kind in (*gcs.KINDS, *pods.KINDS, *redis.KINDS, *network.KINDS)}
RULES: dict[str, Rule] = {name: Rule(kind.most, kind.in_all) for name, kind in KINDS.items()}

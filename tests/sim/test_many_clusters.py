"""Many clusters at once: what they cost the API in writes. Counts, not times: those are measured by bench/scale."""

from tests.sim import virtual_time
from tests.sim.world import seeded, world

CLUSTERS, WORKERS = 50, 9
MINIMUM = 1 + 1 + (1 + WORKERS) + 2
"""Finalizer, head Service, Pods; and a status for what was made and one for all of it ready."""


async def _fifty_clusters() -> tuple[int, str]:
    async with world() as found:
        names = {f"c{number}" for number in range(CLUSTERS)}
        for name in sorted(names):
            await found.create(name, workers=WORKERS)
        await found.converge(names)
        return found.judges.own_writes, "\n".join(found.judges.broken)


def test_fifty_clusters_become_ready_with_at_most_a_fifth_more_writes_than_the_least_possible() -> None:
    with seeded(1):
        writes, broken = virtual_time.run(_fifty_clusters())
    assert broken == ""
    assert CLUSTERS * MINIMUM <= writes <= 1.2 * CLUSTERS * MINIMUM

"""What is removed by itself, and what never is."""

from tests.unit.server_core.conftest import Clock
from tests.unit.server_core.objects import config_map

from headstay.local.server import maintenance
from headstay.local.server.inprocess import InProcessClient
from headstay.local.server.rest import Api
from headstay.model.objects import Obj
from headstay.model.resource import CONFIGMAPS, CORE_EVENTS


def event(name: str, last: str) -> Obj:
    about = {"kind": "ConfigMap", "apiVersion": "v1", "name": "a", "namespace": "default"}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "default"},
        "involvedObject": about,
        "reason": "Tested",
        "message": "m",
        "type": "Normal",
        "firstTimestamp": last,
        "lastTimestamp": last,
    }


async def test_events_live_for_an_hour_after_they_were_last_seen(
    api: Api, client: InProcessClient, clock: Clock
) -> None:
    await client.create(CORE_EVENTS, event("old", "2026-01-02T03:04:05Z"))
    clock.advance(3000)
    await client.create(CORE_EVENTS, event("young", "2026-01-02T03:54:05Z"))
    await maintenance.maintain(api)
    assert len((await client.list_page(CORE_EVENTS)).items) == 2
    clock.advance(700)
    await maintenance.maintain(api)
    assert [key.name for key, _ in api.store.entries("events")] == ["young"]


async def test_objects_survive_any_compaction(api: Api, client: InProcessClient) -> None:
    made = await client.create(CONFIGMAPS, config_map("a"))
    for turn in range(50):
        made = await client.update(CONFIGMAPS, made | {"data": {"turn": str(turn)}})
    while api.store.compact(keep=3, batch=7):
        pass
    assert (await client.get(CONFIGMAPS, "default", "a"))["data"] == {"turn": "49"}
    assert (await client.list_page(CONFIGMAPS)).items

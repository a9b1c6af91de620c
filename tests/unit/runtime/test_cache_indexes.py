import tracemalloc

import msgspec
from tests.unit.runtime.scripted import pod

from headstay.model.meta import Pod, PodSpecSummary
from headstay.model.objects import ObjectKey
from headstay.runtime.cache import Cache
from headstay.runtime.views import decoder_of


def view(name: str, version: int, *, namespace: str = "default", **labels: str) -> Pod:
    return decoder_of(Pod)(msgspec.json.encode(pod(name, version, namespace=namespace, **labels)))


def by_app() -> Cache[Pod]:
    return Cache({"app": lambda item: [item.metadata.labels.get("app", "")]})


def test_an_index_follows_an_object_that_changes_its_value() -> None:
    cache = by_app()
    cache.put(view("a", 1, app="x"))
    cache.put(view("a", 2, app="y"))
    assert cache.by_index("app", "x") == []
    assert [item.metadata.name for item in cache.by_index("app", "y")] == ["a"]


def test_a_removed_object_leaves_every_index() -> None:
    cache = by_app()
    cache.put(view("a", 1, app="x"))
    cache.remove(view("a", 2).metadata)
    assert cache.by_index("app", "x") == []
    assert cache.list("default") == []
    assert len(cache) == 0


def test_a_namespace_lists_its_own_objects_only() -> None:
    cache = by_app()
    cache.put(view("a", 1))
    cache.put(view("a", 2, namespace="other"))
    assert len(cache.list()) == 2
    assert [item.metadata.namespace for item in cache.list("other")] == ["other"]
    assert cache.get(ObjectKey("nowhere", "a")) is None


def test_the_late_deletion_of_a_predecessor_does_not_take_out_its_successor() -> None:
    cache = by_app()
    cache.put(view("a", 9))
    last = view("a", 5).metadata
    last.uid = "predecessor"
    assert cache.remove(last) == []
    assert len(cache) == 1


def test_versions_that_are_not_numbers_are_taken_as_they_come() -> None:
    cache = by_app()
    first, second = view("a", 1), view("a", 1)
    first.metadata.resource_version, second.metadata.resource_version = "x9", "x1"
    cache.put(first)
    cache.put(second)
    assert cache.get(ObjectKey("default", "a")) is second


def test_views_have_no_room_for_what_they_do_not_read() -> None:
    assert "managed_fields" not in Pod.__struct_fields__
    assert PodSpecSummary().node_name == ""


def test_old_news_never_overwrites_new() -> None:
    cache = by_app()
    cache.put(view("a", 9))
    assert cache.put(view("a", 8)) == []
    held = cache.get(ObjectKey("default", "a"))
    assert held is not None
    assert held.metadata.resource_version == "9"


def test_a_cached_pod_costs_a_few_kilobytes_however_large_it_is_on_the_wire() -> None:
    obj = pod("a", 1, app="x", **{f"label-{n}": "value" for n in range(10)})
    obj["metadata"]["managedFields"] = [{"manager": "m", "fieldsV1": {f"f:{n}": {} for n in range(200)}}]
    container = {"name": "c", "image": "i", "env": [{"name": f"V{n}", "value": "x" * 40} for n in range(50)]}
    obj["spec"] = {"nodeName": "one", "containers": [container]}
    wire = msgspec.json.encode(obj)
    decode = decoder_of(Pod)
    cache: Cache[Pod] = Cache()
    tracemalloc.start()
    for number in range(1000):
        item = decode(wire)
        item.metadata.name, item.metadata.uid = f"a-{number}", f"uid-{number}"
        cache.put(item)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(wire) > 5000
    assert held / 1000 < 4000

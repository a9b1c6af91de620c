"""Deleting: who is waited for, and when an object is really gone."""

import pytest
from tests.unit.server_core.objects import config_map, namespace, pod, service_account

from headstay.local.server.inprocess import InProcessClient
from headstay.model.errors import StatusError, is_not_found
from headstay.model.objects import Obj
from headstay.model.resource import CONFIGMAPS, NAMESPACES, PODS, SERVICE_ACCOUNTS


async def is_gone(client: InProcessClient, name: str) -> bool:
    try:
        await client.get(CONFIGMAPS, "default", name)
    except StatusError as error:
        return is_not_found(error)
    return False


async def running_pod(client: InProcessClient, name: str, **meta: object) -> Obj:
    await client.create(SERVICE_ACCOUNTS, service_account())
    await client.create(PODS, pod(name, **meta))
    binding = {"metadata": {"name": name, "namespace": "default"}, "target": {"kind": "Node", "name": "n"}}
    await client.create(PODS, {"apiVersion": "v1", "kind": "Binding"} | binding, subresource="binding", name=name)
    return await client.patch(PODS, "default", name, {"status": {"phase": "Running"}}, subresource="status")


async def test_an_object_that_nobody_holds_goes_at_once_and_says_so(client: InProcessClient) -> None:
    made = await client.create(CONFIGMAPS, config_map("a"))
    answer = await client.delete(CONFIGMAPS, "default", "a")
    assert answer["status"] == "Success"
    assert answer["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert await is_gone(client, "a")


async def test_preconditions_on_uid_and_revision_must_hold(client: InProcessClient) -> None:
    made = await client.create(CONFIGMAPS, config_map("a"))
    for wrong in ({"uid": "other"}, {"resource_version": "1"}):
        with pytest.raises(StatusError, match="in the precondition") as refused:
            await client.delete(CONFIGMAPS, "default", "a", **wrong)  # type: ignore[arg-type]
        assert refused.value.code == 409
    meta = made["metadata"]
    await client.delete(CONFIGMAPS, "default", "a", uid=meta["uid"], resource_version=meta["resourceVersion"])
    assert await is_gone(client, "a")


async def test_a_finalizer_holds_the_object_until_it_is_removed(client: InProcessClient) -> None:
    await client.create(CONFIGMAPS, config_map("a", finalizers=["example.com/hold"]))
    marked = await client.delete(CONFIGMAPS, "default", "a")
    assert marked["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:05Z"

    with pytest.raises(StatusError, match="no new finalizers can be added if the object is being deleted"):
        await client.patch(CONFIGMAPS, "default", "a", {"metadata": {"finalizers": ["example.com/more"]}})
    again = await client.delete(CONFIGMAPS, "default", "a")
    assert again["metadata"]["resourceVersion"] == marked["metadata"]["resourceVersion"]

    await client.patch(CONFIGMAPS, "default", "a", {"metadata": {"finalizers": None}})
    assert await is_gone(client, "a")


@pytest.mark.parametrize(("propagation", "finalizer"), [("Orphan", "orphan"), ("Foreground", "foregroundDeletion")])
async def test_the_garbage_collector_is_asked_by_a_finalizer(
    client: InProcessClient, propagation: str, finalizer: str
) -> None:
    await client.create(CONFIGMAPS, config_map("a"))
    marked = await client.delete(CONFIGMAPS, "default", "a", propagation=propagation)  # type: ignore[arg-type]
    assert marked["metadata"]["finalizers"] == [finalizer]
    assert marked["metadata"]["deletionTimestamp"]


async def test_a_running_pod_keeps_its_grace_period_until_the_node_agent_ends_it(client: InProcessClient) -> None:
    await running_pod(client, "p")
    marked = await client.delete(PODS, "default", "p", grace_period_seconds=10)
    meta = marked["metadata"]
    assert (meta["deletionGracePeriodSeconds"], meta["deletionTimestamp"]) == (10, "2026-01-02T03:04:15Z")
    await client.delete(PODS, "default", "p", grace_period_seconds=0)
    with pytest.raises(StatusError) as gone:
        await client.get(PODS, "default", "p")
    assert gone.value.code == 404


async def test_a_second_delete_can_only_shorten_the_grace_period(client: InProcessClient) -> None:
    await running_pod(client, "p")
    await client.delete(PODS, "default", "p", grace_period_seconds=20)
    longer = await client.delete(PODS, "default", "p", grace_period_seconds=60)
    assert longer["metadata"]["deletionGracePeriodSeconds"] == 20
    shorter = await client.delete(PODS, "default", "p", grace_period_seconds=5)
    assert shorter["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:10Z"


async def test_a_pod_without_a_node_or_one_that_finished_goes_at_once(client: InProcessClient) -> None:
    await client.create(SERVICE_ACCOUNTS, service_account())
    await client.create(PODS, pod("unscheduled"))
    await client.delete(PODS, "default", "unscheduled")
    await client.delete(SERVICE_ACCOUNTS, "default", "default")
    await running_pod(client, "done")
    await client.patch(PODS, "default", "done", {"status": {"phase": "Succeeded"}}, subresource="status")
    await client.delete(PODS, "default", "done")
    assert (await client.list_page(PODS)).items == []


async def test_a_pod_with_a_finalizer_stays_after_its_grace_until_the_finalizer_goes(client: InProcessClient) -> None:
    await running_pod(client, "p", finalizers=["example.com/hold"])
    held = await client.delete(PODS, "default", "p", grace_period_seconds=0)
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    await client.patch(PODS, "default", "p", {"metadata": {"finalizers": None}})
    assert (await client.list_page(PODS)).items == []


async def test_removing_the_finalizer_of_a_pod_in_its_grace_period_does_not_remove_the_pod(
    client: InProcessClient,
) -> None:
    await running_pod(client, "p", finalizers=["example.com/hold"])
    await client.delete(PODS, "default", "p", grace_period_seconds=30)
    still = await client.patch(PODS, "default", "p", {"metadata": {"finalizers": None}})
    assert still["metadata"]["deletionGracePeriodSeconds"] == 30
    assert len((await client.list_page(PODS)).items) == 1


async def test_a_namespace_terminates_until_it_is_finalized(client: InProcessClient) -> None:
    made = await client.create(NAMESPACES, namespace("n"))
    assert made["spec"]["finalizers"] == ["kubernetes"]
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}
    going = await client.delete(NAMESPACES, "", "n")
    assert going["status"]["phase"] == "Terminating"
    going["spec"]["finalizers"] = []
    await client.update(NAMESPACES, going, subresource="finalize")
    with pytest.raises(StatusError) as gone:
        await client.get(NAMESPACES, "", "n")
    assert gone.value.code == 404


async def test_the_namespaces_of_the_system_cannot_be_deleted(client: InProcessClient) -> None:
    with pytest.raises(StatusError, match="this namespace may not be deleted") as refused:
        await client.delete(NAMESPACES, "", "default")
    assert refused.value.code == 403


async def test_a_collection_is_deleted_by_selector(client: InProcessClient) -> None:
    for name, color in (("a", "red"), ("b", "blue"), ("c", "red")):
        await client.create(CONFIGMAPS, config_map(name, labels={"color": color}))
    await client.delete_collection(CONFIGMAPS, "default", label_selector="color=red")
    assert len((await client.list_page(CONFIGMAPS, "default")).items) == 1

"""The verbs, for every kind alike: what the server fills in, keeps, splits and refuses."""

import pytest
from tests.unit.server_core.objects import config_map, deployment, namespace, pod, service_account, widget, widget_crd

from headstay.local.seams import SYSTEM
from headstay.local.server import codec
from headstay.local.server.inprocess import InProcessClient
from headstay.local.server.patching import Patch
from headstay.local.server.requests import Call, Target
from headstay.local.server.rest import Api
from headstay.model.errors import StatusError
from headstay.model.resource import (
    CONFIGMAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    SERVICE_ACCOUNTS,
    Resource,
)

WIDGETS = Resource("example.com", "v1", "widgets", "Widget")


async def refusal(awaitable: object) -> StatusError:
    with pytest.raises(StatusError) as refused:
        await awaitable  # type: ignore[misc]
    return refused.value


async def test_a_created_object_has_what_the_server_gives_it_and_nothing_made_up(client: InProcessClient) -> None:
    made_up = config_map("a", uid="mine", creationTimestamp="1999-01-01T00:00:00Z", generation=5)
    created = await client.create(CONFIGMAPS, made_up)

    meta = created["metadata"]
    assert meta["creationTimestamp"] == "2026-01-02T03:04:05Z"
    assert len(meta["uid"]) == 36
    assert int(meta["resourceVersion"]) > 0
    assert "generation" not in meta
    assert await client.get(CONFIGMAPS, "default", "a") == created


async def test_an_object_with_a_version_of_another_time_is_not_created(client: InProcessClient) -> None:
    error = await refusal(client.create(CONFIGMAPS, config_map("a", resourceVersion="77")))
    assert error.message == "resourceVersion should not be set on objects to be created"


async def test_a_second_object_of_a_name_already_exists(client: InProcessClient) -> None:
    await client.create(CONFIGMAPS, config_map("a"))
    error = await refusal(client.create(CONFIGMAPS, config_map("a")))
    assert (error.code, error.reason, error.message) == (409, "AlreadyExists", 'configmaps "a" already exists')


async def test_a_patch_cannot_change_the_uid(client: InProcessClient) -> None:
    await client.create(CONFIGMAPS, config_map("a"))
    error = await refusal(client.patch(CONFIGMAPS, "default", "a", {"metadata": {"uid": "other"}}))
    assert error.message == 'ConfigMap "a" is invalid: metadata.uid: Invalid value: "other": field is immutable'


async def test_generate_name_adds_five_characters(client: InProcessClient) -> None:
    document = config_map("")
    document["metadata"] = {"namespace": "default", "generateName": "made-"}
    first, second = await client.create(CONFIGMAPS, document), await client.create(CONFIGMAPS, document)
    names = {first["metadata"]["name"], second["metadata"]["name"]}
    assert len(names) == 2
    assert all(name.startswith("made-") and len(name) == 10 for name in names)


async def test_nothing_can_be_created_in_a_namespace_that_is_not_there_or_is_going(client: InProcessClient) -> None:
    missing = await refusal(client.create(CONFIGMAPS, config_map("a", "nowhere")))
    assert (missing.code, missing.message) == (404, 'namespaces "nowhere" not found')

    await client.create(NAMESPACES, namespace("going"))
    await client.delete(NAMESPACES, "", "going")
    going = await refusal(client.create(CONFIGMAPS, config_map("a", "going")))
    assert going.code == 403
    assert going.message == (
        'configmaps "a" is forbidden: unable to create new content in namespace going because it is being terminated'
    )
    assert going.causes[0].reason == "NamespaceTerminating"


async def test_an_update_with_an_old_resource_version_is_a_conflict(client: InProcessClient) -> None:
    seen = await client.create(CONFIGMAPS, config_map("a"))
    await client.update(CONFIGMAPS, seen | {"data": {"a": "2"}})
    error = await refusal(client.update(CONFIGMAPS, seen | {"data": {"a": "3"}}))
    assert (error.code, error.reason) == (409, "Conflict")
    assert error.message == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


async def test_an_update_that_changes_nothing_makes_no_revision(client: InProcessClient, api: Api) -> None:
    seen = await client.create(CONFIGMAPS, config_map("a"))
    before = api.store.revision
    again = await client.update(CONFIGMAPS, seen)
    assert again["metadata"]["resourceVersion"] == seen["metadata"]["resourceVersion"]
    assert api.store.revision == before


async def test_the_system_fields_survive_an_update_that_leaves_them_out(client: InProcessClient) -> None:
    seen = await client.create(CONFIGMAPS, config_map("a"))
    updated = await client.update(CONFIGMAPS, config_map("a", data={"b": "2"}))
    assert updated["metadata"]["uid"] == seen["metadata"]["uid"]
    assert updated["metadata"]["creationTimestamp"] == seen["metadata"]["creationTimestamp"]


async def test_an_update_for_another_uid_is_a_conflict(client: InProcessClient) -> None:
    await client.create(CONFIGMAPS, config_map("a"))
    error = await refusal(client.update(CONFIGMAPS, config_map("a", uid="other")))
    assert error.code == 409
    assert "Precondition failed: UID in precondition: other" in error.message


async def test_generation_counts_changes_of_the_spec_alone(client: InProcessClient) -> None:
    made = await client.create(DEPLOYMENTS, deployment("d"))
    assert made["metadata"]["generation"] == 1
    labelled = await client.patch(DEPLOYMENTS, "default", "d", {"metadata": {"labels": {"x": "y"}}})
    assert labelled["metadata"]["generation"] == 1
    scaled = await client.patch(DEPLOYMENTS, "default", "d", {"spec": {"replicas": 3}})
    assert scaled["metadata"]["generation"] == 2
    reported = await client.patch(DEPLOYMENTS, "default", "d", {"status": {"replicas": 3}}, subresource="status")
    assert reported["metadata"]["generation"] == 2


async def test_spec_and_status_are_written_apart(client: InProcessClient) -> None:
    document = deployment("d") | {"status": {"replicas": 9}}
    assert "replicas" not in (await client.create(DEPLOYMENTS, document)).get("status", {})

    both = {"spec": {"replicas": 4}, "status": {"replicas": 7}, "metadata": {"labels": {"x": "y"}}}
    reported = await client.patch(DEPLOYMENTS, "default", "d", both, subresource="status")
    assert (reported["spec"]["replicas"], reported["status"]["replicas"]) == (1, 7)
    desired = await client.patch(DEPLOYMENTS, "default", "d", both | {"status": {"replicas": 8}})
    assert (desired["spec"]["replicas"], desired["status"]["replicas"]) == (4, 7)


async def test_scale_reads_and_writes_the_replicas_alone(client: InProcessClient) -> None:
    await client.create(DEPLOYMENTS, deployment("d", 2))
    scale = await client.get(DEPLOYMENTS, "default", "d", subresource="scale")
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 2}, "app=d")
    scale["spec"]["replicas"] = 5
    await client.update(DEPLOYMENTS, scale, subresource="scale")
    assert (await client.get(DEPLOYMENTS, "default", "d"))["spec"]["replicas"] == 5
    await client.patch(DEPLOYMENTS, "default", "d", {"spec": {"replicas": 1}}, subresource="scale")
    assert (await client.get(DEPLOYMENTS, "default", "d"))["spec"]["replicas"] == 1

    scale["spec"]["replicas"] = -1
    scale["metadata"]["resourceVersion"] = ""
    assert (await refusal(client.update(DEPLOYMENTS, scale, subresource="scale"))).code == 422


async def test_a_dry_run_answers_as_if_and_stores_nothing(client: InProcessClient, api: Api) -> None:
    before = api.store.revision
    call = Call(SYSTEM, dry_run=True)
    answer = api.create(Target(api.served(CONFIGMAPS), "default"), config_map("a"), call)
    assert codec.decode_object(answer.body)["metadata"]["uid"]
    assert api.store.revision == before
    assert (await refusal(client.get(CONFIGMAPS, "default", "a"))).message == 'configmaps "a" not found'


@pytest.mark.parametrize(
    ("validation", "expected"),
    [("Ignore", ()), ("Warn", ('unknown field "dta"',))],
)
def test_unknown_fields_are_dropped_in_silence_or_with_a_warning(
    api: Api, validation: str, expected: tuple[str, ...]
) -> None:
    document = config_map("a") | {"dta": {"x": "y"}}
    call = Call(SYSTEM, field_validation=validation)  # type: ignore[arg-type]
    answer = api.create(Target(api.served(CONFIGMAPS), "default"), document, call)
    assert answer.warnings == expected
    assert "dta" not in codec.decode_object(answer.body)


def test_unknown_fields_are_refused_by_name_when_strict(api: Api) -> None:
    document = config_map("a") | {"dta": {"x": "y"}}
    with pytest.raises(StatusError) as refused:
        api.create(Target(api.served(CONFIGMAPS), "default"), document, Call(SYSTEM, field_validation="Strict"))
    assert refused.value.code == 400
    assert refused.value.message == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dta"'
    )


async def test_an_invalid_object_is_refused_with_the_field_and_the_reason(client: InProcessClient) -> None:
    await client.create(SERVICE_ACCOUNTS, service_account())
    document = pod("x")
    document["spec"]["containers"] = []
    error = await refusal(client.create(PODS, document))
    assert (error.code, error.reason) == (422, "Invalid")
    assert error.message == 'Pod "x" is invalid: spec.containers: Required value'

    bad_name = await refusal(client.create(CONFIGMAPS, config_map("Bad_Name")))
    assert bad_name.code == 422
    assert bad_name.causes[0].field == "metadata.name"


async def test_a_pod_is_bound_once(client: InProcessClient) -> None:
    await client.create(SERVICE_ACCOUNTS, service_account())
    await client.create(PODS, pod("p"))
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p", "namespace": "default"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "n1"},
    }
    await client.create(PODS, binding, subresource="binding", name="p")
    bound = await client.get(PODS, "default", "p")
    assert bound["spec"]["nodeName"] == "n1"
    scheduled = next(c for c in bound["status"]["conditions"] if c["type"] == "PodScheduled")
    assert scheduled["status"] == "True"
    again = await refusal(client.create(PODS, binding, subresource="binding", name="p"))
    assert (again.code, 'already assigned to node "n1"' in again.message) == (409, True)


async def test_versions_of_a_custom_kind_show_the_same_objects(client: InProcessClient) -> None:
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, widget_crd(versions=("v1", "v1alpha1")))
    old = WIDGETS._replace(version="v1alpha1")
    await client.create(old, widget("w", "v1alpha1", size=3))
    assert (await client.get(WIDGETS, "default", "w"))["apiVersion"] == "example.com/v1"
    assert (await client.get(old, "default", "w"))["apiVersion"] == "example.com/v1alpha1"
    changed = await client.patch(WIDGETS, "default", "w", {"spec": {"size": 4}})
    assert changed["metadata"]["generation"] == 2
    assert (await client.get(old, "default", "w"))["spec"] == {"size": 4}


async def test_a_custom_kind_can_only_be_updated_with_a_resource_version(client: InProcessClient) -> None:
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, widget_crd())
    await client.create(WIDGETS, widget("w", size=3))
    error = await refusal(client.update(WIDGETS, widget("w", size=4)))
    assert error.code == 422
    assert "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update" in error.message


async def test_a_custom_kind_is_served_until_its_definition_goes(client: InProcessClient) -> None:
    assert (await refusal(client.get(WIDGETS, "default", "w"))).code == 404
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, widget_crd())
    await client.create(WIDGETS, widget("w", size=3))
    scale = await client.get(WIDGETS, "default", "w", subresource="scale")
    assert scale["spec"] == {"replicas": 3}
    await client.delete(CUSTOM_RESOURCE_DEFINITIONS, "", "widgets.example.com")
    assert (await refusal(client.get(WIDGETS, "default", "w"))).message == (
        "the server could not find the requested resource"
    )


async def test_a_definition_goes_after_its_objects_and_they_after_their_finalizers(client: InProcessClient) -> None:
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, widget_crd())
    held = widget("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await client.create(WIDGETS, held)
    await client.create(WIDGETS, widget("free"))
    going = await client.delete(CUSTOM_RESOURCE_DEFINITIONS, "", "widgets.example.com")
    assert going["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]

    assert len((await client.list_page(WIDGETS)).items) == 1
    refused = await refusal(client.create(WIDGETS, widget("new")))
    assert (refused.code, refused.message) == (
        405,
        "create not allowed while custom resource definition is terminating",
    )
    await client.patch(WIDGETS, "default", "held", {"metadata": {"finalizers": None}})
    assert (await client.list_page(CUSTOM_RESOURCE_DEFINITIONS)).items == []


def test_strategic_merge_is_415_for_custom_kinds(api: Api) -> None:
    api.create(Target(api.served(CUSTOM_RESOURCE_DEFINITIONS)), widget_crd(), Call())
    with pytest.raises(StatusError) as refused:
        api.patch(Target(api.served(WIDGETS), "default", "w"), Patch("strategic", {}), Call())
    assert refused.value.code == 415


async def test_apply_creates_changes_and_leaves_others_fields_alone(client: InProcessClient) -> None:
    await client.apply(CONFIGMAPS, config_map("a", data={"a": "1"}), field_manager="one")
    await client.apply(CONFIGMAPS, config_map("a", data={"b": "2"}), field_manager="two")
    found = await client.get(CONFIGMAPS, "default", "a")
    assert found["data"] == {"a": "1", "b": "2"}
    assert [entry["manager"] for entry in found["metadata"]["managedFields"]] == ["one", "two"]
    conflict = await refusal(
        client.apply(CONFIGMAPS, config_map("a", data={"a": "9"}), field_manager="two", force=False)
    )
    assert (conflict.code, "conflict with" in conflict.message) == (409, True)


async def test_applying_twice_makes_no_second_revision(client: InProcessClient, api: Api) -> None:
    await client.apply(CONFIGMAPS, config_map("a"), field_manager="one")
    before = api.store.revision
    await client.apply(CONFIGMAPS, config_map("a"), field_manager="one")
    assert api.store.revision == before


async def test_a_strict_patch_with_unknown_fields_is_refused_with_the_patch(api: Api, client: InProcessClient) -> None:
    await client.create(DEPLOYMENTS, deployment("d"))
    patch = Patch("strategic", {"spec": {"replcas": 3}})
    with pytest.raises(StatusError) as refused:
        api.patch(Target(api.served(DEPLOYMENTS), "default", "d"), patch, Call(SYSTEM, field_validation="Strict"))
    assert refused.value.code == 422
    assert refused.value.message == (
        ' "" is invalid: patch: Invalid value: "map[spec:map[replcas:3]]": '
        'strict decoding error: unknown field "spec.replcas"'
    )

"""Lists: selectors, and pages that all show the same moment."""

import pytest
from tests.unit.server_core.objects import config_map, pod, service_account

from headstay.local.server import codec
from headstay.local.server.inprocess import InProcessClient
from headstay.local.server.requests import Target
from headstay.local.server.rest import Api
from headstay.model.errors import StatusError
from headstay.model.resource import CONFIGMAPS, PODS, SERVICE_ACCOUNTS
from headstay.runtime.client import Page


def names(page: Page) -> list[str]:
    return [codec.decode_object(item)["metadata"]["name"] for item in page.items]


async def make(client: InProcessClient, *wanted: str) -> None:
    for name in wanted:
        await client.create(CONFIGMAPS, config_map(name))


async def test_pages_show_the_moment_of_the_first_one(client: InProcessClient) -> None:
    await make(client, "a", "b", "c", "d", "e")
    first = await client.list_page(CONFIGMAPS, "default", limit=2)
    await client.delete(CONFIGMAPS, "default", "c")
    await make(client, "d2")
    await client.patch(CONFIGMAPS, "default", "e", {"data": {"a": "changed"}})
    second = await client.list_page(CONFIGMAPS, "default", limit=2, continue_token=first.continue_token)
    third = await client.list_page(CONFIGMAPS, "default", limit=2, continue_token=second.continue_token)

    assert [names(first), names(second), names(third)] == [["a", "b"], ["c", "d"], ["e"]]
    assert third.continue_token == ""
    assert {page.resource_version for page in (first, second, third)} == {first.resource_version}
    assert codec.decode_object(third.items[0])["data"] == {"a": "1"}


async def test_a_page_whose_moment_was_compacted_ends_with_410(client: InProcessClient, api: Api) -> None:
    await make(client, "a", "b", "c")
    first = await client.list_page(CONFIGMAPS, "default", limit=1)
    await make(client, "d", "e")
    api.store.compact(keep=0, batch=100)
    with pytest.raises(StatusError, match="The provided continue parameter is too old") as ended:
        await client.list_page(CONFIGMAPS, "default", limit=1, continue_token=first.continue_token)
    assert (ended.value.code, ended.value.reason) == (410, "Expired")


async def test_a_page_says_how_many_are_left_unless_a_selector_hides_that(client: InProcessClient, api: Api) -> None:
    await make(client, "a", "b", "c")
    target = Target(api.served(CONFIGMAPS), "default")
    assert api.list(target, limit=1).remaining == 2
    assert api.list(target, limit=1, field_selector="metadata.namespace=default").remaining is None
    assert api.list(target, limit=3).continue_token == ""


async def test_pages_with_a_selector_are_full_pages(client: InProcessClient) -> None:
    for turn in range(20):
        await client.create(CONFIGMAPS, config_map(f"c{turn:02}", labels={"odd": str(turn % 2)}))
    first = await client.list_page(CONFIGMAPS, "", label_selector="odd=1", limit=4)
    await make(client, "x")
    second = await client.list_page(
        CONFIGMAPS, "", label_selector="odd=1", limit=100, continue_token=first.continue_token
    )
    assert names(first) == ["c01", "c03", "c05", "c07"]
    assert names(second) == ["c09", "c11", "c13", "c15", "c17", "c19"]


async def test_a_token_that_we_did_not_make_is_400(client: InProcessClient) -> None:
    with pytest.raises(StatusError, match="continue key is not valid") as refused:
        await client.list_page(CONFIGMAPS, continue_token="bm9uc2Vuc2U")
    assert refused.value.code == 400


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("status.phase=Pending", ["p", "q"]),
        ("spec.nodeName=", ["q"]),
        ("spec.nodeName!=", ["p"]),
        ("metadata.name!=p", ["q"]),
        ("metadata.name=p,spec.nodeName=n", ["p"]),
        ("metadata.namespace=kube-system", []),
    ],
)
async def test_pods_are_selected_by_their_fields(client: InProcessClient, selector: str, expected: list[str]) -> None:
    await client.create(SERVICE_ACCOUNTS, service_account())
    for name in ("p", "q"):
        await client.create(PODS, pod(name))
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p", "namespace": "default"}}
    await client.create(PODS, binding | {"target": {"kind": "Node", "name": "n"}}, subresource="binding", name="p")
    assert names(await client.list_page(PODS, field_selector=selector)) == expected


async def test_a_field_that_is_not_indexed_is_refused_by_name(client: InProcessClient) -> None:
    with pytest.raises(StatusError, match=r"field label not supported: spec\.color") as refused:
        await client.list_page(PODS, field_selector="spec.color=red")
    assert refused.value.code == 400


async def test_a_list_at_an_exact_revision_shows_that_moment(client: InProcessClient, api: Api) -> None:
    await make(client, "a")
    then = api.store.revision
    await make(client, "b")
    target = Target(api.served(CONFIGMAPS), "default")
    page = api.list(target, exact_revision=then)
    assert (len(page.items), page.revision) == (1, then)
    api.store.compact(keep=0, batch=100)
    with pytest.raises(StatusError) as ended:
        api.list(target, exact_revision=then)
    assert ended.value.code == 410

"""Every namespace has its account and the CA certificate, whatever happens to them."""

from functools import partial
from typing import Any

from tests.unit.local_controllers.api_world import ApiWorld, eventually, running

from headstay.local.controllers.serviceaccounts import ServiceAccountsController
from headstay.model.resource import CONFIGMAPS, NAMESPACES, SERVICE_ACCOUNTS

PEM = "-----BEGIN CERTIFICATE-----\n"


def serviceaccounts(world: ApiWorld, pem: str = PEM) -> Any:
    return ServiceAccountsController(world.client, world.informers, pem).run()


async def has_both(world: ApiWorld, namespace: str, pem: str = PEM) -> bool:
    account = await world.get(SERVICE_ACCOUNTS, "default", namespace)
    root_ca = await world.get(CONFIGMAPS, "kube-root-ca.crt", namespace)
    return account is not None and root_ca is not None and root_ca["data"] == {"ca.crt": pem}


async def test_old_and_new_namespaces_get_both() -> None:
    world = ApiWorld()
    async with running(world, serviceaccounts(world)):
        await world.make(NAMESPACES, "team")
        for namespace in ("default", "kube-system", "team"):
            await eventually(partial(has_both, world, namespace))


async def test_what_is_deleted_or_changed_comes_back() -> None:
    world = ApiWorld()
    async with running(world, serviceaccounts(world)):
        await eventually(lambda: has_both(world, "kube-public"))
        await world.client.delete(SERVICE_ACCOUNTS, "kube-public", "default")
        await eventually(lambda: has_both(world, "kube-public"))
        await world.client.delete(CONFIGMAPS, "kube-public", "kube-root-ca.crt")
        await eventually(lambda: has_both(world, "kube-public"))
        await world.client.patch(CONFIGMAPS, "kube-public", "kube-root-ca.crt", {"data": {"ca.crt": "other"}})
        await eventually(lambda: has_both(world, "kube-public"))


async def test_a_new_certificate_reaches_every_namespace() -> None:
    world = ApiWorld()
    await world.make(CONFIGMAPS, "kube-root-ca.crt", namespace="kube-system", data={"ca.crt": "old"})
    async with running(world, serviceaccounts(world, "new")):
        await eventually(lambda: has_both(world, "kube-system", "new"))

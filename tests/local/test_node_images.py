"""Environments made on this machine: once, whole, and with a message that helps where they cannot be."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.local.node_lab import needs_root

from headstay.local.config import LocalConfig
from headstay.local.node.engine import Engine
from headstay.local.node.environments import EnvironmentStore
from headstay.local.node.imagemap import Environment
from headstay.local.node.images import ImageError, ImageStore, prepare_images

pytestmark = needs_root


@pytest.fixture
def config(tmp_path: Path) -> LocalConfig:
    return replace(LocalConfig(), state_dir=tmp_path / "s", run_dir=tmp_path / "r", cache_dir=tmp_path / "c")


async def test_an_environment_is_made_once_however_many_ask_for_it(tmp_path: Path) -> None:
    wanted = Environment(("wrapt==1.17.2",), "/opt/python")
    said: list[str] = []
    stores = [EnvironmentStore(tmp_path) for _ in range(3)]
    made = await asyncio.gather(*(store.ensure(wanted, said.append) for store in stores))
    assert len({one.path for one in made}) == 1
    assert len([text for text in said if text.startswith("Installing wrapt==1.17.2")]) == 1
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [made[0].path.name]
    assert not list(tmp_path.glob(".*.building"))
    assert (made[0].path / "bin" / "pip").read_text().startswith("#!/opt/python/bin/python")


async def test_an_install_that_is_cut_short_leaves_nothing_and_can_be_made_again(tmp_path: Path) -> None:
    wanted, store, began = Environment(("wrapt==1.17.2",), "/opt/python"), EnvironmentStore(tmp_path), asyncio.Event()
    making = asyncio.create_task(store.ensure(wanted, lambda _: began.set()))
    await asyncio.wait_for(began.wait(), 30)
    making.cancel()
    await asyncio.wait([making])
    assert store.find(wanted) is None
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []
    assert (await store.ensure(wanted, lambda _: None)).path.is_dir()


async def test_a_ray_that_does_not_exist_names_those_that_do(config: LocalConfig) -> None:
    with pytest.raises(ImageError, match=r"ray\[default,serve\]==99\.0 does not exist.*2\.60\.0") as caught:
        await prepare_images(config, ["rayproject/ray:99.0"], lambda _: None)
    assert "rayproject/ray:99.0" in str(caught.value)


async def test_a_python_that_is_not_there_is_named_with_those_that_are(config: LocalConfig) -> None:
    store = ImageStore(config, Engine(config))
    with pytest.raises(ImageError, match=r"asks for Python 3\.99, and this machine has .*3\.\d+"):
        await store.pull("rayproject/ray:2.60.0-py399", lambda _: None)


async def test_what_is_prepared_already_needs_nothing(config: LocalConfig) -> None:
    said: list[str] = []
    await prepare_images(config, ["busybox:1"], said.append)
    await prepare_images(config, ["busybox:1", "headstay/operator:0.1.0"], said.append)
    assert all("looking" in text for text in said)

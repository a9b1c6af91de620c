"""Fleets move from KubeRay to Headstay and back, and across Headstay versions, without one Pod restarted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import pytest
import yaml
from tests.unit.controllers.take_over import NAME, children, cluster, fixtures, listed, load
from tests.unit.controllers.world import NAME as SAMPLE
from tests.unit.controllers.world import SAMPLE as SAMPLE_PAGE
from tests.unit.controllers.world import World, world

from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.ray import RAYCLUSTERS, REDIS_CLEANUP_FINALIZER, RayCluster
from headstay.model.resource import JOBS, PODS, SERVICES
from headstay.plan.raycluster.recreate import spec_hash
from headstay.plan.raycluster.settings import Settings

pytestmark = pytest.mark.looptime

RUNNING = [*fixtures("*/ft-*"), *fixtures("*/no-ft"), *fixtures("*/multi-host")]
SUSPENDED = fixtures("*/suspended")
DELETING = fixtures("*/deleting-*")
MARKS = {"ray.io/upgrade-strategy-recreate-hash", "ray.io/kuberay-version"}


@asynccontextmanager
async def left_by_kuberay(name: str) -> AsyncIterator[World]:
    """KubeRay is stopped; the operator has not started. What it then merely tries to create is noted as well."""
    async with world() as w:
        await w.stop()

        def note(what: str, _: Obj) -> StatusError | None:
            w.client.writes.append(f"try to {what}")
            return None

        w.client.refuse = note
        w.client.writes.clear()
        await load(w, name)
        yield w


async def stays(w: World) -> None:
    """Longer than every resync, expectation and back-off."""
    await w.start()
    await w.settle(1000)
    await w.stop()


def beside_status(w: World) -> list[str]:
    return [write for write in w.client.writes if write != "patch RayCluster/status"]


@pytest.mark.parametrize("name", [*RUNNING, *SUSPENDED])
async def test_what_kuberay_left_is_adopted_with_no_write_but_of_the_status(name: str) -> None:
    async with left_by_kuberay(name) as w:
        before, cluster_before = await children(w), await cluster(w)
        await stays(w)
        assert beside_status(w) == []
        assert len(w.client.writes) <= 2, w.client.writes
        assert await children(w) == before
        after = await cluster(w)
        assert after is not None
        assert cluster_before is not None
        assert after["metadata"].get("finalizers") == cluster_before["metadata"].get("finalizers")
        assert after["spec"] == cluster_before["spec"]


@pytest.mark.parametrize("name", RUNNING)
async def test_the_status_goes_on_saying_ready(name: str) -> None:
    async with left_by_kuberay(name) as w:
        found = await cluster(w)
        assert found is not None
        before = found["status"]
        await stays(w)
        found = await cluster(w)
        assert found is not None
        status = found["status"]
        kept = ("state", "availableWorkerReplicas", "desiredWorkerReplicas", "stateTransitionTimes")
        assert {key: status[key] for key in kept if key in before} == {
            key: before[key] for key in kept if key in before
        }
        (head,) = await listed(w, PODS, "ray.io/node-type=head")
        assert status["head"]["podName"] == head["metadata"]["name"]
        (provisioned,) = (one for one in status["conditions"] if one["type"] == "RayClusterProvisioned")
        assert provisioned["status"] == "True"


@pytest.mark.parametrize("name", SUSPENDED)
async def test_a_suspended_cluster_stays_so_until_it_is_resumed(name: str) -> None:
    async with left_by_kuberay(name) as w:
        await stays(w)
        assert await listed(w, PODS) == []
        found = await cluster(w)
        assert found is not None
        assert found["status"]["state"] == "suspended"
        await w.user.patch(RAYCLUSTERS, "default", NAME, {"spec": {"suspend": False}})
        await stays(w)
        assert len(await listed(w, PODS, "ray.io/node-type=head")) == 1
        assert len(await listed(w, SERVICES)) == 1


async def test_a_hash_of_kuberay_s_is_refreshed_and_not_acted_on() -> None:
    async with left_by_kuberay("1.7/recreate") as w:
        before = await children(w)
        await stays(w)
        assert beside_status(w) == ["patch Pod"]
        after = await children(w)
        (head,) = (
            key for key, child in before.items() if child["labels"].get("ray.io/node-type") == "head" and "Pod" in key
        )
        marks = after[head]["annotations"]
        found = await cluster(w)
        expected = spec_hash(msgspec.convert(found, RayCluster))
        assert {key: marks[key] for key in MARKS} == dict(
            zip(sorted(MARKS), [w.settings.version, expected], strict=True)
        )
        for child in (before[head], after[head]):
            child["annotations"] = {key: value for key, value in child["annotations"].items() if key not in MARKS}
        assert after == before


@pytest.mark.parametrize("name", [*RUNNING, *SUSPENDED, "1.7/recreate"])
async def test_another_version_of_ours_leaves_all_pods_alone_too(name: str) -> None:
    async with left_by_kuberay(name) as w:
        await stays(w)
        before, w.settings = await children(w), replace(w.settings, version="headstay-v9.9.9", login_shell=True)
        w.client.writes.clear()
        await stays(w)
        assert set(beside_status(w)) <= {"patch Pod"}
        after = await children(w)
        assert {key: child["uid"] for key, child in after.items()} == {
            key: child["uid"] for key, child in before.items()
        }


@pytest.mark.parametrize("name", DELETING)
async def test_a_deletion_that_was_half_done_is_completed(name: str) -> None:
    async with left_by_kuberay(name) as w:
        before = {job["metadata"]["uid"] for job in await listed(w, JOBS)}
        await w.start()
        await w.settle()
        for pod in await listed(w, PODS):
            assert pod["metadata"]["deletionTimestamp"]
            await w.user.delete(PODS, "default", pod["metadata"]["name"], grace_period_seconds=0)
        await w.settle()
        found = await listed(w, JOBS)
        if before:
            assert {job["metadata"]["uid"] for job in found} <= before, "no second Job"
        if await cluster(w) is not None:
            (job,) = found
            await w.end_job("Complete")
            await w.settle()
        assert await cluster(w) is None
        assert "create Pod" not in w.client.writes
        assert w.client.writes.count("create Job") == (0 if before else 1)
        if not before:
            assert job["metadata"]["name"] == f"{NAME}-redis-cleanup"


async def test_a_finalizer_that_is_missing_is_put_on_a_cluster_that_runs() -> None:
    """As after KubeRay with ENABLE_GCS_FT_REDIS_CLEANUP=false."""
    async with left_by_kuberay("1.3/ft-options") as w:
        await w.user.patch(RAYCLUSTERS, "default", NAME, {"metadata": {"finalizers": None}})
        before = await children(w)
        await stays(w)
        assert beside_status(w) == ["patch RayCluster"]
        assert await children(w) == before
        found = await cluster(w)
        assert found is not None
        assert found["metadata"]["finalizers"] == [REDIS_CLEANUP_FINALIZER]


async def test_a_lost_host_of_a_group_whose_pods_name_no_replica_is_replaced_alone() -> None:
    async with left_by_kuberay("1.3/multi-host") as w:
        await w.start()
        await w.settle()
        before = {pod["metadata"]["uid"] for pod in await listed(w, PODS)}
        (lost, *_) = await listed(w, PODS, "ray.io/node-type=worker")
        await w.user.delete(PODS, "default", lost["metadata"]["name"], grace_period_seconds=0)
        await w.settle(1000)
        after = {pod["metadata"]["uid"] for pod in await listed(w, PODS)}
        assert before - after == {lost["metadata"]["uid"]}
        assert len(after - before) == 1


async def test_an_older_kuberay_s_service_for_hosts_gets_no_twin() -> None:
    """Up to 1.2 it had another name; KubeRay itself finds it by its label."""
    async with left_by_kuberay("1.3/multi-host") as w:
        (service,) = await listed(w, SERVICES, "ray.io/headless-worker-svc")
        await w.user.delete(SERVICES, "default", service["metadata"]["name"])
        metadata = {key: service["metadata"][key] for key in ("namespace", "labels", "ownerReferences")}
        older = service | {"metadata": metadata | {"name": f"{NAME}-headless-worker-svc"}}
        await w.user.create(SERVICES, older)
        await stays(w)
        assert beside_status(w) == []


async def test_a_service_for_serve_made_by_kuberay_gets_no_twin_and_costs_no_write() -> None:
    async with left_by_kuberay("1.7/no-ft") as w:
        annotations = {"ray.io/enable-serve-service": "true"}
        port = {"name": "serve", "containerPort": 8000}
        patch = [
            {"op": "add", "path": "/metadata/annotations", "value": annotations},
            {"op": "add", "path": "/spec/headGroupSpec/template/spec/containers/0/ports/-", "value": port},
        ]
        await w.user.patch(RAYCLUSTERS, "default", NAME, patch, patch_type="json")
        labels = {
            "ray.io/originated-from-cr-name": NAME,
            "ray.io/originated-from-crd": "RayCluster",
            "ray.io/serve": f"{NAME}-serve",
        }
        found = await cluster(w)
        assert found is not None
        owner = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "name": NAME, "uid": found["metadata"]["uid"]}
        metadata = {"name": f"{NAME}-serve-svc", "namespace": "default", "labels": labels, "ownerReferences": [owner]}
        spec = {
            "selector": {"ray.io/cluster": NAME, "ray.io/serve": "true"},
            "ports": [{"name": "serve", "port": 8000}],
        }
        service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        await w.user.create(SERVICES, service)
        await stays(w)
        assert beside_status(w) == []


async def test_kuberay_finds_everything_of_ours_with_its_own_selectors() -> None:
    """The way back: what its lists select, what its hash logic reads, what its cache lets through."""
    async with world() as w:
        await w.complete()
        await w.settle()
        (head,) = await listed(w, PODS, f"ray.io/cluster={SAMPLE},ray.io/node-type=head")
        (worker,) = await listed(w, PODS, f"ray.io/cluster={SAMPLE},ray.io/group=small-group")
        identifier = f"{SAMPLE}-head"
        (service,) = await listed(
            w, SERVICES, f"ray.io/cluster={SAMPLE},ray.io/node-type=head,ray.io/identifier={identifier}"
        )
        assert service["metadata"]["name"] == f"{SAMPLE}-head-svc"
        assert worker["metadata"]["labels"]["ray.io/node-type"] == "worker"
        marks = head["metadata"]["annotations"]
        assert marks["ray.io/upgrade-strategy-recreate-hash"]
        assert marks["ray.io/kuberay-version"] == Settings().version
        assert not marks["ray.io/kuberay-version"].startswith("v"), "no KubeRay calls itself so: it rewrites the hash"
        for child in (head, worker, service):
            assert _owner(child) == ("RayCluster", SAMPLE, True)
        await w.delete_cluster()
        await w.until(w.has_job)
        (job,) = await listed(
            w,
            JOBS,
            f"app.kubernetes.io/created-by=kuberay-operator,ray.io/node-type=redis-cleanup,ray.io/cluster={SAMPLE}",
        )
        assert job["metadata"]["name"] == f"{SAMPLE}-redis-cleanup"
        assert _owner(job) == ("RayCluster", SAMPLE, True)


async def test_hosts_of_ours_are_whole_replicas_to_kuberay() -> None:
    async with world() as w:
        group = _sample_group() | {"numOfHosts": 2, "replicas": 2}
        await w.apply_sample(workerGroupSpecs=[group])
        await w.settle()
        workers = await listed(w, PODS, "ray.io/node-type=worker")
        labels = [worker["metadata"]["labels"] for worker in workers]
        hosts = sorted((one["ray.io/worker-group-replica-index"], one["ray.io/replica-host-index"]) for one in labels)
        assert hosts == [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")]
        assert len({one["ray.io/worker-group-replica-name"] for one in labels}) == 2
        (service,) = await listed(w, SERVICES, f"ray.io/headless-worker-svc={SAMPLE}")
        assert service["metadata"]["name"] == f"{SAMPLE}-headless"


def _sample_group() -> Obj:
    found = next(one for one in yaml.safe_load_all(SAMPLE_PAGE.read_text()) if one["kind"] == "RayCluster")
    group: Obj = found["spec"]["workerGroupSpecs"][0]
    return group


def _owner(child: Obj) -> tuple[str, str, bool]:
    (owner,) = child["metadata"]["ownerReferences"]
    return (owner["kind"], owner["name"], owner["controller"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("1.7/ft-options", "its 2 Pods were made by v1.7.0 and are left alone"),
        ("1.0/ft-annotation", "its 2 Pods were made by a KubeRay that leaves no version and are left alone"),
    ],
)
async def test_the_log_says_once_that_a_cluster_was_adopted(
    name: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "headstay")
    async with left_by_kuberay(name) as w:
        await stays(w)
    adopted = [record.getMessage() for record in caplog.records if "adopted" in record.getMessage()]
    assert adopted == [f"RayCluster default/{NAME}: adopted as it is; {said}"]


async def test_a_cluster_of_our_own_is_not_called_adopted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "headstay")
    async with world() as w:
        await w.complete()
        await w.stop()
        await stays(w)
    assert not [record for record in caplog.records if "adopted" in record.getMessage()]

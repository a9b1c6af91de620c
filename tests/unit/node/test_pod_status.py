"""The status a Pod's record stands for, and the smallest patch that says so."""

from datetime import UTC, datetime, timedelta
from typing import Any

from headstay.local.node.podspec import PodDocument, quality_of_service, refusals
from headstay.local.node.records import ContainerRecord, PodRecord, Termination
from headstay.local.node.status import pod_status, status_patch
from headstay.model.meta import ObjectMeta
from headstay.model.objects import Obj

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STAMP = "2026-01-02T03:04:05Z"
HOST = "10.0.0.1"


def pod(status: Obj | None = None, **spec: Any) -> PodDocument:
    containers = {"containers": [{"name": "a", "image": "busybox:1"}]}
    return PodDocument(ObjectMeta(name="p", namespace="n", uid="u"), containers | spec, status or {})


def record(*containers: ContainerRecord, **more: Any) -> PodRecord:
    known = {one.name: one for one in containers}
    return PodRecord("u", "n", "p", started_at=NOW, address="10.0.0.9", sandbox_ready=True, containers=known, **more)


def running(name: str = "a", **more: Any) -> ContainerRecord:
    return ContainerRecord(
        name, "running", id="x", started_at=NOW, ever_started=True, **({"started": True, "ready": True} | more)
    )


def ended(code: int = 1, name: str = "a", **more: Any) -> ContainerRecord:
    termination = Termination(code, "Error" if code else "Completed", NOW, NOW, container_id="x")
    return ContainerRecord(name, "terminated", id="x", ever_started=True, termination=termination, **more)


def conditions(status: Obj) -> dict[str, str]:
    return {c["type"]: c["status"] for c in status["conditions"]}


def test_a_running_and_ready_pod() -> None:
    status = pod_status(pod(), record(running()), HOST, NOW)
    assert (status["phase"], status["podIP"], status["hostIP"]) == ("Running", "10.0.0.9", HOST)
    assert set(conditions(status).values()) == {"True"}
    assert status["containerStatuses"][0]["state"] == {"running": {"startedAt": STAMP}}
    assert status["containerStatuses"][0]["lastState"] == {}


def test_an_unready_container_is_named_in_the_condition() -> None:
    status = pod_status(pod(), record(running(ready=False)), HOST, NOW)
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
    assert ready["message"] == "containers with unready status: [a]"


def test_a_pod_waits_for_its_first_start_as_pending() -> None:
    assert pod_status(pod(), record(), HOST, NOW)["phase"] == "Pending"
    two = pod(containers=[{"name": "a"}, {"name": "b"}])
    waiting = ContainerRecord("b", reason="ErrImagePull", message="no such image")
    status = pod_status(two, record(running(), waiting), HOST, NOW)
    assert status["phase"] == "Pending"
    assert status["containerStatuses"][1]["state"] == {
        "waiting": {"reason": "ErrImagePull", "message": "no such image"}
    }


def test_a_container_in_back_off_shows_crash_loop_and_its_last_end() -> None:
    known = ended(3, restarts=2, backoff_seconds=20, backoff_set_at=NOW)
    status = pod_status(pod(), record(known), HOST, NOW)
    shown = status["containerStatuses"][0]
    assert shown["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert shown["state"]["waiting"]["message"] == "back-off 20s restarting failed container=a pod=p_n(u)"
    assert shown["lastState"]["terminated"]["exitCode"] == 3
    assert (shown["restartCount"], status["phase"]) == (2, "Running")


def test_a_pod_that_ended_shows_how_each_container_did() -> None:
    state = record(ended(0), outcome=("Succeeded", "", ""))
    status = pod_status(pod(restartPolicy="Never"), state, HOST, NOW)
    assert status["phase"] == "Succeeded"
    assert status["containerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    assert conditions(status)["Ready"] == "False"
    assert next(c for c in status["conditions"] if c["type"] == "Ready")["reason"] == "PodCompleted"


def test_an_outcome_is_shown_only_when_nothing_runs_any_more() -> None:
    state = record(running(), outcome=("Failed", "DeadlineExceeded", "too long"))
    assert pod_status(pod(), state, HOST, NOW)["phase"] == "Running"


def test_init_containers_are_counted_before_the_others() -> None:
    document = pod(initContainers=[{"name": "i", "image": "busybox:1"}])
    status = pod_status(document, record(running("i")), HOST, NOW)
    assert conditions(status)["Initialized"] == "False"
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
    done = pod_status(document, record(ended(0, "i"), running()), HOST, NOW)
    assert conditions(done)["Initialized"] == "True"
    assert done["initContainerStatuses"][0]["ready"] is True


def test_readiness_gates_of_others_keep_a_pod_unready() -> None:
    document = pod(readinessGates=[{"conditionType": "example.com/gate"}])
    status = pod_status(document, record(running()), HOST, NOW)
    assert conditions(status)["Ready"] == "False"
    assert conditions(status)["ContainersReady"] == "True"


def test_what_the_api_knows_already_is_not_written_again() -> None:
    wanted = pod_status(pod(), record(running()), HOST, NOW)
    assert status_patch(pod(wanted), wanted) is None
    later = NOW + timedelta(seconds=60)
    again = pod_status(pod(wanted), record(running()), HOST, later)
    assert status_patch(pod(wanted), again) is None, "a condition's time moves only with its status"


def test_a_condition_that_turns_true_loses_its_reason() -> None:
    before = pod_status(pod(), record(running(ready=False)), HOST, NOW)
    after = pod_status(pod(before), record(running()), HOST, NOW)
    patch = status_patch(pod(before), after)
    assert patch is not None
    ready = next(c for c in patch["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == ("True", None, None)


def test_quality_of_service_follows_limits_and_requests() -> None:
    def of(**resources: Any) -> str:
        return quality_of_service(pod(containers=[{"name": "a", "resources": resources}]))

    assert of() == "BestEffort"
    assert of(requests={"cpu": "1"}) == "Burstable"
    full = {"cpu": "1", "memory": "1Gi"}
    assert of(limits=full) == of(limits=full, requests=full) == "Guaranteed"
    assert of(limits=full, requests={"cpu": "500m"}) == "Burstable"


def test_every_unsupported_field_is_named() -> None:
    document = pod(
        hostNetwork=True,
        volumes=[{"name": "v", "nfs": {}}],
        containers=[
            {
                "name": "a",
                "securityContext": {"privileged": True},
                "resources": {"limits": {"example.com/gpu": 1, "hugepages-2Mi": "1Gi"}},
            }
        ],
    )
    assert refusals(document) == [
        "spec.hostNetwork",
        "spec.volumes[v].nfs",
        "spec.containers[a].securityContext.privileged",
        "spec.containers[a].resources.limits.example.com/gpu",
        "spec.containers[a].resources.limits.hugepages-2Mi",
    ]
    assert refusals(pod()) == []

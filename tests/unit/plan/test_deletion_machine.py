"""Deletion ends, in the right order, whatever the spec says."""

import shlex

import pytest
from tests.unit.plan.clusters import cluster, created, deleted, env_of, finalizers, ft_cluster, job, plan, pod

from headstay.model.ray import REDIS_CLEANUP_FINALIZER
from headstay.plan.raycluster.cleanup import CLEANUP_BLOCKED, deletion_timeout
from headstay.plan.raycluster.plan import Create, Observed, Plan, SetFinalizers
from headstay.plan.raycluster.settings import Settings

MANDATORY = Settings(cleanup_mode="Mandatory")
COMPLETE = {"type": "Complete", "status": "True"}
FAILED = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "no luck"}


def release_of(found: Plan) -> SetFinalizers:
    """The last thing done: what comes before it is in the debts' own tests."""
    action = found.actions[-1]
    assert isinstance(action, SetFinalizers)
    return action


def test_the_finalizer_comes_before_any_child() -> None:
    found = plan(Observed(ft_cluster(finalizers=("example.com/other",))))
    assert finalizers(found) == ("example.com/other", REDIS_CLEANUP_FINALIZER)
    assert created(found) == []
    assert not found.status


def test_without_cleanup_children_are_made_at_once() -> None:
    found = plan(Observed(ft_cluster(finalizers=())), Settings(redis_cleanup=False))
    assert finalizers(found) is None
    assert created(found) == ["Service", "Pod/head", "Pod/worker"]


def test_pods_go_first_and_only_those_not_going_yet() -> None:
    pods = (pod("head", "head"), pod("w1"), pod("w2", deleting=True))
    found = plan(Observed(ft_cluster(deleted_for=1), pods=pods))
    assert deleted(found) == ["head", "w1"]
    assert created(found) == []
    assert finalizers(found) is None


def test_the_job_waits_for_the_head_but_not_for_workers() -> None:
    workers_only = (pod("w", deleting=True),)
    assert created(plan(Observed(ft_cluster(deleted_for=1), pods=workers_only))) == ["Job"]
    with_head = (*workers_only, pod("head", "head", deleting=True))
    assert created(plan(Observed(ft_cluster(deleted_for=1), pods=with_head))) == []


def test_the_job_waits_for_a_head_that_is_being_made() -> None:
    found = plan(Observed(ft_cluster(deleted_for=1), unsettled=frozenset({""})))
    assert found.actions == ()


def test_the_job_is_asked_for_only_where_the_api_shows_no_head() -> None:
    (action,) = plan(Observed(ft_cluster(deleted_for=1))).actions
    assert isinstance(action, Create)
    assert action.unless == "ray.io/cluster=raycluster,ray.io/node-type=head"


def test_nothing_is_done_while_the_job_runs_but_the_deadline_is_remembered() -> None:
    found = plan(Observed(ft_cluster(deleted_for=20), jobs=(job(),)))
    assert found.actions == ()
    assert found.requeue_after == 280


def test_a_job_that_succeeded_releases_the_cluster_and_says_nothing() -> None:
    found = plan(Observed(ft_cluster(deleted_for=20), jobs=(job(COMPLETE),)))
    assert found.actions == (SetFinalizers((), None, outcome="succeeded"),)


@pytest.mark.parametrize("kind", ["Failed", "FailureTarget"])
def test_a_job_that_failed_releases_the_cluster_too_and_warns(kind: str) -> None:
    found = plan(Observed(ft_cluster(deleted_for=20), jobs=(job(FAILED | {"type": kind}),)))
    action = release_of(found)
    assert action.done is not None
    assert action.done.type == "Warning"
    assert "864b004c-6305-42e3-ac46-adfa8eb6f752" in action.done.note


def test_other_finalizers_stay() -> None:
    observed = Observed(
        ft_cluster(deleted_for=9, finalizers=("a/b", REDIS_CLEANUP_FINALIZER, "c/d")), jobs=(job(COMPLETE),)
    )
    assert finalizers(plan(observed)) == ("a/b", "c/d")


def test_a_job_of_an_earlier_cluster_of_the_same_name_counts_for_nothing() -> None:
    found = plan(Observed(ft_cluster(deleted_for=20), jobs=(job(COMPLETE, owner="another"),)))
    assert created(found) == ["Job"]


def test_the_deadline_comes_before_everything() -> None:
    pods = (pod("head", "head", deleting=True), pod("w"))
    found = plan(Observed(ft_cluster(deleted_for=300), pods=pods))
    action = release_of(found)
    assert action.done is not None
    assert (action.done.reason, action.done.action) == ("ForceDeletedStuckCluster", "Cleanup")


@pytest.mark.parametrize(
    ("text", "seconds"), [("120", 120), ("1", 1), ("", 300), ("junk", 300), ("0", 300), ("-5", 300), ("1.5", 300)]
)
def test_the_deadline_is_the_annotation_s_where_it_is_a_positive_number(text: str, seconds: int) -> None:
    assert deletion_timeout(cluster(annotations={"ray.io/gcs-ft-deletion-timeout": text})) == seconds


def test_an_invalid_spec_does_not_trap_the_object() -> None:
    both = ft_cluster(deleted_for=1, gcsFaultToleranceOptions={"redisAddress": "redis:6379"})
    assert deleted(plan(Observed(both, pods=(pod("head", "head"),)))) == ["head"]
    assert created(plan(Observed(both))) == ["Job"]


def test_a_head_without_containers_does_not_trap_the_object() -> None:
    broken = ft_cluster(deleted_for=1, head={"template": {"spec": {"containers": []}}})
    assert finalizers(plan(Observed(broken))) == ()


def test_an_object_handed_to_another_manager_is_still_released() -> None:
    handed = ft_cluster(deleted_for=1, managedBy="kueue.x-k8s.io/multikueue")
    assert finalizers(plan(Observed(handed, jobs=(job(COMPLETE),)))) == ()


@pytest.mark.parametrize(
    ("observed", "settings", "why"),
    [
        (
            Observed(ft_cluster(deleted_for=1, annotations={"ray.io/ft-enabled": "false"})),
            Settings(),
            "fault tolerance",
        ),
        (Observed(ft_cluster(deleted_for=1)), Settings(redis_cleanup=False), "switched off"),
        (Observed(ft_cluster(deleted_for=1, head={})), Settings(), "RAY_REDIS_ADDRESS"),
    ],
)
def test_what_cannot_be_cleaned_any_more_is_released_with_a_warning(
    observed: Observed, settings: Settings, why: str
) -> None:
    action = release_of(plan(observed, settings))
    assert action.done is not None
    assert action.done.reason == "RedisCleanupIncomplete"
    assert why in action.done.note


def test_without_our_finalizer_a_deletion_is_not_our_business() -> None:
    found = plan(Observed(cluster(deleted_for=1), pods=(pod("head", "head"),)))
    assert found.actions == ()


def test_in_mandatory_mode_a_failed_job_keeps_the_finalizer_and_says_how_to_take_it_off() -> None:
    found = plan(Observed(ft_cluster(deleted_for=1000), jobs=(job(FAILED),)), MANDATORY)
    assert found.actions == ()
    assert found.requeue_after is None
    (condition,) = found.conditions
    assert (condition["type"], condition["status"]) == (CLEANUP_BLOCKED, "True")
    assert (
        "kubectl patch rayclusters.ray.io raycluster -n default --type json "
        """--patch='[ { "op": "remove", "path": "/metadata/finalizers" } ]'"""
    ) in condition["message"]


def test_in_mandatory_mode_there_is_no_deadline() -> None:
    found = plan(Observed(ft_cluster(deleted_for=1000), jobs=(job(),)), MANDATORY)
    assert found.actions == ()


def test_in_mandatory_mode_a_job_that_succeeded_releases() -> None:
    assert finalizers(plan(Observed(ft_cluster(deleted_for=1), jobs=(job(COMPLETE),)), MANDATORY)) == ()


def test_the_job_is_the_head_pod_without_what_would_keep_it_alive() -> None:
    container = {
        "env": [{"name": "RAY_REDIS_ADDRESS", "value": "rediss://cache:6380"}],
        "envFrom": [{"secretRef": {"name": "redis-tls"}}],
        "volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "startupProbe": {"exec": {"command": ["true"]}},
    }
    template = {
        "metadata": {"labels": {"team": "a"}},
        "spec": {
            "serviceAccountName": "redis-reader",
            "nodeSelector": {"zone": "b"},
            "volumes": [{"name": "ca", "secret": {"secretName": "ca"}}],
            "containers": [{"name": "ray-head", "image": "ray:9", **container}, {"name": "sidecar"}],
        },
    }
    (action,) = plan(Observed(ft_cluster(deleted_for=1, head={"template": template}))).actions
    assert isinstance(action, Create)
    made = action.obj
    pod_spec = made["spec"]["template"]["spec"]
    (only,) = pod_spec["containers"]
    assert made["metadata"]["name"] == "raycluster-redis-cleanup"
    assert made["metadata"]["labels"] == made["spec"]["template"]["metadata"]["labels"]
    assert made["metadata"]["labels"]["ray.io/node-type"] == "redis-cleanup"
    assert made["metadata"]["labels"]["team"] == "a"
    assert made["metadata"]["annotations"]["ray.io/ft-enabled"] == "true"
    assert made["metadata"]["ownerReferences"][0]["controller"]
    assert (made["spec"]["backoffLimit"], made["spec"]["activeDeadlineSeconds"]) == (0, 300)
    assert pod_spec["restartPolicy"] == "Never"
    assert (pod_spec["serviceAccountName"], pod_spec["nodeSelector"]) == ("redis-reader", {"zone": "b"})
    assert pod_spec["volumes"][0] == {"name": "ca", "secret": {"secretName": "ca"}}
    assert only["envFrom"] == container["envFrom"]
    assert only["image"] == "ray:9"
    assert not {"livenessProbe", "readinessProbe", "startupProbe"} & set(only)
    assert only["resources"] == {kind: {"cpu": "200m", "memory": "256Mi"} for kind in ("requests", "limits")}
    env = env_of(only)
    assert env["RAY_external_storage_namespace"] == "864b004c-6305-42e3-ac46-adfa8eb6f752"
    assert env["RAY_redis_db_connect_retries"] == "120"
    assert env["RAY_redis_db_connect_wait_milliseconds"] == "500"


def test_the_job_runs_the_cleaner_s_text_as_it_is() -> None:
    source = "print('two kinds of \"quotes\"')\n"
    (action,) = plan(Observed(ft_cluster(deleted_for=1)), Settings(cleaner_source=source)).actions
    assert isinstance(action, Create)
    script = action.obj["spec"]["template"]["spec"]["containers"][0]["args"][0]
    assert shlex.split(script.splitlines()[0])[0] == "echo"
    assert shlex.split(script.partition("\n")[2]) == ["python3", "-c", source]


def test_a_job_without_a_cleaner_fails_instead_of_claiming_success() -> None:
    (action,) = plan(Observed(ft_cluster(deleted_for=1)), Settings()).actions
    assert isinstance(action, Create)
    script = action.obj["spec"]["template"]["spec"]["containers"][0]["args"][0]
    with pytest.raises(SystemExit, match="no key was touched"):
        exec(shlex.split(script.partition("\n")[2])[2])


def test_the_event_about_a_failed_job_carries_its_last_words() -> None:
    said = "Connecting\nRedis at redis:6379 refuses to let us in: WRONGPASS invalid username-password pair\n"
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": said}}
    cleaner = pod("cleaner", "redis-cleanup", phase="Failed", container_state=ended)
    action = release_of(plan(Observed(ft_cluster(deleted_for=20), pods=(cleaner,), jobs=(job(FAILED),))))
    assert action.done is not None
    assert "WRONGPASS" in action.done.note
    assert "Connecting" not in action.done.note


def test_killed_without_a_word_the_job_s_exit_code_speaks() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    cleaner = pod("cleaner", "redis-cleanup", phase="Failed", container_state=ended)
    found = plan(Observed(ft_cluster(deleted_for=20), pods=(cleaner,), jobs=(job(FAILED),)), MANDATORY)
    assert "OOMKilled, exit code 137" in found.conditions[0]["message"]

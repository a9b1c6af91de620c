from copy import deepcopy
from typing import Any

import pytest
from tests.unit.strategies.world import World

from headstay.model.objects import Obj
from headstay.model.resource import DEPLOYMENTS, JOBS, REPLICA_SETS, STATEFUL_SETS, Resource

CRON_JOBS = Resource("batch", "v1", "cronjobs", "CronJob")
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet")


def template(labels: dict[str, str] | None = None, **spec: Any) -> Obj:
    return {
        "metadata": {"labels": {"app": "a"} if labels is None else labels},
        "spec": {"containers": [{"name": "c", "image": "i:1"}], **spec},
    }


def workload(**spec: Any) -> Obj:
    return {
        "metadata": {"name": "w"},
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": template()} | spec,
    }


def test_a_deployment_and_its_template_get_their_defaults(world: World) -> None:
    spec = world.create(DEPLOYMENTS, workload())["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
    }
    assert spec["revisionHistoryLimit"] == 10
    assert spec["progressDeadlineSeconds"] == 600
    assert spec["template"]["spec"] == {
        "containers": [
            {
                "name": "c",
                "image": "i:1",
                "imagePullPolicy": "IfNotPresent",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    }


def test_limits_do_not_become_requests_in_a_template(world: World) -> None:
    limited = template()
    limited["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "1"}}
    created = world.create(DEPLOYMENTS, workload(template=limited))
    assert created["spec"]["template"]["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "1"}}


def test_the_other_workloads_get_theirs(world: World) -> None:
    assert world.create(REPLICA_SETS, workload())["spec"]["replicas"] == 1
    stateful = world.create(STATEFUL_SETS, workload(serviceName="s"))["spec"]
    assert stateful["podManagementPolicy"] == "OrderedReady"
    assert stateful["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert stateful["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    daemon = world.create(DAEMON_SETS, workload())["spec"]
    assert daemon["updateStrategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
    }


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"selector": None}, "spec.selector: Required value"),
        (
            {"selector": {}},
            (
                "spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string(nil), "
                "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: empty selector is invalid for deployment"
            ),
        ),
        (
            {"template": template({"app": "b"})},
            (
                'spec.template.metadata.labels: Invalid value: map[string]string{"app":"b"}: `selector` does not match '
                "template `labels`"
            ),
        ),
        ({"replicas": -1}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        (
            {"template": template(restartPolicy="Never")},
            'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        ),
        (
            {"template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c"}]}}},
            "spec.template.spec.containers[0].image: Required value",
        ),
        ({"template": {"metadata": {"labels": {"app": "a"}}}}, "spec.template.spec.containers: Required value"),
        (
            {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}},
            (
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "
                'intstr.IntOrString{Type:0, IntVal:0, StrVal:""}: may not be 0 when `maxSurge` is 0'
            ),
        ),
    ],
)
def test_an_invalid_deployment_is_refused_in_kubernetes_words(world: World, spec: Obj, problem: str) -> None:
    assert problem in world.problems(DEPLOYMENTS, workload(**spec))


def test_a_selector_is_for_life(world: World) -> None:
    created = world.create(DEPLOYMENTS, workload())
    created["spec"]["selector"] = {"matchLabels": {"app": "b"}}
    created["spec"]["template"]["metadata"]["labels"] = {"app": "b"}
    assert world.update_problems(DEPLOYMENTS, created) == [
        (
            'spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{"app":"b"}, '
            "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable"
        )
    ]


def test_a_stateful_set_may_change_its_replicas_and_template_and_little_else(world: World) -> None:
    created = world.create(STATEFUL_SETS, workload(serviceName="s"))
    scaled = deepcopy(created)
    scaled["spec"]["replicas"] = 3
    assert world.update_problems(STATEFUL_SETS, scaled) == []
    renamed = deepcopy(created)
    renamed["spec"]["serviceName"] = "t"
    assert world.update_problems(STATEFUL_SETS, renamed) == [
        (
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
            "'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        )
    ]


def job(**spec: Any) -> Obj:
    return {"metadata": {"name": "j"}, "spec": {"template": template({}, restartPolicy="Never")} | spec}


def test_a_job_gets_a_selector_made_of_its_own_uid(world: World) -> None:
    created = world.create(JOBS, job())
    labels = {
        "batch.kubernetes.io/controller-uid": "uid-of-j",
        "controller-uid": "uid-of-j",
        "batch.kubernetes.io/job-name": "j",
        "job-name": "j",
    }
    assert created["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "uid-of-j"}}
    assert created["spec"]["template"]["metadata"]["labels"] == labels
    assert created["metadata"]["labels"] == labels
    assert {key: value for key, value in created["spec"].items() if key not in {"template", "selector"}} == {
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "completions": 1,
        "manualSelector": False,
        "parallelism": 1,
        "podReplacementPolicy": "TerminatingOrFailed",
        "suspend": False,
    }


def test_a_job_with_labels_of_its_own_keeps_them(world: World) -> None:
    document = job()
    document["metadata"]["labels"] = {"own": "1"}
    assert world.create(JOBS, document)["metadata"]["labels"] == {"own": "1"}


def test_a_jobs_template_never_changes_but_its_parallelism_may(world: World) -> None:
    created = world.create(JOBS, job())
    wider = deepcopy(created)
    wider["spec"] |= {"parallelism": 3, "suspend": True}
    assert world.update_problems(JOBS, wider) == []
    changed = deepcopy(created)
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2"
    changed["spec"]["completions"] = 2
    fields = [problem.partition(":")[0] for problem in world.update_problems(JOBS, changed)]
    assert fields == ["spec.completions", "spec.template"]


def test_a_job_must_say_how_its_pods_end(world: World) -> None:
    assert world.problems(JOBS, job(template=template({}))) == [
        'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'
    ]


def test_a_cron_job_gets_its_defaults_and_needs_a_schedule(world: World) -> None:
    document = {"metadata": {"name": "c"}, "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job()["spec"]}}}
    spec = world.create(CRON_JOBS, document)["spec"]
    assert spec["concurrencyPolicy"] == "Allow"
    assert spec["successfulJobsHistoryLimit"] == 3
    assert spec["failedJobsHistoryLimit"] == 1
    assert spec["jobTemplate"]["spec"]["template"]["spec"]["dnsPolicy"] == "ClusterFirst"
    document["spec"] = {"jobTemplate": {"spec": job()["spec"]}}
    assert world.problems(CRON_JOBS, document) == ["spec.schedule: Required value"]

from copy import deepcopy
from typing import Any

import pytest
from tests.unit.strategies.world import World

from headstay.local.server.strategies.admission import PRIORITY_CLASSES, TOKEN_MOUNT_PATH
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import PODS, SERVICE_ACCOUNTS


def pod(*containers: Obj, **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": list(containers) or [{"name": "c", "image": "i:1"}], **spec},
    }


def test_a_plain_pod_gets_every_default_that_kubectl_shows(world: World) -> None:
    spec = world.create(PODS, pod())["spec"]
    volume = spec["volumes"][0]["name"]
    assert volume.startswith("kube-api-access-")
    assert len(volume) == len("kube-api-access-xxxxx")
    assert spec == {
        "containers": [
            {
                "name": "c",
                "image": "i:1",
                "imagePullPolicy": "IfNotPresent",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "volumeMounts": [{"name": volume, "mountPath": TOKEN_MOUNT_PATH, "readOnly": True}],
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
        "priority": 0,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "serviceAccount": "default",
        "serviceAccountName": "default",
        "terminationGracePeriodSeconds": 30,
        "tolerations": [
            {"key": f"node.kubernetes.io/{t}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for t in ("not-ready", "unreachable")
        ],
        "volumes": [
            {
                "name": volume,
                "projected": {
                    "defaultMode": 420,
                    "sources": [
                        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                        {
                            "downwardAPI": {
                                "items": [
                                    {
                                        "path": "namespace",
                                        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                                    }
                                ]
                            }
                        },
                    ],
                },
            }
        ],
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("redis", "Always"),
        ("redis:latest", "Always"),
        ("redis:7.4.0", "IfNotPresent"),
        ("host:5000/redis", "Always"),
        ("host:5000/redis:1", "IfNotPresent"),
        ("redis@sha256:00", "IfNotPresent"),
        ("redis:latest@sha256:00", "Always"),
    ],
)
def test_the_pull_policy_follows_the_tag(world: World, image: str, policy: str) -> None:
    created = world.create(PODS, pod({"name": "c", "image": image}))
    assert created["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_probes_ports_volumes_and_references_get_their_defaults(world: World) -> None:
    container = {
        "name": "c",
        "image": "i:1",
        "ports": [{"containerPort": 80}],
        "livenessProbe": {"httpGet": {"port": 80}},
        "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1},
        "startupProbe": {"grpc": {"port": 9}},
        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
    }
    volumes = [
        {"name": "nothing"},
        {"name": "secret", "secret": {"secretName": "s"}},
        {"name": "config", "configMap": {"name": "c", "defaultMode": 0o400}},
        {"name": "host", "hostPath": {"path": "/x"}},
    ]
    spec = world.create(PODS, pod(container, volumes=volumes))["spec"]
    made = spec["containers"][0]
    assert made["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert made["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert made["readinessProbe"]["periodSeconds"] == 1
    assert made["startupProbe"]["grpc"] == {"port": 9, "service": ""}
    assert made["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert spec["volumes"][0] == {"name": "nothing", "emptyDir": {}}
    assert spec["volumes"][1]["secret"]["defaultMode"] == 420
    assert spec["volumes"][2]["configMap"]["defaultMode"] == 0o400
    assert spec["volumes"][3]["hostPath"] == {"path": "/x", "type": ""}


@pytest.mark.parametrize(
    ("resources", "expected", "qos"),
    [
        ({}, {}, "BestEffort"),
        ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}, "Burstable"),
        (
            {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}},
            {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}},
            "Guaranteed",
        ),
        ({"requests": {"cpu": "1"}}, {"requests": {"cpu": "1"}}, "Burstable"),
        ({"requests": {"cpu": "0"}}, {"requests": {"cpu": "0"}}, "BestEffort"),
    ],
)
def test_requests_follow_limits_and_decide_the_quality_of_service(
    world: World, resources: Obj, expected: Obj, qos: str
) -> None:
    created = world.create(PODS, pod({"name": "c", "image": "i:1", "resources": resources}))
    assert created["spec"]["containers"][0]["resources"] == expected
    assert created["status"] == {"phase": "Pending", "qosClass": qos}


def test_a_pod_of_a_missing_service_account_is_forbidden(world: World) -> None:
    with pytest.raises(StatusError) as refused:
        world.create(PODS, pod(serviceAccountName="x"))
    assert refused.value.code == 403
    assert refused.value.message == (
        'pods "p" is forbidden: error looking up service account default/x: serviceaccount "x" not found'
    )


def test_a_pod_in_a_new_namespace_need_not_wait_for_its_default_account(world: World) -> None:
    document = pod()
    document["metadata"]["namespace"] = "new"
    assert world.create(PODS, document)["spec"]["serviceAccountName"] == "default"


def test_no_token_is_mounted_where_pod_or_account_says_so_and_the_pod_has_the_last_word(world: World) -> None:
    world.add(
        SERVICE_ACCOUNTS,
        {"metadata": {"name": "quiet", "namespace": "default"}, "automountServiceAccountToken": False},
    )
    assert "volumes" not in world.create(PODS, pod(automountServiceAccountToken=False))["spec"]
    assert "volumes" not in world.create(PODS, pod(serviceAccountName="quiet"))["spec"]
    assert "volumes" in world.create(PODS, pod(serviceAccountName="quiet", automountServiceAccountToken=True))["spec"]


def test_a_container_with_something_at_the_tokens_path_keeps_it(world: World) -> None:
    mount = {"name": "own", "mountPath": TOKEN_MOUNT_PATH}
    spec = world.create(
        PODS, pod({"name": "c", "image": "i:1", "volumeMounts": [mount]}, volumes=[{"name": "own", "emptyDir": {}}])
    )["spec"]
    assert spec["containers"][0]["volumeMounts"] == [mount]
    assert [volume["name"] for volume in spec["volumes"]] == ["own"]


def test_pull_secrets_come_from_the_account_unless_the_pod_has_its_own(world: World) -> None:
    world.add(
        SERVICE_ACCOUNTS, {"metadata": {"name": "a", "namespace": "default"}, "imagePullSecrets": [{"name": "s"}]}
    )
    assert world.create(PODS, pod(serviceAccountName="a"))["spec"]["imagePullSecrets"] == [{"name": "s"}]
    own = pod(serviceAccountName="a", imagePullSecrets=[{"name": "o"}])
    assert world.create(PODS, own)["spec"]["imagePullSecrets"] == [{"name": "o"}]


def test_priority_comes_from_the_class_or_from_the_global_default(world: World) -> None:
    world.add(PRIORITY_CLASSES, {"metadata": {"name": "high"}, "value": 9, "preemptionPolicy": "Never"})
    spec = world.create(PODS, pod(priorityClassName="high"))["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (9, "Never")
    with pytest.raises(StatusError, match="no PriorityClass with name low was found"):
        world.create(PODS, pod(priorityClassName="low"))
    with pytest.raises(StatusError, match=r"the integer value of priority \(7\) must not be provided in pod spec"):
        world.create(PODS, pod(priority=7))
    world.add(PRIORITY_CLASSES, {"metadata": {"name": "usual"}, "value": 3, "globalDefault": True})
    spec = world.create(PODS, pod())["spec"]
    assert (spec["priority"], spec["priorityClassName"]) == (3, "usual")


def test_a_toleration_for_everything_is_not_added_to(world: World) -> None:
    assert world.create(PODS, pod(tolerations=[{"operator": "Exists"}]))["spec"]["tolerations"] == [
        {"operator": "Exists"}
    ]


GOOD = {"name": "c", "image": "i:1"}


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"containers": []}, "spec.containers: Required value"),
        ({"containers": [{"image": "i:1"}]}, "spec.containers[0].name: Required value"),
        ({"containers": [{"name": "c"}]}, "spec.containers[0].image: Required value"),
        ({"containers": [GOOD, GOOD]}, 'spec.containers[1].name: Duplicate value: "c"'),
        (
            {"containers": [{**GOOD, "name": "A_b"}]},
            (
                'spec.containers[0].name: Invalid value: "A_b": a lowercase RFC 1123 label must consist of lower case '
                "alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. "
                "'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ),
        ),
        (
            {"containers": [{**GOOD, "volumeMounts": [{"name": "x", "mountPath": "/x"}]}]},
            'spec.containers[0].volumeMounts[0].name: Not found: "x"',
        ),
        (
            {"restartPolicy": "Sometimes"},
            'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
        ),
        (
            {"containers": [{**GOOD, "ports": [{"containerPort": 70000}]}]},
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            {"containers": [{**GOOD, "ports": [{"containerPort": 1, "name": "much-too-long-name"}]}]},
            'spec.containers[0].ports[0].name: Invalid value: "much-too-long-name": must be no more than 15 characters',
        ),
        (
            {
                "containers": [
                    {**GOOD, "env": [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]}
                ]
            },
            'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
        ),
        (
            {"containers": [{**GOOD, "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}]},
            "spec.containers[0].env[0].valueFrom.secretKeyRef.key: Required value",
        ),
        (
            {"containers": [{**GOOD, "imagePullPolicy": "Perhaps"}]},
            (
                'spec.containers[0].imagePullPolicy: Unsupported value: "Perhaps": supported values: "Always", '
                '"IfNotPresent", "Never"'
            ),
        ),
        (
            {"containers": [{**GOOD, "livenessProbe": {}}]},
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
        ),
        (
            {"containers": [{**GOOD, "livenessProbe": {"tcpSocket": {"port": 1}, "successThreshold": 2}}]},
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            {"containers": [{**GOOD, "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}]},
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        (
            {"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]},
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ),
        ({"volumes": [{"name": "v"}, {"name": "v"}]}, 'spec.volumes[1].name: Duplicate value: "v"'),
        ({"volumes": [{"name": "v", "configMap": {}}]}, "spec.volumes[0].configMap.name: Required value"),
        (
            {"initContainers": [{"name": "i", "image": "i:1", "readinessProbe": {"tcpSocket": {"port": 1}}}]},
            (
                "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without "
                "restartPolicy=Always"
            ),
        ),
    ],
)
def test_an_invalid_pod_is_refused_in_kubernetes_words(world: World, spec: Obj, problem: str) -> None:
    document = pod()
    document["spec"] |= spec
    assert problem in world.problems(PODS, document)


def test_an_image_a_deadline_and_further_tolerations_may_change(world: World) -> None:
    created = world.create(PODS, pod(activeDeadlineSeconds=100))
    spec = created["spec"]
    spec["containers"][0]["image"] = "i:2"
    spec["activeDeadlineSeconds"] = 50
    spec["tolerations"] = [*spec["tolerations"], {"key": "a", "operator": "Exists"}]
    assert world.update_problems(PODS, created) == []


def test_anything_else_of_a_pods_spec_may_not(world: World) -> None:
    created = world.create(PODS, pod())
    moved = deepcopy(created)
    moved["spec"]["hostname"] = "h"
    assert world.update_problems(PODS, moved) == [
        (
            "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
            "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously "
            "negative)\n"
            '+ spec.hostname: "h"'
        )
    ]
    own = {"key": "own", "operator": "Exists"}
    tolerant = pod(tolerations=[own])
    tolerant["metadata"]["name"] = "tolerant"
    fewer = world.create(PODS, tolerant)
    fewer["spec"]["tolerations"].remove(own)
    assert world.update_problems(PODS, fewer) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
    ]
    more = deepcopy(created)
    more["spec"]["containers"].append({"name": "d", "image": "i:1"})
    assert world.update_problems(PODS, more)[0].startswith("spec: Forbidden: pod updates may not change fields")


def test_a_status_update_and_a_binding_do_not_look_at_the_spec(world: World) -> None:
    created = world.create(PODS, pod())
    bound = deepcopy(created)
    bound["spec"]["nodeName"] = "n"
    assert world.update_problems(PODS, bound, "binding") == []
    running = deepcopy(created)
    running["status"] = {"phase": "Running"}
    updated, problems = world.try_update(PODS, running, "status")
    assert problems == []
    assert updated["status"] == {"phase": "Running", "qosClass": "BestEffort"}

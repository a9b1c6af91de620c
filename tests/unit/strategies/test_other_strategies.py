from copy import deepcopy
from typing import Any

import pytest
from tests.unit.strategies.world import World

from headstay.local.server.strategies import RBAC
from headstay.local.server.strategies.limits import LIMIT_RANGES
from headstay.local.server.strategies.storage import IS_DEFAULT_CLASS, STORAGE_CLASSES
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CORE_EVENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    INGRESSES,
    LEASES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    Resource,
)

PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
CLAIM: Obj = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
VOLUME: Obj = {
    "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}},
}


def test_a_claim_takes_the_default_class_and_is_pending(world: World) -> None:
    classes: list[Obj] = [
        {"metadata": {"name": "a"}, "provisioner": "p"},
        {"metadata": {"name": "b", "annotations": {IS_DEFAULT_CLASS: "true"}}, "provisioner": "p"},
    ]
    for document in classes:
        created = world.create(STORAGE_CLASSES, document)
        assert (created["reclaimPolicy"], created["volumeBindingMode"]) == ("Delete", "Immediate")
    claim = world.create(PERSISTENT_VOLUME_CLAIMS, CLAIM)
    assert claim["spec"]["storageClassName"] == "b"
    assert claim["spec"]["volumeMode"] == "Filesystem"
    assert claim["status"] == {"phase": "Pending"}


def test_a_claim_is_bound_once_and_grows_only(world: World) -> None:
    claim = world.create(PERSISTENT_VOLUME_CLAIMS, CLAIM)
    bound = deepcopy(claim)
    bound["spec"] |= {"volumeName": "v", "storageClassName": "c"}
    assert world.update_problems(PERSISTENT_VOLUME_CLAIMS, bound) == []
    world.add(PERSISTENT_VOLUME_CLAIMS, bound)
    moved = deepcopy(bound)
    moved["spec"]["volumeName"] = "w"
    assert world.update_problems(PERSISTENT_VOLUME_CLAIMS, moved)[0].startswith("spec: Forbidden: spec is immutable")
    less = deepcopy(bound)
    less["spec"]["resources"]["requests"]["storage"] = "1Mi"
    assert world.update_problems(PERSISTENT_VOLUME_CLAIMS, less) == [
        "spec.resources.requests.storage: Forbidden: field can not be less than previous value"
    ]
    assert world.problems(PERSISTENT_VOLUME_CLAIMS, {"spec": {}}) == [
        "spec.accessModes: Required value: at least 1 access mode is required",
        "spec.resources[storage]: Required value",
    ]


def test_a_volume_has_one_source_for_life(world: World) -> None:
    created = world.create(PERSISTENT_VOLUMES, VOLUME)
    assert created["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert created["spec"]["hostPath"] == {"path": "/x", "type": ""}
    other = deepcopy(created)
    other["spec"]["hostPath"]["path"] = "/y"
    assert world.update_problems(PERSISTENT_VOLUMES, other) == [
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"
    ]
    none = deepcopy(VOLUME)
    del none["spec"]["hostPath"]
    assert world.problems(PERSISTENT_VOLUMES, none) == ["spec: Required value: must specify a volume type"]


def test_endpoints_need_addresses_that_are_ones(world: World) -> None:
    created = world.create(ENDPOINTS, {"subsets": [{"addresses": [{"ip": "10.1.1.1"}], "ports": [{"port": 1}]}]})
    assert created["subsets"][0]["ports"] == [{"port": 1, "protocol": "TCP"}]
    assert world.problems(ENDPOINTS, {"subsets": [{}]}) == [
        "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"
    ]
    assert world.problems(ENDPOINTS, {"subsets": [{"addresses": [{"ip": "x"}]}]})[:1] == [
        'subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'
    ]
    assert world.problems(ENDPOINTS, {"subsets": [{"addresses": [{"ip": "127.0.0.1"}]}]}) == [
        (
            'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, '
            "::1/128)"
        )
    ]


def test_a_slice_says_its_address_type_and_keeps_it(world: World) -> None:
    assert "addressType: Required value" in world.problems(ENDPOINT_SLICES, {"endpoints": []})
    created = world.create(
        ENDPOINT_SLICES,
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.1.1"]}], "ports": [{"port": 1}]},
    )
    assert created["ports"] == [{"port": 1, "name": "", "protocol": "TCP"}]
    created["addressType"] = "FQDN"
    assert world.update_problems(ENDPOINT_SLICES, created) == ['addressType: Invalid value: "FQDN": field is immutable']


def test_a_lease_lasts_some_time(world: World) -> None:
    world.create(LEASES, {"spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}})
    assert world.problems(LEASES, {"spec": {"leaseDurationSeconds": 0}}) == [
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"
    ]


def test_a_rule_must_be_complete_and_a_role_speaks_of_no_urls(world: World) -> None:
    assert world.problems(ROLES, {"rules": [{}]}) == [
        "rules[0].verbs: Required value: verbs must contain at least one value",
        "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
        "rules[0].resources: Required value: resource rules must supply at least one resource",
    ]
    urls: Obj = {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}]}
    assert world.problems(CLUSTER_ROLES, urls) == []
    assert "namespaced rules cannot apply to non-resource URLs" in world.problems(ROLES, urls)[0]


def test_a_binding_gets_its_groups_and_keeps_its_role(world: World) -> None:
    document: Obj = {
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s", "namespace": "n"}],
    }
    created = world.create(ROLE_BINDINGS, document)
    assert created["roleRef"]["apiGroup"] == RBAC
    assert [subject.get("apiGroup") for subject in created["subjects"]] == [RBAC, None]
    created["roleRef"]["name"] = "other"
    assert world.update_problems(ROLE_BINDINGS, created) == [
        (
            'roleRef: Invalid value: rbac.RoleRef{APIGroup:"rbac.authorization.k8s.io", Kind:"Role", Name:"other"}: '
            "cannot change roleRef"
        )
    ]
    document["subjects"] = [{"kind": "ServiceAccount", "name": "s"}, {"kind": "Robot", "name": "r"}]
    document["roleRef"]["kind"] = "ClusterRole"
    assert world.problems(CLUSTER_ROLE_BINDINGS, document) == [
        "subjects[0].namespace: Required value",
        'subjects[1].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
    ]


def test_an_ingress_path_needs_a_type_and_a_backend(world: World) -> None:
    def ingress(**path: Any) -> Obj:
        return {"spec": {"rules": [{"host": "a.b", "http": {"paths": [path]}}]}}

    backend = {"service": {"name": "s", "port": {"number": 80}}}
    created = world.create(INGRESSES, ingress(path="/", pathType="Prefix", backend=backend))
    assert created["status"] == {"loadBalancer": {}}
    assert world.problems(INGRESSES, ingress(path="/", backend=backend)) == [
        "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"
    ]
    assert world.problems(INGRESSES, ingress(path="x", pathType="Exact", backend={})) == [
        'spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path',
        'spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is required',
    ]
    assert world.problems(INGRESSES, {"spec": {}}) == [
        "spec: Invalid value: []networking.IngressRule(nil): either `defaultBackend` or `rules` must be specified"
    ]


def test_a_network_policy_is_about_ingress_unless_it_speaks_of_egress(world: World) -> None:
    assert world.create(NETWORK_POLICIES, {"spec": {"podSelector": {}}})["spec"]["policyTypes"] == ["Ingress"]
    created = world.create(NETWORK_POLICIES, {"spec": {"podSelector": {}, "egress": [{"ports": [{"port": 1}]}]}})
    assert created["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert created["spec"]["egress"][0]["ports"] == [{"port": 1, "protocol": "TCP"}]


def test_a_priority_is_for_life_and_the_highest_are_the_systems(world: World) -> None:
    created = world.create(PRIORITY_CLASSES, {"value": 5})
    assert created["preemptionPolicy"] == "PreemptLowerPriority"
    created["value"] = 6
    assert world.update_problems(PRIORITY_CLASSES, created) == ["value: Forbidden: may not be changed in an update."]
    assert world.problems(PRIORITY_CLASSES, {"value": 2_000_000_000}) == [
        "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"
    ]


def test_a_budget_has_one_bound(world: World) -> None:
    assert world.create(BUDGETS, {"spec": {"minAvailable": 1}})["status"]["disruptionsAllowed"] == 0
    found = world.problems(BUDGETS, {"spec": {"minAvailable": 1, "maxUnavailable": 1}})
    assert found[0].endswith("minAvailable and maxUnavailable cannot be both set")


def test_a_nodes_allocatable_is_its_capacity_unless_it_says_otherwise(world: World) -> None:
    created = world.create(NODES, {"status": {"capacity": {"cpu": "2"}}})
    assert created["status"]["allocatable"] == {"cpu": "2"}
    found = world.problems(NODES, {"spec": {"taints": [{"key": "a", "effect": "Never"}]}})
    assert found == [
        (
            'spec.taints[0].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", '
            '"NoExecute"'
        )
    ]


def test_an_event_lives_beside_its_object(world: World) -> None:
    world.create(CORE_EVENTS, {"involvedObject": {"namespace": "default"}, "reason": "r", "message": "m"})
    world.create(CORE_EVENTS, {"involvedObject": {"kind": "Node"}, "reason": "r"})
    assert world.problems(CORE_EVENTS, {"involvedObject": {"namespace": "other"}}) == [
        'involvedObject.namespace: Invalid value: "other": does not match event.namespace'
    ]
    event: Obj = {
        "regarding": {"namespace": "default"},
        "eventTime": "2026-01-02T03:04:05.000000Z",
        "reportingController": "headstay.io/operator",
        "reportingInstance": "i",
        "action": "a",
        "reason": "r",
        "type": "Normal",
    }
    world.create(EVENTS, event)
    found = world.problems(EVENTS, {"regarding": {"namespace": "default"}, "note": "x" * 1025})
    assert [problem for problem in found if "name part" not in problem] == [
        "eventTime: Required value",
        "reportingController: Required value",
        "reportingInstance: Required value",
        "action: Required value",
        "reason: Required value",
        'message: Invalid value: "": can have at most 1024 characters',
        'type: Invalid value: "": has invalid value: ',
    ]


def test_a_limit_range_fills_in_and_bounds(world: World) -> None:
    world.create(
        LIMIT_RANGES,
        {"spec": {"limits": [{"type": "Container", "max": {"memory": "1Gi"}, "defaultRequest": {"memory": "256Mi"}}]}},
    )
    pod: Obj = {"spec": {"containers": [{"name": "c", "image": "i"}]}}
    created = world.create(PODS, pod)
    assert created["spec"]["containers"][0]["resources"] == {
        "limits": {"memory": "1Gi"},
        "requests": {"memory": "256Mi"},
    }
    pod["spec"]["containers"][0]["resources"] = {"limits": {"memory": "2Gi"}}
    with pytest.raises(StatusError) as refused:
        world.create(PODS, pod)
    assert refused.value.message == (
        'pods "x" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi'
    )

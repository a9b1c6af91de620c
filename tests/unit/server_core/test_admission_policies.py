"""ValidatingAdmissionPolicy on the server: which requests a policy is about, and what becomes of what it says."""

from copy import deepcopy
from typing import Any

import pytest

from headstay.local.server.assembly import build_api
from headstay.local.server.inprocess import InProcessClient
from headstay.local.server.requests import Call, DeleteOptions, Target
from headstay.local.server.rest import Api
from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import ADMISSION_POLICIES, ADMISSION_POLICY_BINDINGS, CONFIGMAPS, NAMESPACES

RULE = {
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "operations": ["CREATE", "UPDATE"],
    "resources": ["configmaps"],
}
SHORT = {"expression": "size(object.data) < 2", "message": "at most one key"}


class Server:
    def __init__(self) -> None:
        self.api: Api = build_api()
        self.client = InProcessClient(self.api)

    async def policy(self, *validations: Obj, rule: Obj | None = None, **spec: Any) -> None:
        constraints = {"resourceRules": [RULE | (rule or {})]} | spec.pop("matchConstraints", {})
        document = {"metadata": {"name": "p"}, "spec": {"matchConstraints": constraints, **spec}}
        document["spec"]["validations"] = list(validations) or [SHORT]
        await self.client.create(ADMISSION_POLICIES, of(ADMISSION_POLICIES, document))

    async def bind(self, *actions: str, **spec: Any) -> None:
        document = {"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": list(actions), **spec}}
        await self.client.create(ADMISSION_POLICY_BINDINGS, of(ADMISSION_POLICY_BINDINGS, document))

    async def bound(self, *validations: Obj, actions: tuple[str, ...] = ("Deny",), **spec: Any) -> None:
        await self.policy(*validations, **spec)
        await self.bind(*actions)

    async def write(self, keys: int, name: str = "a", namespace: str = "default", **metadata: Any) -> Obj:
        document = {"metadata": {"name": name, "namespace": namespace, **metadata}}
        data = {f"k{number}": "v" for number in range(keys)}
        return await self.client.create(CONFIGMAPS, of(CONFIGMAPS, document | {"data": data}))

    def target(self, name: str = "") -> Target:
        return Target(self.api.served(CONFIGMAPS), "default", name)


def of(resource: Any, document: Obj) -> Obj:
    return {"apiVersion": resource.api_version, "kind": resource.kind} | deepcopy(document)


@pytest.fixture
def server() -> Server:
    return Server()


async def test_nothing_is_refused_until_a_policy_is_bound_and_nothing_once_it_is_gone(server: Server) -> None:
    await server.policy()
    await server.write(2, "before")
    await server.bind("Deny")
    with pytest.raises(StatusError):
        await server.write(2, "bound")
    await server.write(1, "good")
    await server.client.delete(ADMISSION_POLICY_BINDINGS, "", "b")
    await server.write(2, "after")


async def test_a_refusal_names_policy_binding_and_message_in_kubernetes_words(server: Server) -> None:
    await server.bound()
    with pytest.raises(StatusError) as refused:
        await server.write(2)
    assert (refused.value.code, refused.value.reason) == (422, "Invalid")
    assert refused.value.message == (
        "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: at most one key"
    )


@pytest.mark.parametrize(
    ("reason", "code"), [("Forbidden", 403), ("Unauthorized", 401), ("RequestEntityTooLarge", 413)]
)
async def test_the_policy_chooses_the_reason(server: Server, reason: str, code: int) -> None:
    await server.bound(SHORT | {"reason": reason})
    with pytest.raises(StatusError) as refused:
        await server.write(2)
    assert (refused.value.code, refused.value.reason) == (code, reason)


async def test_a_message_expression_speaks_and_falls_back_where_it_fails(server: Server) -> None:
    spoken = SHORT | {"messageExpression": "'found ' + string(size(object.data))"}
    broken = SHORT | {"messageExpression": "object.nothing.here"}
    await server.bound(spoken)
    with pytest.raises(StatusError, match="denied request: found 2"):
        await server.write(2)
    other = Server()
    await other.bound(broken)
    with pytest.raises(StatusError, match="denied request: at most one key"):
        await other.write(2)


async def test_warn_lets_it_through_with_a_warning_and_audit_without(server: Server) -> None:
    await server.bound(actions=("Warn", "Audit"))
    document = of(CONFIGMAPS, {"metadata": {"name": "a"}, "data": {"a": "", "b": ""}})
    answer = server.api.create(server.target(), document, Call())
    assert answer.warnings == ("Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': at most one key",)


@pytest.mark.parametrize(("policy", "refused"), [("Fail", True), ("Ignore", False)])
async def test_failure_policy_decides_where_an_expression_fails(server: Server, policy: str, *, refused: bool) -> None:
    await server.bound({"expression": "object.nothing.here == 1"}, failurePolicy=policy)
    if refused:
        with pytest.raises(StatusError, match="resulted in error: no such key"):
            await server.write(1)
    else:
        await server.write(1)


async def test_a_condition_that_does_not_hold_takes_the_request_out(server: Server) -> None:
    await server.bound(matchConditions=[{"name": "mine", "expression": "object.metadata.name.startsWith('mine')"}])
    await server.write(2, "yours")
    with pytest.raises(StatusError):
        await server.write(2, "mine")


async def test_variables_see_those_before_them_and_fail_only_who_uses_them(server: Server) -> None:
    variables = [
        {"name": "count", "expression": "size(object.data)"},
        {"name": "double", "expression": "variables.count * 2"},
        {"name": "broken", "expression": "object.nothing"},
    ]
    await server.bound({"expression": "variables.double < 4"}, variables=variables)
    await server.write(1)
    with pytest.raises(StatusError, match=r"failed expression: variables\.double < 4"):
        await server.write(2, "b")


async def test_old_object_request_and_namespace_are_there(server: Server) -> None:
    expression = (
        "request.operation == 'CREATE' ? oldObject == null && request.userInfo.username.startsWith('system:') && "
        "namespaceObject.metadata.name == request.namespace : size(oldObject.data) == size(object.data)"
    )
    await server.bound({"expression": expression})
    await server.write(1)
    await server.client.patch(CONFIGMAPS, "default", "a", {"data": {"k0": "w"}})
    with pytest.raises(StatusError):
        await server.client.patch(CONFIGMAPS, "default", "a", {"data": {"more": "w"}})


async def test_a_deletion_is_judged_with_the_old_object_alone(server: Server) -> None:
    keep = {"expression": "object == null && !has(oldObject.metadata.labels)", "message": "labelled"}
    await server.bound(keep, rule={"operations": ["DELETE"]})
    await server.write(1, labels={"keep": "me"})
    await server.write(1, "b")
    with pytest.raises(StatusError, match="labelled"):
        server.api.delete(server.target("a"), DeleteOptions(), Call())
    server.api.delete(server.target("b"), DeleteOptions(), Call())


@pytest.mark.parametrize(
    ("rule", "about"),
    [
        ({"resources": ["*"]}, True),
        ({"resources": ["*/*"]}, True),
        ({"resources": ["configmaps/*"]}, True),
        ({"resources": ["configmaps/status"]}, False),
        ({"resources": ["secrets"]}, False),
        ({"apiGroups": ["apps"]}, False),
        ({"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"]}, True),
        ({"operations": ["UPDATE"]}, False),
        ({"scope": "Cluster"}, False),
        ({"scope": "Namespaced"}, True),
        ({"resourceNames": ["a"]}, True),
        ({"resourceNames": ["b"]}, False),
    ],
)
async def test_rules_say_which_requests(server: Server, rule: Obj, *, about: bool) -> None:
    await server.bound(rule=rule)
    assert await is_refused(server) == about


async def is_refused(server: Server, **metadata: Any) -> bool:
    try:
        await server.write(2, **metadata)
    except StatusError:
        return True
    return False


async def test_selectors_and_exclusions_narrow_policy_and_binding(server: Server) -> None:
    team = of(NAMESPACES, {"metadata": {"name": "team", "labels": {"strict": "yes"}}})
    await server.client.create(NAMESPACES, team)
    excluded = RULE | {"resourceNames": ["excepted"]}
    await server.policy(matchConstraints={"excludeResourceRules": [excluded]})
    selectors = {
        "namespaceSelector": {"matchLabels": {"strict": "yes"}},
        "objectSelector": {"matchExpressions": [{"key": "free", "operator": "DoesNotExist"}]},
    }
    await server.bind("Deny", matchResources=selectors)
    assert not await is_refused(server)
    assert await is_refused(server, namespace="team")
    assert not await is_refused(server, namespace="team", labels={"free": ""})
    assert not await is_refused(server, namespace="team", name="excepted")


async def test_policies_are_never_subject_to_policies(server: Server) -> None:
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}
    await server.bound({"expression": "false"}, rule=everything)
    await server.client.delete(ADMISSION_POLICY_BINDINGS, "", "b")
    await server.write(1)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"validations": [{"expression": "object."}]}, r"spec.validations\[0\].expression.*compilation failed"),
        ({"validations": [{"expression": "objekt.a"}]}, "undeclared reference to 'objekt'"),
        ({"validations": [{"expression": "authorizer.group('')"}]}, "undeclared reference to 'authorizer'"),
        ({"matchConditions": [{"name": "a", "expression": "variables.a"}]}, "undeclared reference to 'variables'"),
        ({"validations": [SHORT | {"reason": "Because"}]}, "spec.validations.*reason.*Unsupported value"),
        ({"variables": [{"name": "a-b", "expression": "1"}]}, "not a valid CEL identifier"),
        ({"failurePolicy": "Perhaps"}, "spec.failurePolicy"),
        ({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}, "unsupported by this server: .*paramKind"),
        ({"auditAnnotations": [{"key": "a", "valueExpression": "'b'"}]}, "unsupported by this server: .*audit"),
    ],
)
async def test_what_a_policy_cannot_say_is_refused_when_it_is_written(server: Server, spec: Obj, says: str) -> None:
    chosen: dict[str, Any] = {"validations": [SHORT]} | spec
    with pytest.raises(StatusError, match=says):
        await server.policy(*chosen.pop("validations"), **chosen)


@pytest.mark.parametrize("actions", [(), ("Deny", "Warn"), ("Refuse",)])
async def test_a_binding_says_what_is_to_be_done(server: Server, actions: tuple[str, ...]) -> None:
    with pytest.raises(StatusError, match=r"spec\.validationActions"):
        await server.bind(*actions)


async def test_a_policy_is_shown_with_kubernetes_defaults(server: Server) -> None:
    await server.policy()
    found = await server.client.get(ADMISSION_POLICIES, "", "p")
    assert found["spec"]["failurePolicy"] == "Fail"
    constraints = found["spec"]["matchConstraints"]
    assert (constraints["matchPolicy"], constraints["resourceRules"][0]["scope"]) == ("Equivalent", "*")
    assert found["metadata"]["generation"] == 1

"""Users, roles and tokens, through real kubectl against the API server."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from headstay.local.config import LocalConfig
from headstay.local.control_plane import ControlPlane

BOUND = 30.0


class Output(NamedTuple):
    code: int
    out: str
    err: str


class Cluster:
    """The API server with namespaces `default` and `apps`, and ServiceAccount `bot` in `apps`."""

    def __init__(self, directory: Path, port: int) -> None:
        self._config = LocalConfig(instance="authtest", state_dir=directory, run_dir=directory / "run", api_port=port)
        self._plane = ControlPlane(self._config)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        try:
            await self._plane.start()
            await self._plane.serve("127.0.0.1")
            controllers = asyncio.create_task(self._plane.run())
            await self.ok("create", "namespace", "apps")
            await self.ok("create", "serviceaccount", "bot", "-n", "apps")
            yield
        finally:
            controllers.cancel()
            await asyncio.gather(controllers, return_exceptions=True)
            await self._plane.close()

    async def kubectl(self, *arguments: str, stdin: str = "") -> Output:
        pipe = asyncio.subprocess.PIPE
        where = (f"--kubeconfig={self._config.kubeconfig}", f"--cache-dir={self._config.state_dir}/cache")
        process = await asyncio.create_subprocess_exec(
            "kubectl", *where, *arguments, stdin=pipe, stdout=pipe, stderr=pipe
        )
        async with asyncio.timeout(BOUND):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Output(process.returncode, out.decode().rstrip("\n"), err.decode().rstrip("\n"))

    async def ok(self, *arguments: str, stdin: str = "") -> str:
        found = await self.kubectl(*arguments, stdin=stdin)
        assert found.code == 0, found.err
        return found.out

    async def apply(self, document: dict[str, Any], *arguments: str) -> Output:
        return await self.kubectl("apply", "-f", "-", *arguments, stdin=json.dumps(document))


@pytest.fixture
async def cluster(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[Cluster]:
    found = Cluster(tmp_path, unused_tcp_port)
    async with found.serve():
        yield found


def facts(table: str) -> dict[str, str]:
    """`kubectl auth whoami` as a dictionary."""
    return {line.split()[0]: " ".join(line.split()[1:]) for line in table.splitlines()[1:]}


async def test_the_kubeconfigs_user_is_the_admin(cluster: Cluster) -> None:
    assert facts(await cluster.ok("auth", "whoami")) == {
        "Username": "headstay-admin",
        "Groups": "[system:masters system:authenticated]",
    }
    assert await cluster.ok("auth", "can-i", "*", "*") == "yes"


async def test_a_token_logs_its_service_account_in_and_no_further(cluster: Cluster) -> None:
    token = await cluster.ok("create", "token", "bot", "-n", "apps")
    who = facts(await cluster.ok("auth", "whoami", f"--token={token}", "--client-certificate=", "--client-key="))
    # kubectl prefers the certificate of the context, so the token is used through a context of its own.
    assert who["Username"] == "headstay-admin"
    await cluster.ok("config", "set-credentials", "bot", f"--token={token}")
    await cluster.ok("config", "set-context", "bot", "--cluster=authtest", "--user=bot")
    who = facts(await cluster.ok("--context=bot", "auth", "whoami"))
    assert who["Username"] == "system:serviceaccount:apps:bot"
    assert who["Groups"] == "[system:serviceaccounts system:serviceaccounts:apps system:authenticated]"
    found = await cluster.kubectl("--context=bot", "get", "pods", "-n", "apps")
    assert found.err == (
        'Error from server (Forbidden): pods is forbidden: User "system:serviceaccount:apps:bot" cannot list resource '
        '"pods" in API group "" in the namespace "apps"'
    )
    await cluster.ok("create", "rolebinding", "b", "-n", "apps", "--clusterrole=view", "--serviceaccount=apps:bot")
    assert await cluster.ok("--context=bot", "get", "pods", "-n", "apps", "-o", "name") == ""
    assert (await cluster.kubectl("--context=bot", "get", "secrets", "-n", "apps")).code == 1
    assert (await cluster.kubectl("--context=bot", "get", "pods", "-n", "default")).code == 1
    await cluster.ok("delete", "serviceaccount", "bot", "-n", "apps")
    found = await cluster.kubectl("--context=bot", "get", "pods", "-n", "apps")
    assert "You must be logged in to the server (Unauthorized)" in found.err


async def test_nobody_without_credentials_gets_in(cluster: Cluster) -> None:
    await cluster.ok("config", "set-credentials", "nobody", "--token=nonsense")
    await cluster.ok("config", "set-context", "nobody", "--cluster=authtest", "--user=nobody")
    for path in ("/api", "/version", "/healthz", "/openapi/v2", "/nonsense"):
        found = await cluster.kubectl("--context=nobody", "get", "--raw", path)
        assert "Unauthorized" in found.err


async def test_rights_can_be_asked_for_as_another(cluster: Cluster) -> None:
    role = ("--verb=get,list", "--resource=pods,pods/log", "--resource-name=x")
    await cluster.ok("create", "role", "reader", "-n", "apps", *role)
    await cluster.ok("create", "rolebinding", "reader", "-n", "apps", "--role=reader", "--user=ann", "--group=dev")
    for who in (("--as=ann",), ("--as=joe", "--as-group=dev")):
        assert await cluster.ok("auth", "can-i", "get", "pods/x", "-n", "apps", *who) == "yes"
        assert (await cluster.kubectl("auth", "can-i", "get", "pods", "-n", "apps", *who)).out == "no"
    listed = await cluster.ok("auth", "can-i", "--list", "-n", "apps", "--as=ann")
    rows = [line.split("  ") for line in listed.splitlines()]
    assert ["pods", "[]", "[x]", "[get list]"] in [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert any(line.startswith("selfsubjectreviews.authentication.k8s.io") for line in listed.splitlines())
    assert facts(await cluster.ok("auth", "whoami", "--as=ann", "--as-uid=7", "--as-group=g")) == {
        "Username": "ann",
        "UID": "7",
        "Groups": "[g system:authenticated]",
    }


async def test_only_who_may_impersonate_does(cluster: Cluster) -> None:
    await cluster.ok("create", "clusterrole", "r", "--verb=impersonate", "--resource=users", "--resource-name=ann")
    await cluster.ok("create", "clusterrolebinding", "r", "--clusterrole=r", "--serviceaccount=apps:bot")
    token = await cluster.ok("create", "token", "bot", "-n", "apps")
    await cluster.ok("config", "set-credentials", "bot", f"--token={token}")
    await cluster.ok("config", "set-context", "bot", "--cluster=authtest", "--user=bot")
    assert facts(await cluster.ok("--context=bot", "auth", "whoami", "--as=ann"))["Username"] == "ann"
    found = await cluster.kubectl("--context=bot", "get", "pods", "--as=joe")
    assert 'users "joe" is forbidden: User "system:serviceaccount:apps:bot" cannot impersonate' in found.err


async def test_rights_one_does_not_hold_cannot_be_granted(cluster: Cluster) -> None:
    await cluster.ok("create", "rolebinding", "ann", "-n", "apps", "--clusterrole=admin", "--user=ann")
    await cluster.ok("create", "role", "mine", "-n", "apps", "--verb=get", "--resource=pods", "--as=ann")
    refused = await cluster.kubectl("create", "role", "r", "-n", "apps", "--verb=get", "--resource=nodes", "--as=ann")
    assert "is attempting to grant RBAC permissions not currently held" in refused.err
    binding = ("create", "rolebinding", "joe", "-n", "apps", "--user=joe", "--as=ann")
    await cluster.ok(*binding, "--clusterrole=edit")
    refused = await cluster.kubectl(*binding[:2], "joe2", *binding[3:], "--clusterrole=cluster-admin")
    assert "is attempting to grant RBAC permissions not currently held" in refused.err


async def test_roles_come_with_the_cluster_and_describe_themselves(cluster: Cluster) -> None:
    names = (await cluster.ok("get", "clusterroles", "-o", "name")).split()
    for name in ("cluster-admin", "admin", "edit", "view", "system:discovery", "system:basic-user"):
        assert f"clusterrole.rbac.authorization.k8s.io/{name}" in names
    binding = await cluster.ok("describe", "clusterrolebinding", "cluster-admin")
    assert "system:masters" in binding


async def test_a_role_is_aggregated_where_its_label_says(cluster: Cluster) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "extra", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["polish"]}],
    }
    assert (await cluster.apply(role)).code == 0
    await cluster.ok("create", "rolebinding", "ann", "-n", "apps", "--clusterrole=admin", "--user=ann")
    assert await cluster.ok("auth", "can-i", "polish", "pods", "-n", "apps", "--as=ann") == "yes"
    written = "--for=jsonpath={.rules[?(@.verbs[0]=='polish')].resources[0]}=pods"
    for name in ("view", "edit", "admin"):
        await cluster.ok("wait", "clusterrole", name, "--timeout=20s", written)
    await cluster.ok("delete", "clusterrole", "extra")
    for _ in range(100):
        if "polish" not in await cluster.ok("describe", "clusterrole", "admin"):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the rules stayed")


async def test_a_token_can_be_bound_and_bounded(cluster: Cluster) -> None:
    found = await cluster.kubectl("create", "token", "bot", "-n", "apps", "--duration=1m")
    assert "may not specify a duration less than 10 minutes" in found.err
    found = await cluster.kubectl(
        "create", "token", "bot", "-n", "apps", "--bound-object-kind=Pod", "--bound-object-name=none"
    )
    assert 'pods "none" not found' in found.err
    found = await cluster.kubectl("create", "token", "none", "-n", "apps")
    assert 'serviceaccounts "none" not found' in found.err
    token = await cluster.ok("create", "token", "bot", "-n", "apps", "--audience=vault", "--duration=1h", "-o", "json")
    assert json.loads(token)["spec"] == {
        "audiences": ["vault"],
        "expirationSeconds": 3600,
        "boundObjectRef": None,
    }


async def test_a_secret_can_hold_a_token_that_lasts(cluster: Cluster) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "s", "namespace": "apps", "annotations": {"kubernetes.io/service-account.name": "bot"}},
    }
    assert (await cluster.apply(secret)).code == 0
    await cluster.ok("wait", "-n", "apps", "secret/s", "--for=jsonpath={.data.namespace}=YXBwcw==", "--timeout=20s")
    data = json.loads(await cluster.ok("get", "secret", "s", "-n", "apps", "-o", "json"))["data"]
    token = b64decode(data["token"]).decode()
    assert "BEGIN CERTIFICATE" in b64decode(data["ca.crt"]).decode()
    await cluster.ok("config", "set-credentials", "bot", f"--token={token}")
    await cluster.ok("config", "set-context", "bot", "--cluster=authtest", "--user=bot")
    who = facts(await cluster.ok("--context=bot", "auth", "whoami"))
    assert who["Username"] == "system:serviceaccount:apps:bot"
    await cluster.ok("delete", "serviceaccount", "bot", "-n", "apps")
    await cluster.ok("wait", "-n", "apps", "secret/s", "--for=delete", "--timeout=20s")
    assert (await cluster.kubectl("--context=bot", "get", "--raw", "/api")).code == 1


async def test_the_issuer_can_be_discovered(cluster: Cluster) -> None:
    found = json.loads(await cluster.ok("get", "--raw", "/.well-known/openid-configuration"))
    assert found["issuer"] == "https://kubernetes.default.svc.cluster.local"
    keys = json.loads(await cluster.ok("get", "--raw", "/openid/v1/jwks"))["keys"]
    assert [key["alg"] for key in keys] == ["ES256"]


async def test_reviews_are_answered_and_not_stored(cluster: Cluster) -> None:
    attributes = {"verb": "get", "resource": "pods", "namespace": "apps"}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": "joe", "resourceAttributes": attributes},
    }
    answer = await cluster.ok("create", "-f", "-", "-o", "json", stdin=json.dumps(review))
    assert json.loads(answer)["status"] == {"allowed": False}
    token = await cluster.ok("create", "token", "bot", "-n", "apps")
    document = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    answer = await cluster.ok("create", "-f", "-", "-o", "json", stdin=json.dumps(document))
    assert json.loads(answer)["status"]["user"]["username"] == "system:serviceaccount:apps:bot"

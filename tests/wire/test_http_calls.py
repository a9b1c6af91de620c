"""The HTTP client against a server that refuses, delays and rotates."""

import asyncio
import stat
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from tests.wire.badserver import Answer, Request, bad_server, hang, pod, pods, reply, slam, status

from headstay.model.errors import StatusError
from headstay.model.objects import Obj
from headstay.model.resource import PODS
from headstay.runtime.client import TransportError
from headstay.runtime.credentials import Credentials, ExecPlugin, ExecSpec, FixedCredentials, TokenFile
from headstay.runtime.http import Bounds, HttpClient
from headstay.runtime.kubeconfig import ClusterConfig
from headstay.runtime.metrics import Metrics

QUICK = Bounds(call=2.0, connect=1.0)


def needs_token(good: str) -> Answer:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        known = request.headers.get("authorization") == f"Bearer {good}"
        await (reply(pod("a", 1)) if known else status(401, "Unauthorized"))(request, writer)

    return answer


async def test_an_object_travels_both_ways() -> None:
    async with bad_server(others=[reply(pod("a", 7), 201)]) as server, HttpClient(ClusterConfig(server.url)) as client:
        made = await client.create(PODS, pod("a", 0))
        assert made["metadata"]["resourceVersion"] == "7"
        request = server.requests[0]
        assert (request.method, request.path) == ("POST", "/api/v1/namespaces/default/pods")
        assert request.json() == pod("a", 0)


async def test_each_verb_says_what_kubernetes_expects() -> None:
    async with bad_server(others=[reply(pod("a", 1))]) as server, HttpClient(ClusterConfig(server.url)) as client:
        await client.apply(PODS, pod("a", 1), field_manager="me")
        await client.patch(PODS, "default", "a", [{"op": "test"}], patch_type="json", subresource="status")
        await client.delete(PODS, "default", "a", uid="u", propagation="Foreground", grace_period_seconds=0)
        await client.create(PODS, {"metadata": {"namespace": "default"}}, name="a", subresource="binding")
        await client.update(PODS, pod("a", 1), subresource="status")
        await client.delete_collection(PODS, "default", label_selector="app=x")
        apply, patch, delete, bind, update, collection = server.requests
        assert apply.headers["content-type"] == "application/apply-patch+yaml"
        assert apply.query == {"fieldManager": "me", "force": "true"}
        assert patch.headers["content-type"] == "application/json-patch+json"
        assert patch.path.endswith("/pods/a/status")
        assert delete.json() == {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": "u"},
            "propagationPolicy": "Foreground",
            "gracePeriodSeconds": 0,
        }
        assert (bind.method, bind.path) == ("POST", "/api/v1/namespaces/default/pods/a/binding")
        assert (update.method, update.path) == ("PUT", "/api/v1/namespaces/default/pods/a/status")
        assert (collection.method, collection.query) == ("DELETE", {"labelSelector": "app=x"})


async def test_items_of_a_list_are_given_the_kind_that_the_wire_leaves_out() -> None:
    async with bad_server(lists=[pods(5, pod("a", 1))]) as server, HttpClient(ClusterConfig(server.url)) as client:
        page = await client.list_page(PODS, "default")
        head = b'{"apiVersion":"v1","kind":"Pod","metadata": {"name": "a"'
        assert [item[: len(head)] for item in page.items] == [head]


async def test_a_refusal_carries_code_reason_and_message() -> None:
    refusal = status(422, "Invalid", "spec.x: no")
    async with bad_server(others=[refusal]) as server, HttpClient(ClusterConfig(server.url)) as client:
        with pytest.raises(StatusError, match=r"spec\.x: no") as caught:
            await client.get(PODS, "default", "a")
        assert (caught.value.code, caught.value.reason) == (422, "Invalid")


async def test_a_body_that_is_no_status_is_not_quoted() -> None:
    refusal = reply(b"<html>secret</html>", 502)
    async with bad_server(others=[refusal]) as server, HttpClient(ClusterConfig(server.url)) as client:
        with pytest.raises(StatusError) as caught:
            await client.get(PODS, "default", "a")
        assert str(caught.value) == "GET /api/v1/namespaces/default/pods/a: the server answered 502 without a Status"


@pytest.mark.parametrize(
    ("code", "verb", "attempts"),
    [(429, "get", 2), (429, "create", 2), (503, "get", 2), (503, "create", 1), (503, "update", 2)],
)
async def test_only_what_is_safe_to_repeat_is_repeated(code: int, verb: str, attempts: int) -> None:
    script = [status(code, "Busy", Retry_After="0"), reply(pod("a", 1))]
    async with bad_server(others=script) as server, HttpClient(ClusterConfig(server.url), bounds=QUICK) as client:

        async def call() -> Obj:
            match verb:
                case "get":
                    return await client.get(PODS, "default", "a")
                case "create":
                    return await client.create(PODS, pod("a", 0))
                case _:
                    return await client.update(PODS, pod("a", 0))

        if attempts == 1:
            with pytest.raises(StatusError):
                await call()
        else:
            await call()
        assert len(server.requests) == attempts


async def test_retry_after_is_waited_for_and_attempts_are_bounded() -> None:
    busy = status(429, "TooManyRequests", Retry_After="0")
    script = [status(429, "TooManyRequests", Retry_After="1"), busy]
    async with bad_server(others=script) as server, HttpClient(ClusterConfig(server.url), bounds=QUICK) as client:
        with pytest.raises(StatusError):
            await client.get(PODS, "default", "a")
        assert len(server.requests) == 4
        assert server.requests[1].at - server.requests[0].at >= 1


async def test_a_server_that_asks_for_more_patience_than_a_call_has_is_the_caller_s_business() -> None:
    busy = status(429, "TooManyRequests", Retry_After="600")
    async with bad_server(others=[busy]) as server, HttpClient(ClusterConfig(server.url), bounds=QUICK) as client:
        with pytest.raises(StatusError) as caught:
            await client.get(PODS, "default", "a")
        assert caught.value.retry_after == 600
        assert len(server.requests) == 1


async def test_a_call_without_an_answer_ends_at_its_bound() -> None:
    bounds = Bounds(call=0.3)
    async with bad_server(others=[hang]) as server, HttpClient(ClusterConfig(server.url), bounds=bounds) as client:
        with pytest.raises(TransportError, match=r"no answer within 0\.3 s"):
            await client.get(PODS, "default", "a")


async def test_a_slammed_door_and_a_closed_port_are_transport_errors() -> None:
    async with bad_server(others=[slam]) as server, HttpClient(ClusterConfig(server.url)) as client:
        with pytest.raises(TransportError):
            await client.create(PODS, pod("a", 0))
        assert len(server.requests) == 1
    async with HttpClient(ClusterConfig(server.url)) as client:
        with pytest.raises(TransportError, match="Connect"):
            await client.get(PODS, "default", "a")


async def test_a_cut_body_is_a_transport_error() -> None:
    async def cut(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"kind"')
        await writer.drain()
        writer.transport.abort()

    async with bad_server(others=[cut]) as server, HttpClient(ClusterConfig(server.url)) as client:
        with pytest.raises(TransportError):
            await client.update(PODS, pod("a", 0))


async def test_a_rotated_token_is_read_again_after_a_401(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    async with bad_server(others=[needs_token("new")]) as server:
        config = ClusterConfig(server.url, credentials=TokenFile(token))
        async with HttpClient(config) as client:
            with pytest.raises(StatusError) as caught:
                await client.get(PODS, "default", "a")
            assert caught.value.code == 401
            assert len(server.requests) == 2, "one refresh, not a loop"
            token.write_text("new\n")
            await client.get(PODS, "default", "a")
            sent = [request.headers["authorization"] for request in server.requests]
            assert sent == ["Bearer old", "Bearer old", "Bearer old", "Bearer new"]


async def test_a_rotated_token_is_read_again_after_a_while_without_any_401(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    async with bad_server(others=[reply(pod("a", 1))]) as server:
        config = ClusterConfig(server.url, credentials=TokenFile(token, reread_after=0.05))
        async with HttpClient(config) as client:
            await client.get(PODS, "default", "a")
            token.write_text("new")
            await asyncio.sleep(0.06)
            await client.get(PODS, "default", "a")
        assert [request.headers["authorization"] for request in server.requests] == ["Bearer old", "Bearer new"]


async def test_an_exec_plugin_is_run_once_and_again_after_a_401(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    plugin.write_text(
        "#!/bin/sh\necho run >> $0.log\n"
        'echo "{\\"apiVersion\\":\\"client.authentication.k8s.io/v1\\",\\"kind\\":\\"ExecCredential\\",'
        '\\"status\\":{\\"token\\":\\"t$(wc -l < $0.log)\\"}}"\n'
    )
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    async with bad_server(others=[needs_token("t1")]) as server:
        config = ClusterConfig(server.url, credentials=ExecPlugin(ExecSpec(str(plugin))))
        async with HttpClient(config) as client:
            await asyncio.gather(*(client.get(PODS, "default", "a") for _ in range(5)))
            server.others = [needs_token("t2")]
            await client.get(PODS, "default", "a")
    assert Path(f"{plugin}.log").read_text() == "run\nrun\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 3", "exit code 3: it said nothing"),
        ("echo 'log in first' >&2; exit 1", "exit code 1: log in first"),
        ("echo hello", "its output is no ExecCredential"),
        (
            'echo \'{"apiVersion":"client.authentication.k8s.io/v1","status":{}}\'',
            "neither a token nor a certificate with key",
        ),
    ],
)
async def test_a_plugin_that_fails_says_why(script: str, message: str) -> None:
    spec = ExecSpec("/bin/sh", ("-c", script))
    config = ClusterConfig("http://127.0.0.1:1", credentials=ExecPlugin(spec))
    async with HttpClient(config) as client:
        with pytest.raises(TransportError, match=message):
            await client.get(PODS, "default", "a")


async def test_a_missing_plugin_shows_its_install_hint() -> None:
    spec = ExecSpec("/nonexistent/plugin", install_hint="get it from your administrator")
    async with HttpClient(ClusterConfig("http://127.0.0.1:1", credentials=ExecPlugin(spec))) as client:
        with pytest.raises(TransportError, match="No such file or directory; get it from your administrator"):
            await client.get(PODS, "default", "a")


async def test_requests_are_counted_by_code_and_method() -> None:
    metrics = Metrics(CollectorRegistry())
    script = [reply(pod("a", 1)), status(404, "NotFound"), slam]
    async with (
        bad_server(others=script) as server,
        HttpClient(ClusterConfig(server.url, credentials=FixedCredentials(Credentials())), metrics=metrics) as client,
    ):
        await client.get(PODS, "default", "a")
        with pytest.raises(StatusError):
            await client.get(PODS, "default", "a")
        with pytest.raises(TransportError):
            await client.create(PODS, pod("a", 0))

        def count(code: str, method: str) -> float | None:
            labels = {"code": code, "method": method, "host": f"127.0.0.1:{server.port}"}
            return metrics.registry.get_sample_value("rest_client_requests_total", labels)

        assert [count("200", "GET"), count("404", "GET"), count("<error>", "POST")] == [1, 1, 1]

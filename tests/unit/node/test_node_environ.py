"""A container's environment."""

from typing import Any

import pytest

from headstay.local.node.environ import ConfigError, expand, field_value, resolve, resource_value, service_variables
from headstay.local.node.podspec import PodDocument
from headstay.model.meta import ObjectMeta
from headstay.model.objects import Obj

CAPACITY = {"cpu": 2.0, "memory": float(8 << 30)}


class Held:
    """What the API has: {(kind, name): {key: value}}."""

    def __init__(self, **objects: dict[str, bytes]) -> None:
        self._objects = objects

    async def config_map(self, namespace: str, name: str) -> dict[str, bytes] | None:
        return self._objects.get(f"cm_{name}")

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        return self._objects.get(f"secret_{name}")


def pod(**spec: Any) -> PodDocument:
    meta = ObjectMeta(name="p", namespace="n", uid="u", labels={"app": "x"}, annotations={"a/b": 'q"q'})
    return PodDocument(meta, {"containers": [{"name": "a"}]} | spec, {"podIP": "10.0.0.9"})


async def env_of(container: Obj, source: Held | None = None, base: dict[str, str] | None = None) -> dict[str, str]:
    return await resolve(pod(), {"name": "a"} | container, base or {}, source or Held(), CAPACITY)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$A ${A}", "$A ${A}"), ("$$$$", "$$"), ("$(A", "$(A")],
)
def test_only_known_references_are_expanded(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


async def test_later_variables_see_earlier_ones_and_service_variables() -> None:
    env = await env_of(
        {"env": [{"name": "B", "value": "$(A)2"}, {"name": "C", "value": "$(B)3"}, {"name": "D", "value": "$(E)"}]},
        base={"A": "1"},
    )
    assert env == {"A": "1", "B": "12", "C": "123", "D": "$(E)"}


async def test_whole_objects_come_before_single_variables() -> None:
    source = Held(cm_c={"A": b"map", "not a name": b"x"}, secret_s={"B": b"secret"})
    container = {
        "envFrom": [{"configMapRef": {"name": "c"}}, {"prefix": "S_", "secretRef": {"name": "s"}}],
        "env": [{"name": "A", "value": "own"}],
    }
    assert await env_of(container, source) == {"A": "own", "S_B": "secret"}


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ({"secretKeyRef": {"name": "s", "key": "k"}}, "couldn't find key k in Secret n/s"),
        ({"secretKeyRef": {"name": "none", "key": "k"}}, 'secret "none" not found'),
        ({"configMapKeyRef": {"name": "none", "key": "k"}}, 'configmap "none" not found'),
        ({"fieldRef": {"fieldPath": "spec.nope"}}, "unsupported fieldPath: spec.nope"),
        ({"fileKeyRef": {}}, "unsupported source of a variable: fileKeyRef"),
    ],
)
async def test_what_is_missing_is_named(reference: Obj, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await env_of({"env": [{"name": "A", "valueFrom": reference}]}, Held(secret_s={}))
    assert str(caught.value) == words


async def test_what_is_optional_may_be_missing() -> None:
    optional = {"name": "none", "key": "k", "optional": True}
    env = [{"name": "A", "valueFrom": {"secretKeyRef": optional}}]
    assert await env_of({"env": env, "envFrom": [{"configMapRef": {"name": "none", "optional": True}}]}) == {}


def test_fields_of_the_pod() -> None:
    assert field_value(pod(), "metadata.labels['app']") == "x"
    assert field_value(pod(), "metadata.labels['none']") == ""
    assert field_value(pod(), "metadata.annotations") == 'a/b="q\\"q"'
    assert field_value(pod(), "status.podIP") == "10.0.0.9"


def test_resources_are_counted_in_divisors_and_rounded_up() -> None:
    container = {"name": "a", "resources": {"limits": {"cpu": "1500m"}, "requests": {"memory": "100Mi"}}}

    def value(resource: str, **more: str) -> str:
        return resource_value(pod(), container, {"resource": resource} | more, CAPACITY)

    assert value("limits.cpu") == "2"
    assert value("limits.cpu", divisor="1m") == "1500"
    assert value("requests.memory", divisor="1Mi") == "100"
    assert value("limits.memory", divisor="1Gi") == "8", "no limit: what the node has"


def test_services_are_variables_of_their_own_namespace_and_the_api_of_all() -> None:
    services: list[Obj] = [
        {
            "metadata": {"name": "my-redis", "namespace": "n"},
            "spec": {"clusterIP": "10.1.0.1", "ports": [{"name": "db", "port": 6379, "protocol": "TCP"}]},
        },
        {"metadata": {"name": "other", "namespace": "m"}, "spec": {"clusterIP": "10.1.0.2", "ports": [{"port": 1}]}},
        {"metadata": {"name": "headless", "namespace": "n"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}},
        {
            "metadata": {"name": "kubernetes", "namespace": "default"},
            "spec": {"clusterIP": "10.1.0.3", "ports": [{"name": "https", "port": 443}]},
        },
    ]
    env = service_variables("n", services, links=True)
    assert env["MY_REDIS_SERVICE_HOST"] == "10.1.0.1"
    assert env["MY_REDIS_SERVICE_PORT"] == env["MY_REDIS_SERVICE_PORT_DB"] == "6379"
    assert env["MY_REDIS_PORT_6379_TCP_ADDR"] == "10.1.0.1"
    assert env["MY_REDIS_PORT"] == "tcp://10.1.0.1:6379"
    assert (env["KUBERNETES_SERVICE_HOST"], env["KUBERNETES_SERVICE_PORT"]) == ("10.1.0.3", "443")
    assert not [name for name in env if name.startswith(("OTHER", "HEADLESS"))]
    assert not [name for name in service_variables("n", services, links=False) if name.startswith("MY_REDIS")]

"""Bodies as kubectl's typed commands and Go controllers send them."""

import struct

import pytest

from headstay.local.server.protobuf.decode import decode_body, messages
from headstay.local.server.protobuf.wire import ProtobufError, fields, signed, varints

# What kubectl 1.32 sent for `kubectl create configmap a --from-literal=x=y`.
CONFIG_MAP = bytes.fromhex(
    "6b387300 0a0f 0a027631 1209 436f6e6669674d6170 121b 0a11 0a0161 1200 1a00 2200 2a00 3200 3800 4200"
    "1206 0a0178 120179 1a00 2200"
)


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def body(api_version: str, kind: str, message: bytes) -> bytes:
    meta = field(1, api_version.encode()) + field(2, kind.encode())
    return b"k8s\x00" + field(1, meta) + field(2, message)


def test_a_config_map_of_kubectl_is_the_document_its_json_would_have_been() -> None:
    assert decode_body(CONFIG_MAP) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a"},
        "data": {"x": "y"},
    }


def test_zero_is_kept_where_it_means_something_and_dropped_where_it_means_unset() -> None:
    options = body("v1", "DeleteOptions", field(1, 0) + field(2, field(1, b"uid")) + field(4, b"Background"))
    assert decode_body(options) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "uid"},
        "propagationPolicy": "Background",
    }
    deployment = body("apps/v1", "Deployment", field(2, field(1, 0) + field(5, 0) + field(7, 0)))
    assert decode_body(deployment)["spec"] == {"replicas": 0}


def test_quantities_times_numbers_and_inlined_structs_become_their_json_forms() -> None:
    port = field(1, 0) + field(2, 8080)
    probe = field(1, field(2, field(1, b"/healthz") + field(2, port))) + field(3, 5)
    limits = field(1, field(1, b"cpu") + field(2, field(1, b"500m")))
    container = field(1, b"main") + field(8, limits) + field(10, probe)
    volume = field(1, b"v") + field(2, field(2, b""))
    pod = field(1, field(1, b"p") + field(8, field(1, 1_700_000_000))) + field(
        2, field(1, volume) + field(2, container) + field(4, -1)
    )
    decoded = decode_body(body("v1", "Pod", pod))
    assert decoded["metadata"] == {"name": "p", "creationTimestamp": "2023-11-14T22:13:20Z"}
    assert decoded["spec"] == {
        "volumes": [{"name": "v", "emptyDir": {}}],
        "containers": [
            {
                "name": "main",
                "resources": {"limits": {"cpu": "500m"}},
                "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "timeoutSeconds": 5},
            }
        ],
        "terminationGracePeriodSeconds": -1,
    }


def test_secret_bytes_become_base64_and_owners_keep_their_flags() -> None:
    secret = field(2, field(1, b"k") + field(2, b"\x00\xff"))
    assert decode_body(body("v1", "Secret", secret))["data"] == {"k": "AP8="}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'{"kind": "Pod"}', "does not start with the prefix"),
        (b"k8s\x00\x0a\x7f", "unexpected end"),
        (body("v1", "ConfigMap", field(77, b"x")), "unknown field number 77 in core.v1.ConfigMap"),
        (body("v1", "ConfigMap", field(1, 5)), "is a number where bytes are expected"),
        (body("example.com/v1", "Widget", b""), "Widget in example.com/v1 is not known"),
        (body("v1", "ConfigMap", field(2, field(1, b"\xff"))), "not UTF-8"),
        (b"k8s\x00" + b"\x80" * 11, "too long"),
        (b"k8s\x00\x0b", "wire type 3"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(data: bytes, problem: str) -> None:
    with pytest.raises(ProtobufError, match=problem):
        decode_body(data)


def test_every_message_in_the_table_is_made_of_messages_in_the_table() -> None:
    special = {"Time", "MicroTime", "Quantity", "IntOrString", "RawExtension", "ListOf", "", "#", "?", "!", "~"}
    for name, specs in messages().items():
        for spec in specs.values():
            assert spec.type in special or spec.type in messages(), f"{name}.{spec.name}"


def test_numbers_of_the_wire() -> None:
    assert list(varints(varint(1) + varint(300))) == [1, 300]
    assert signed((1 << 64) - 5) == -5
    double = next(fields(varint(1 << 3 | 1) + struct.pack("<d", 1.5)))
    assert double.value == struct.pack("<d", 1.5)

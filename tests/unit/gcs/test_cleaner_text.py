"""The cleaner travels as text into images of any age, through the kubelet and a shell."""

import ast
import sys

import pytest

from headstay.gcs import cleaner
from headstay.gcs.cleaner import Namespace, RedisRefusedError, RedisTarget, endpoints
from headstay.gcs.cleaning import cleaner_source

TREE = ast.parse(cleaner_source(), feature_version=(3, 8))


def test_it_imports_the_standard_library_only() -> None:
    modules = {alias.name for node in ast.walk(TREE) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(TREE) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in modules} <= sys.stdlib_module_names


def test_the_kubelet_finds_no_variable_in_it_and_exec_no_end() -> None:
    assert "$" not in cleaner_source()
    assert "\0" not in cleaner_source()
    assert len(cleaner_source()) < 100_000, "the kernel takes 128 KiB in one argument"


def test_the_first_server_s_account_and_tls_hold_for_those_after_it() -> None:
    first, second = endpoints(RedisTarget("rediss://ray:p%40ss@a:1, b"))
    assert (first.host, first.port, first.username, first.password, first.tls) == ("a", 1, "ray", "p@ss", True)
    assert (second.host, second.port, second.username, second.password, second.tls) == ("b", 6379, "ray", "p@ss", True)


def test_what_has_its_own_field_wins_over_the_url() -> None:
    (found,) = endpoints(RedisTarget("redis://a:b@[::1]", username="ray", password="secret"))
    assert (found.host, found.username, found.password, found.tls) == ("::1", "ray", "secret", False)
    assert str(found) == "[::1]:6379"


@pytest.mark.parametrize("address", ["", " , ", "http://a", "redis://:sesame#1@a:2", "a:sesame", "redis://"])
def test_an_address_that_cannot_be_read_is_refused_without_quoting_it(address: str) -> None:
    with pytest.raises(RedisRefusedError, match="RAY_REDIS_ADDRESS") as refused:
        endpoints(RedisTarget(address))
    assert "sesame" not in str(refused.value)


def test_no_repr_shows_a_password() -> None:
    target = RedisTarget("redis://u:sesame@a", password="sesame")
    assert "sesame" not in repr(target) + repr(endpoints(target)) + str(endpoints(target)[0])


@pytest.mark.parametrize("name", ["a*", "a?", "[ab]", "a-b", "^a", "a\\", "ü"])
def test_a_namespace_s_special_characters_are_escaped_for_scan(name: str) -> None:
    space = Namespace(name)
    literal = space.pattern[:-1].replace(b"\\\\", b"\0").replace(b"\\", b"").replace(b"\0", b"\\")
    assert literal == space.prefix == b"RAY" + name.encode() + b"@"


def test_keys_of_a_longer_name_are_another_namespace_s() -> None:
    space = Namespace("a")
    assert space.has(b"RAYa@KV")
    assert not any(space.has(key) for key in (b"RAYab@KV", b"RAYa", b"a", b"XRAYa@KV", b"raya@KV"))


def test_a_namespace_must_be_named() -> None:
    with pytest.raises(RedisRefusedError, match="RAY_external_storage_namespace"):
        Namespace("")


def test_a_key_of_nobody_s_cannot_be_removed() -> None:
    attempts = cleaner.Attempts(1, 1, lambda: False, lambda _: None)
    sweep = cleaner.Sweep(None, Namespace("a"), attempts, unlinks=True)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="is not a key of"):
        sweep._remove(b"RAYab@KV")

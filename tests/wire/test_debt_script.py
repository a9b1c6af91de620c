"""What a person types to pay a debt, on a real Redis: it says 0 only when the keys are gone."""

import subprocess
from pathlib import Path

import pytest
from tests.wire.redis_servers import Server, redis_server

from headstay.plan.debts import script
from headstay.plan.raycluster.storage import Storage

PASSWORD = "p w'$(x)"


def pay(redis: Server, *, password: str = PASSWORD, username: str = "", port: int | None = None) -> int:
    storage = Storage(
        namespace="ns*", host="127.0.0.1", port=port or redis.port, username=username, credentials="secret"
    )
    done = subprocess.run(
        ["sh", "-c", script(storage)], input=f"{password}\n", text=True, capture_output=True, check=False, timeout=30
    )
    assert password not in done.stdout + done.stderr
    return done.returncode


def fill(redis: Server, *names: str) -> None:
    for name in names:
        redis.cli("HSET", name, "ns*@KV:a" if name == "ns*" else "a", "b")


def test_it_removes_the_namespace_and_nothing_else(tmp_path: Path) -> None:
    with redis_server(tmp_path, password=PASSWORD) as redis:
        fill(redis, "RAYns*@KV", "RAYns*@a b'", "ns*", "RAYnsx@KV", "RAYns*x@KV")
        assert pay(redis) == 0
        assert redis.names() == {"RAYnsx@KV", "RAYns*x@KV"}
        assert pay(redis) == 0, "nothing left is paid too"


def test_another_s_key_of_the_namespace_s_name_is_left(tmp_path: Path) -> None:
    with redis_server(tmp_path, password=PASSWORD) as redis:
        redis.cli("HSET", "ns*", "mine", "b")
        assert pay(redis) == 0
        redis.cli("DEL", "ns*")
        redis.cli("SET", "ns*", "mine")
        assert pay(redis) == 0
        assert redis.names() == {"ns*"}


@pytest.mark.parametrize("case", ["another password", "nobody there", "a removal refused"])
def test_it_fails_where_keys_may_be_left(tmp_path: Path, case: str) -> None:
    with redis_server(tmp_path, password=PASSWORD) as redis:
        fill(redis, "RAYns*@KV")
        redis.cli("ACL", "SETUSER", "reader", "on", f">{PASSWORD}", "~*", "+scan", "+hscan")
        outcome = {
            "another password": lambda: pay(redis, password="guessed"),
            "nobody there": lambda: pay(redis, port=1),
            "a removal refused": lambda: pay(redis, username="reader"),
        }[case]()
        assert outcome != 0
        assert redis.names() == {"RAYns*@KV"}

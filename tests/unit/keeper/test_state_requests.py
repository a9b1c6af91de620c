"""What the keeper's endpoint makes of a request."""

import pytest

from headstay.keeper.serve import Asked, parse


def request(line: str, *headers: str) -> bytes:
    return "\r\n".join([line, *headers]).encode()


def test_a_long_poll_names_what_it_has_seen_and_how_long_it_waits() -> None:
    assert parse(request("GET /v1/state?after=7&wait=2.5 HTTP/1.1", "Host: x")) == Asked("/v1/state", 7, 2.5)
    assert parse(request("GET /readyz HTTP/1.1")) == Asked("/readyz")


@pytest.mark.parametrize(("wait", "seconds"), [("1000", 30), ("-1", 0), ("nan", 0), ("inf", 30)])
def test_a_wait_has_a_bound(wait: str, seconds: float) -> None:
    assert parse(request(f"GET /v1/state?after=7&wait={wait} HTTP/1.1")).wait == seconds


@pytest.mark.parametrize("query", ["after=x", "after=1&wait=soon", "after="])
def test_a_number_that_is_none_is_named(query: str) -> None:
    asked = parse(request(f"GET /v1/state?{query} HTTP/1.1"))
    assert asked.status == 400
    assert "after" in asked.problem


@pytest.mark.parametrize(
    ("line", "header", "status"),
    [
        ("POST /v1/state HTTP/1.1", "Host: x", 405),
        ("GET /v1/state HTTP/1.1", "Content-Length: 5", 400),
        ("GET /v1/state HTTP/1.1", "Transfer-Encoding: chunked", 400),
        ("nonsense", "", 400),
        ("\x16\x03\x01", "", 400),
    ],
)
def test_whatever_is_no_plain_get_ends_the_connection(line: str, header: str, status: int) -> None:
    asked = parse(request(line, header))
    assert (asked.status, asked.close) == (status, True)


@pytest.mark.parametrize(("line", "header"), [("GET / HTTP/1.1", "Connection: close"), ("GET / HTTP/1.0", "Host: x")])
def test_who_wants_the_connection_closed_gets_that(line: str, header: str) -> None:
    assert parse(request(line, header)).close

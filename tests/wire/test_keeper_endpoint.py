"""The keeper's endpoint on real sockets: prompt to those who behave, and no trouble from those who do not."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headstay.keeper.board import Board
from headstay.keeper.serve import Server, serve


@pytest.fixture
def board() -> Board:
    return Board("one")


@pytest.fixture
def server(board: Board) -> Iterator[Server]:
    running = Server(board, 0, grace=1.0, host="127.0.0.1")
    running.start()
    yield running
    running.stop()
    assert not running.is_alive()


@pytest.fixture
def client(server: Server) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        yield connection


def raw(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def get(connection: http.client.HTTPConnection, path: str) -> tuple[int, Any]:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, json.loads(body) if answer.getheader("Content-Type") == "application/json" else body


def test_one_reader_keeps_one_connection(client: http.client.HTTPConnection, board: Board) -> None:
    get(client, "/v1/state")
    kept = client.sock
    for _ in range(3):
        status, state = get(client, "/v1/state")
        assert (status, state["sequence"]) == (200, board.sequence)
    assert client.sock is kept


def test_a_long_poll_is_answered_by_the_change_it_waits_for(client: http.client.HTTPConnection, board: Board) -> None:
    before = board.sequence
    threading.Timer(0.3, lambda: board.gcs("Serving")).start()
    began = time.monotonic()
    status, state = get(client, f"/v1/state?after={before}&wait=15")
    assert 0.25 < time.monotonic() - began < 10
    assert (status, state["gcs"]["phase"]) == (200, "Serving")


def test_a_long_poll_without_news_is_answered_in_the_end(client: http.client.HTTPConnection, board: Board) -> None:
    began = time.monotonic()
    _, state = get(client, f"/v1/state?after={board.sequence}&wait=0.5")
    assert time.monotonic() - began >= 0.5
    assert state["sequence"] == board.sequence


def test_who_has_seen_another_number_is_answered_at_once(client: http.client.HTTPConnection) -> None:
    status, _ = get(client, "/v1/state?after=7&wait=20")
    assert status == 200


def test_readiness_follows_the_gcs(client: http.client.HTTPConnection, board: Board) -> None:
    assert get(client, "/readyz")[0] == 503
    board.gcs("Serving")
    assert get(client, "/readyz")[0] == 200
    board.gcs("Gone", "it ended")
    assert get(client, "/readyz")[0] == 200
    time.sleep(1.05)
    assert get(client, "/readyz")[0] == 503


@pytest.mark.parametrize(
    ("request_line", "status"), [("POST /v1/state HTTP/1.1", 405), ("GET /etc/passwd HTTP/1.1", 404)]
)
def test_anything_else_is_refused(server: Server, request_line: str, status: int) -> None:
    with raw(server) as connection:
        connection.sendall(f"{request_line}\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(100).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_request_without_an_end_is_cut_off(server: Server) -> None:
    with raw(server) as connection:
        connection.sendall(b"GET /" + b"x" * 5000)
        assert connection.recv(100).startswith(b"HTTP/1.1 431 ")


def test_more_readers_than_places_cost_the_one_that_did_nothing_longest(
    server: Server, client: http.client.HTTPConnection
) -> None:
    idle = [raw(server) for _ in range(60)]
    assert get(client, "/v1/state")[0] == 200
    assert idle[0].recv(1) == b""
    for connection in idle:
        connection.close()


def test_readers_that_misbehave_delay_neither_others_nor_a_change(
    server: Server, client: http.client.HTTPConnection, board: Board
) -> None:
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            try:
                with raw(server) as connection:
                    connection.sendall(b"GET /v1/state HTTP/1.1\r\n\r\n" * 50)
            except OSError:
                pass

    half = raw(server)
    half.sendall(b"GET /v1/st")
    deaf = raw(server)
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    deaf.sendall(b"GET /v1/state HTTP/1.1\r\n\r\n")
    flooders = [threading.Thread(target=flood) for _ in range(2)]
    for flooder in flooders:
        flooder.start()
    try:
        longest = 0.0
        for number in range(100):
            began = time.monotonic()
            board.gcs("Gone", str(number))
            longest = max(longest, time.monotonic() - began)
        assert longest < 1.0
        status, state = get(client, "/v1/state")
        assert (status, state["gcs"]["why"]) == (200, "99")
    finally:
        stop.set()
        for flooder in flooders:
            flooder.join()
        half.close()
        deaf.close()


def test_a_port_in_use_is_said_and_changes_nothing_else(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("HEADSTAY_KEEPER_LOG", str(log))
    assert serve(Board("two"), {"HEADSTAY_KEEPER_PORT": str(server.port)}) is None
    assert f"port {server.port} (HEADSTAY_KEEPER_PORT) cannot be served" in log.read_text()
    assert serve(Board("two"), {"HEADSTAY_KEEPER_PORT": "many"}) is None


def test_a_port_is_free_again_when_its_server_stopped(board: Board) -> None:
    first = Server(board, 0, grace=1.0, host="127.0.0.1")
    first.start()
    with raw(first) as connection:
        connection.sendall(b"GET /v1/state HTTP/1.1\r\n\r\n")
        assert connection.recv(10)
        first.stop()
    second = Server(board, first.port, grace=1.0, host="127.0.0.1")
    second.start()
    second.stop()

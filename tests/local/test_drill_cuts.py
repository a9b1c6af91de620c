"""A drill's network cut, on a real network: packets vanish, nothing is told, and it ends by itself."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from tests.local.network_lab import OUTSIDE, OUTSIDE_ADDRESS, SERVER, private_machine

from headstay.drill.programs import command, source

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
PORT = 8123


@pytest.fixture
def outside() -> Iterator[None]:
    """A server on the other side of the only wire."""
    with private_machine():
        serving = ["ip", "netns", "exec", OUTSIDE, sys.executable, "-c", SERVER, str(PORT), "outside"]
        with subprocess.Popen(serving, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            assert server.stdout.readline()
            yield
            server.kill()


def hand(**order: object) -> subprocess.CompletedProcess[bytes]:
    start = [sys.executable, *command(order)[1:]]
    return subprocess.run(start, input=source("hand"), capture_output=True, timeout=60, check=False)


def cut(seconds: float) -> None:
    done = hand(do="cut", hosts=[], addresses=[OUTSIDE_ADDRESS], seconds=seconds)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["what"] == [OUTSIDE_ADDRESS]


def reached(timeout: float = 1.0) -> bool:
    """TimeoutError is what a cut wire gives; any other error fails the test."""
    try:
        socket.create_connection((OUTSIDE_ADDRESS, PORT), timeout).close()
    except TimeoutError:
        return False
    return True


def test_what_is_sent_to_who_is_cut_off_vanishes_without_an_error(outside: None) -> None:
    assert reached()
    cut(60)
    assert not reached()
    assert hand(do="join", addresses=[OUTSIDE_ADDRESS]).returncode == 0
    assert reached()


def test_a_connection_lives_through_a_cut(outside: None) -> None:
    with socket.create_connection((OUTSIDE_ADDRESS, PORT), 5) as connection:
        cut(60)
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        assert hand(do="join", addresses=[OUTSIDE_ADDRESS]).returncode == 0
        connection.settimeout(30)
        assert connection.recv(100).startswith(b"HTTP/1.0 200")


def test_a_cut_ends_by_itself(outside: None) -> None:
    cut(3)
    end = time.monotonic() + 30
    while not reached(0.5):
        assert time.monotonic() < end


def test_a_second_cut_of_the_same_is_refused_and_leaves_nothing_cut(outside: None) -> None:
    """Its lease would be the end of the first one's: nobody could say any longer what was cut when."""
    cut(60)
    again = hand(do="cut", hosts=[], addresses=[OUTSIDE_ADDRESS], seconds=60)
    assert again.returncode == 1
    assert b"no route to 192.0.2.2 could be made: File exists" in again.stderr
    assert reached()


def test_a_name_is_cut_off_by_all_its_addresses(outside: None) -> None:
    done = hand(do="cut", hosts=["localhost"], addresses=[OUTSIDE_ADDRESS], seconds=1)
    assert {"127.0.0.1", OUTSIDE_ADDRESS} <= set(json.loads(done.stdout)["what"])

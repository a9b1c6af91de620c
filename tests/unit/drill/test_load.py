"""The load program as it runs in a Pod, against servers that answer, dawdle, hang and break off."""

import json
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any

import pytest

from headstay.drill.programs import command, source

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na b"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\na b\r\n0\r\n\r\n"
TIMEOUT = 2.0


@contextmanager
def server(answer: bytes, after: float = 0.0) -> Iterator[int]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1000)
            time.sleep(after)
            if answer:
                self.request.sendall(answer)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 100

    with Server(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True).start()
        yield listening.server_address[1]
        listening.shutdown()


class Program:
    def __init__(self, running: "subprocess.Popen[bytes]") -> None:
        self._running = running
        self.requests: list[list[Any]] = []
        self._orders = 0

    def read_until(self, key: str) -> dict[str, Any]:
        assert self._running.stdout is not None
        for line in self._running.stdout:
            message: dict[str, Any] = json.loads(line)
            self.requests += message.get("requests", [])
            if key in message:
                return message
        raise AssertionError(f"it ended without {key}")

    def ask(self, do: str, **fields: Any) -> None:
        assert self._running.stdin is not None
        self._orders += 1
        self._running.stdin.write(json.dumps({"do": do, "id": self._orders, **fields}).encode() + b"\n")
        self._running.stdin.flush()
        answer = self.read_until("reply")
        assert answer["reply"] == self._orders
        assert "problem" not in answer

    def load(self, rates: dict[str, float], ports: dict[str, list[int]]) -> None:
        targets = {
            hop: [[f"{hop}-{i}", "127.0.0.1", port] for i, port in enumerate(found)] for hop, found in ports.items()
        }
        self.ask("load", streams=[{"hop": hop, "rate": rates[hop], "targets": targets[hop]} for hop in rates])


@pytest.fixture
def program() -> Iterator[Program]:
    _python, *rest = command({"name": "load", "timeout": TIMEOUT})
    with subprocess.Popen([sys.executable, *rest], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdin is not None
        running.stdin.write(source("load"))
        running.stdin.flush()
        found = Program(running)
        found.read_until("ready")
        yield found
        running.stdin.close()
        assert running.wait(10) == 0


def test_requests_are_sent_when_they_are_due_whoever_dawdles(program: Program) -> None:
    with server(OK, after=0.6) as port:
        program.load({"service": 20}, {"service": [port]})
        time.sleep(1.2)
        program.ask("rest")
    assert len(program.requests) >= 20, "a load that waited for answers would have sent two or three"
    due = sorted(request[2] for request in program.requests)
    assert all(later - earlier == pytest.approx(0.05, abs=1e-4) for earlier, later in pairwise(due))
    assert all(ended - began >= 0.6 for _hop, _subject, began, ended, *_ in program.requests)


def test_what_was_lost_is_told_with_its_kind(program: Program) -> None:
    kinds = {
        "good": OK,
        "chunked": CHUNKED,
        "unavailable": b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nfull",
        "short": OK[:-1],
        "cut": CHUNKED[:-8],
        "silent": b"",
        "babble": b"good day\r\n\r\n",
        "hanging": OK,
    }
    with ExitStack() as stack:
        ports = {
            hop: [stack.enter_context(server(answer, after=5.0 if hop == "hanging" else 0))]
            for hop, answer in kinds.items()
        }
        with server(OK) as gone:
            pass
        program.load(dict.fromkeys([*ports, "gone"], 5.0), {**ports, "gone": [gone]})
        time.sleep(0.5)
        program.ask("rest")
    told = {hop: (outcome, error.split(":")[0]) for hop, _s, _d, _e, outcome, _v, error in program.requests}
    assert told == {
        "good": ("ok", ""),
        "chunked": ("ok", ""),
        "unavailable": ("unknown", "503"),
        "short": ("unknown", "reset"),
        "cut": ("unknown", "reset"),
        "silent": ("unknown", "reset"),
        "babble": ("unknown", "reset"),
        "hanging": ("unknown", "timeout"),
        "gone": ("failed", "refused"),
    }
    slowest = max(ended - due for _hop, _subject, due, ended, *_ in program.requests)
    assert slowest >= TIMEOUT


def test_other_targets_change_no_pace_and_no_targets_send_nothing(program: Program) -> None:
    with server(OK) as one, server(OK) as other:
        program.load({"workers": 40}, {"workers": [one, other]})
        time.sleep(0.5)
        program.load({"workers": 40}, {"workers": [other]})
        time.sleep(0.5)
        program.load({"workers": 40}, {"workers": []})
        time.sleep(0.5)
        program.load({"workers": 40}, {"workers": [one]})
        time.sleep(0.3)
        program.ask("rest")
    due = sorted(request[2] for request in program.requests)
    steps = [round((later - earlier) * 40, 2) for earlier, later in pairwise(due)]
    assert sorted(steps)[:-1] == [1.0] * (len(steps) - 1), "evenly spaced throughout"
    assert max(steps) > 10, "but where there was nobody to send to"
    assert max(steps) == int(max(steps)), "and back in step"
    assert {request[1] for request in program.requests} == {"workers-0", "workers-1"}

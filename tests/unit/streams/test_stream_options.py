import pytest
from multidict import MultiDict

from headstay.local.seams import ExecRequest, LogOptions
from headstay.local.server.streams.options import attach_request, container_of, exec_request, log_options
from headstay.local.server.streams.portforward import ports_of
from headstay.model.errors import StatusError
from headstay.model.objects import Obj


def pod(*containers: str, init: tuple[str, ...] = (), node: str = "n") -> Obj:
    return {
        "metadata": {"name": "p"},
        "spec": {
            "nodeName": node,
            "containers": [{"name": name} for name in containers],
            "initContainers": [{"name": name} for name in init],
        },
    }


def query(text: str = "") -> MultiDict[str]:
    return MultiDict(part.partition("=")[::2] for part in text.split("&") if part)


def test_the_only_container_need_not_be_named() -> None:
    assert container_of(pod("a", init=("i",)), "") == "a"
    assert container_of(pod("a", init=("i",)), "i") == "i"


@pytest.mark.parametrize(
    ("found", "asked", "message"),
    [
        (pod("a", "b"), "", "a container name must be specified for pod p, choose one of: [a b]"),
        (
            pod("a", "b", init=("i", "j")),
            "",
            "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i j]",
        ),
        (pod("a"), "z", "container z is not valid for pod p"),
    ],
)
def test_a_container_that_is_not_clear_is_refused_with_the_choices(found: Obj, asked: str, message: str) -> None:
    with pytest.raises(StatusError) as refused:
        container_of(found, asked)
    assert (refused.value.code, refused.value.message) == (400, message)


def test_log_options_are_read_from_the_query() -> None:
    text = "follow=true&previous=1&timestamps=t&tailLines=5&sinceTime=2026-01-02T03:04:05Z&limitBytes=9"
    assert log_options(query(text), pod("a")) == LogOptions("a", True, True, True, 5, None, "2026-01-02T03:04:05Z", 9)
    assert log_options(query("sinceSeconds=3"), pod("a")) == LogOptions("a", since_seconds=3)


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("tailLines=-1", 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("limitBytes=0", 422, "limitBytes: Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=0", 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z", 400, "at most one of"),
        ("sinceTime=yesterday", 400, "is not a time"),
        ("tailLines=many", 400, "is not a number"),
        ("follow=maybe", 400, "neither true nor false"),
        ("stream=Stdout", 400, "unsupported"),
    ],
)
def test_log_options_without_sense_are_refused_by_name(text: str, code: int, message: str) -> None:
    with pytest.raises(StatusError, match=message) as refused:
        log_options(query(text), pod("a"))
    assert refused.value.code == code


def test_an_exec_shows_both_outputs_unless_told_otherwise() -> None:
    found = exec_request(query("command=sh&command=-c&command=ls"), pod("a"))
    assert found == ExecRequest("a", ("sh", "-c", "ls"), stdin=False, stdout=True, stderr=True)
    assert not exec_request(query("command=x&stderr=false"), pod("a")).stderr


def test_a_terminal_has_one_output() -> None:
    found = exec_request(query("command=sh&tty=true&stdin=true&stderr=true"), pod("a"))
    assert (found.tty, found.stdout, found.stderr) == (True, True, False)


def test_an_attach_has_no_command() -> None:
    assert attach_request(query("stdin=1"), pod("a")) == ExecRequest("a", (), stdin=True)


@pytest.mark.parametrize(
    ("text", "found", "message"),
    [
        ("", pod("a"), "at least one command"),
        ("command=x&stdout=false&stderr=false", pod("a"), "at least 1 of stdin, stdout, stderr"),
        ("command=x", pod("a", node=""), "pod p does not have a host assigned"),
    ],
)
def test_an_exec_that_cannot_be_is_refused(text: str, found: Obj, message: str) -> None:
    with pytest.raises(StatusError, match=message):
        exec_request(query(text), found)


def test_ports_come_one_by_one_or_together() -> None:
    assert ports_of(query("ports=80&ports=81,82")) == [80, 81, 82]
    for text in ("", "ports=0", "ports=x", "ports=65536", "ports="):
        with pytest.raises(StatusError):
            ports_of(query(text))

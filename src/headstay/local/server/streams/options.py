"""What a client asks of a Pod subresource, read from the URL's query and checked against the Pod."""

from collections.abc import Mapping
from datetime import datetime

from multidict import MultiMapping

from headstay.local.seams import ExecRequest, LogOptions
from headstay.model.errors import Cause, StatusError
from headstay.model.objects import Obj, dig
from headstay.model.timestamps import parse

_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False", ""}


def log_options(query: MultiMapping[str], pod: Obj) -> LogOptions:
    name = pod["metadata"]["name"]
    if query.get("stream", "All") != "All":
        raise StatusError(400, "BadRequest", "unsupported: logs of one stream alone (stream=Stdout, stream=Stderr)")
    options = LogOptions(
        container=container_of(pod, query.get("container", "")),
        follow=_flag(query, "follow"),
        previous=_flag(query, "previous"),
        timestamps=_flag(query, "timestamps"),
        tail_lines=_number(query, "tailLines"),
        since_seconds=_number(query, "sinceSeconds"),
        since_time=query.get("sinceTime", ""),
        limit_bytes=_number(query, "limitBytes"),
    )
    if options.tail_lines is not None and options.tail_lines < 0:
        raise _invalid(name, "tailLines", options.tail_lines, "must be greater than or equal to 0")
    if options.limit_bytes is not None and options.limit_bytes < 1:
        raise _invalid(name, "limitBytes", options.limit_bytes, "must be greater than 0")
    if options.since_seconds is not None and options.since_seconds < 1:
        raise _invalid(name, "sinceSeconds", options.since_seconds, "must be greater than 0")
    if options.since_seconds is not None and options.since_time:
        raise StatusError(400, "BadRequest", "at most one of `sinceTime` or `sinceSeconds` may be specified")
    if options.since_time and _time(options.since_time) is None:
        raise StatusError(
            400, "BadRequest", f"sinceTime: {options.since_time!r} is not a time such as 2026-01-02T03:04:05Z"
        )
    return options


def exec_request(query: MultiMapping[str], pod: Obj) -> ExecRequest:
    command = tuple(query.getall("command", []))
    if not command:
        raise StatusError(400, "BadRequest", "you must specify at least one command for the container")
    return _remote(query, pod, command)


def attach_request(query: MultiMapping[str], pod: Obj) -> ExecRequest:
    return _remote(query, pod, ())


def _remote(query: MultiMapping[str], pod: Obj, command: tuple[str, ...]) -> ExecRequest:
    tty = _flag(query, "tty")
    request = ExecRequest(
        container=container_of(pod, query.get("container", "")),
        command=command,
        stdin=_flag(query, "stdin"),
        stdout=_flag(query, "stdout", default=True),
        stderr=_flag(query, "stderr", default=True) and not tty,
        tty=tty,
    )
    if not (request.stdin or request.stdout or request.stderr):
        raise StatusError(400, "BadRequest", "you must specify at least 1 of stdin, stdout, stderr")
    if not dig(pod, "spec", "nodeName"):
        raise StatusError(400, "BadRequest", f"pod {pod['metadata']['name']} does not have a host assigned")
    return request


def container_of(pod: Obj, asked: str) -> str:
    """The container to talk to: the one asked for, or the only one. Raises 400 with the choices."""
    spec: Mapping[str, list[Obj]] = pod.get("spec") or {}
    name = pod["metadata"]["name"]
    containers = [str(found["name"]) for found in spec.get("containers") or []]
    init = [str(found["name"]) for found in spec.get("initContainers") or []]
    others = [str(found["name"]) for found in spec.get("ephemeralContainers") or []]
    if asked:
        if asked in (*containers, *init, *others):
            return asked
        raise StatusError(400, "BadRequest", f"container {asked} is not valid for pod {name}")
    if len(containers) == 1:
        return containers[0]
    message = f"a container name must be specified for pod {name}, choose one of: [{' '.join(containers)}]"
    if init:
        message += f" or one of the init containers: [{' '.join(init)}]"
    raise StatusError(400, "BadRequest", message)


def _flag(query: MultiMapping[str], name: str, *, default: bool = False) -> bool:
    text = query.get(name)
    if text is None:
        return default
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise StatusError(400, "BadRequest", f"{name}: {text!r} is neither true nor false")


def _number(query: MultiMapping[str], name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise StatusError(400, "BadRequest", f"{name}: {text!r} is not a number") from error


def _time(text: str) -> datetime | None:
    try:
        return parse(text)
    except ValueError:
        return None


def _invalid(pod: str, field: str, value: int, problem: str) -> StatusError:
    message = f"Invalid value: {value}: {problem}"
    return StatusError(
        422,
        "Invalid",
        f'PodLogOptions "{pod}" is invalid: {field}: {message}',
        causes=(Cause("FieldValueInvalid", message, field),),
        details={"name": pod, "kind": "PodLogOptions"},
    )

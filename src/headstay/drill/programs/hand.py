"""Does one thing to the container it runs in, says when it was done, and sees to it that it is undone in time.

    python3 -c START '{"do": "signal", "process": "gcs_server", "signal": "TERM"}'

What is undone later is undone by a process of its own, which lives on when whoever asked has died: that is the lease.
Prints one JSON line: `at` (Unix seconds of this clock, right after the deed), `what` (what it was done to). After
`stop` a second one follows when nothing is stopped any longer.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import sys
import time
from typing import Any, Callable, Dict, Iterator, List, Set, Tuple

Order = Any
HEARD = 5.0
Found = List[Tuple[int, str]]
"""Processes, each by its pid and when it was started."""


def read(path: str) -> str:
    """Nothing, of what is not there any more."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def processes() -> Iterator[Tuple[int, str, str]]:
    """(pid, name, start time in ticks) of what lives here: a zombie is dead."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        text = read("/proc/" + entry + "/stat")
        if not text:
            continue  # it ended meanwhile
        name = text[text.index("(") + 1 : text.rindex(")")]
        rest = text[text.rindex(")") + 2 :].split()
        if rest[0] not in ("Z", "X"):
            yield int(entry), name, rest[19]


def named(name: str) -> Found:
    found = [(pid, started) for pid, process, started in processes() if process == name]
    if not found:
        raise SystemExit("no process " + name + " runs here")
    return found


def detached(seconds: float, undo: Callable[[], object]) -> None:
    """Runs `undo` after `seconds` in a process that nobody waits for and no session's end reaches."""
    if os.fork():
        return
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    if os.fork():
        os._exit(0)
    time.sleep(seconds)
    undo()
    os._exit(0)


def send(order: Order) -> Found:
    which = getattr(signal, "SIG" + order["signal"])
    found = named(order["process"])
    for pid, _ in found:
        os.kill(pid, which)
    return found


def stop(order: Order) -> Found:
    found = named(order["process"])
    detached(order["seconds"], lambda: resume(found))
    for pid, _ in found:
        os.kill(pid, signal.SIGSTOP)
    # On a busy machine it takes a while until they have heard it.
    end = time.monotonic() + HEARD
    while time.monotonic() < end and not all(is_stopped(pid, started) for pid, started in found):
        time.sleep(0.005)
    return found


def wait_until_none_is_stopped(found: Found, seconds: float) -> None:
    """Somebody killed them, or the lease ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(is_stopped(pid, started) for pid, started in found):
        time.sleep(0.05)


def is_stopped(pid: int, started: str) -> bool:
    rest = read("/proc/%d/stat" % pid).rpartition(") ")[2].split()
    return len(rest) > 19 and rest[0] == "T" and rest[19] == started


def resume(found: Found) -> None:
    """Only those that are still the same processes: a pid may have been given away since."""
    alive = [(pid, started) for pid, _, started in processes()]
    for one in found:
        if one in alive:
            os.kill(one[0], signal.SIGCONT)


def end_all(order: Order) -> Found:
    """Everything but the container's first process, which the kernel shields from its own children's SIGKILL."""
    if read("/proc/1/comm").strip() == "pause":
        raise SystemExit("the Pod's containers share their processes: this would end all of them")
    # Whoever asked must get the answer before the container ends: the deed is done a moment later, at a known time.
    detached(order["delay"], kill_all_others)
    return []


def kill_all_others() -> None:
    for pid, _, _ in processes():
        if pid not in (1, os.getpid()):
            with contextlib.suppress(OSError):  # it ended with its parent
                os.kill(pid, signal.SIGKILL)


# A route to one address through the loopback device: what is sent there vanishes without a word, as in a network that
# is cut, where an unreachable or blackhole route would tell the sender at once. No program of the image is needed.
NEW_ROUTE, DELETE_ROUTE, ACKNOWLEDGE, CREATE_ONLY = 24, 25, 0x5, 0x600
LOOPBACK = 1


def route(verb: int, flags: int, address: str) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    body = struct.pack("BBBBBBBBI", family, len(packed) * 8, 0, 0, 254, 4, 253, 1, 0)
    body += struct.pack("HH", 4 + len(packed), 1) + packed + struct.pack("HHI", 8, 4, LOOPBACK)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.bind((0, 0))
        netlink.send(struct.pack("IHHII", 16 + len(body), verb, ACKNOWLEDGE | flags, 1, 0) + body)
        answer = netlink.recv(4096)
    return -int(struct.unpack("i", answer[16:20])[0])


def cut(order: Order) -> List[str]:
    """`hosts` are cut off by all addresses that their names have here, as what runs in this Pod would find them."""
    order["addresses"] = sorted(set(order["addresses"]).union(*(addresses_of(host) for host in order["hosts"])))
    detached(order["seconds"], lambda: join(order))
    for address in order["addresses"]:
        error = route(NEW_ROUTE, CREATE_ONLY, address)
        if error:
            join(order)
            raise SystemExit("no route to " + address + " could be made: " + os.strerror(error))
    return list(order["addresses"])


def addresses_of(host: str) -> Set[str]:
    return {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}


def join(order: Order) -> List[str]:
    for address in order["addresses"]:
        route(DELETE_ROUTE, 0, address)  # ESRCH: it is away already
    return list(order["addresses"])


DEEDS: Dict[str, Callable[[Order], Any]] = {"signal": send, "stop": stop, "end-all": end_all, "cut": cut, "join": join}

if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    what = DEEDS[order["do"]](order)
    print(json.dumps({"at": time.time() + order.get("delay", 0), "what": what}), flush=True)
    if order["do"] == "stop":
        wait_until_none_is_stopped(what, order["seconds"] + 5)
        print(json.dumps({"at": time.time()}), flush=True)

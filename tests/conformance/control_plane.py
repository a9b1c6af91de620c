"""Our control plane without a node: the API server and the controllers, in a process of their own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conformance.servers import Server, running
from tests.ports import free_port


@contextmanager
def local_control_plane(folder: Path) -> Iterator[Server]:
    """The process keeps everything below `folder`, and ends with the context."""
    environ = {"HEADSTAY_INSTANCE": "conf", "HEADSTAY_API_PORT": str(free_port())}
    with running(Server("local", folder)) as server:
        arguments = ("-m", "headstay.local", "--control-plane-only", f"--directory={folder}")
        server.start("daemon", sys.executable, *arguments, environ=environ)
        server.wait_until(lambda: server.kubectl("get", "--raw", "/readyz"), "ready")
        server.wait_until(lambda: server.kubectl("get", "serviceaccount", "default"), "controllers at work")
        yield server

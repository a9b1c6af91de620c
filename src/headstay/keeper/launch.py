"""Runs `ray start --head --block` with the supervisor in gcs_server's place.

The one thing changed in Ray is the path it starts the GCS from (`ray._private.services.GCS_SERVER_EXECUTABLE`, the
same name since before Ray 2.9). Where that is not to be had, Ray runs as it would without us, and the log says so.
"""

import os
import re
import shlex
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import List, Optional

from . import redis
from .board import Board
from .log import tell
from .serve import Server, serve

_REDIS_PATIENCE_S = 540.0  # a little less than the 600 s that the head's liveness probe allows
_CHOSEN = "HEADSTAY_KEEPER_PYTHON"
_SHIM = """#!{python} -SEs
import sys
sys.path.insert(0, {home!r})
from {package}.supervise import main
sys.exit(main([{executable!r}, *sys.argv[1:]], {incarnation!r}, {ray_version!r}))
"""


def main(arguments: List[str]) -> int:
    """`arguments` are those of the `ray` command line."""
    use_the_python_of_ray()
    if "start" in arguments[:1] and "--head" in arguments:
        os.environ.setdefault("HEADSTAY_KEEPER_LOG", f"/proc/{os.getpid()}/fd/1")
        incarnation = os.urandom(8).hex()
        if not wait_for_redis(arguments, incarnation):
            return 1
        supervise_gcs(incarnation)
    try:
        from ray.scripts.scripts import main as ray  # the user's own Ray
    except ImportError:
        os.execvp("ray", ["ray", *arguments])  # a program of another kind: it runs as it would without us
    sys.argv = ["ray", *arguments]
    return int(ray() or 0)


def wait_for_redis(arguments: List[str], incarnation: str) -> bool:
    """False when it makes no sense to start: Ray would abort with a stack trace."""
    found = redis.from_environment(os.environ, arguments)
    if found is None:
        return True
    board = Board(incarnation)
    server: Optional[Server] = None

    def waiting(why: str) -> None:
        nonlocal server
        tell(f"waiting for Redis: {why}")
        board.redis("Away", why)
        board.gcs("WaitingForRedis", why)
        server = server or serve(board, os.environ)

    try:
        if redis.wait(found, _REDIS_PATIENCE_S, waiting):
            if server is not None:
                tell(f"{found} answers")
            return True
        tell(f"{found} did not answer in {_REDIS_PATIENCE_S:.0f} s; the head cannot start")
    except redis.RefusedError as error:
        tell(f"{error}; the head cannot start")
    finally:
        if server is not None:
            server.stop()  # the supervisor wants the port
    return False


def supervise_gcs(incarnation: str) -> None:
    try:
        import ray
        from ray._private import services

        executable = services.GCS_SERVER_EXECUTABLE
        services.GCS_SERVER_EXECUTABLE = write_shim(executable, incarnation, getattr(ray, "__version__", ""))
    except (ImportError, AttributeError, OSError) as error:
        tell(f"cannot put the supervisor in gcs_server's place ({error}); a GCS that dies will restart the head")


def write_shim(executable: str, incarnation: str, ray_version: str) -> str:
    """A program of our own that takes gcs_server's arguments. Its name is not gcs_server's: `pkill` must not hit it."""
    home = str(Path(__file__).resolve().parent.parent)
    path = Path(tempfile.mkdtemp(prefix="headstay-"), "headstay-keeper")
    package = (__package__ or "keeper").rpartition(".")[2]
    path.write_text(
        _SHIM.format(
            python=sys.executable,
            home=home,
            package=package,
            executable=executable,
            incarnation=incarnation,
            ray_version=ray_version,
        )
    )
    path.chmod(stat.S_IRWXU)
    return str(path)


def use_the_python_of_ray() -> None:
    """`ray` may belong to another Python than the `python3` that started us: its own first lines say which.

    Once only: one Python may be another's symbolic link, and still have other packages.
    """
    if os.environ.pop(_CHOSEN, ""):
        return
    script = shutil.which("ray")
    python = python_of(script) if script else ""
    if python and python != sys.executable:
        os.environ[_CHOSEN] = python
        os.execv(python, [python, *sys.argv])


def python_of(script: str) -> str:
    """The Python that runs this script, "" where none is named: then it is left to itself."""
    try:
        with Path(script).open("rb") as file:
            first, second = (file.readline().decode().strip() for _ in range(2))
        words = shlex.split(first[2:]) if first.startswith("#!") else []
        if words and Path(words[0]).name == "env":
            words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        elif words and Path(words[0]).name == "sh":
            # What pip writes where the path is too long for a first line, or has a space.
            found = re.match(r"""'''exec' (.+) "\$0" "\$@"$""", second)
            words = shlex.split(found.group(1)) if found else []
    except (OSError, ValueError):
        return ""
    python = shutil.which(words[0]) if words else None
    return python if python and Path(python).name.startswith("python") else ""

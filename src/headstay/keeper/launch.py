"""Runs `ray start --head --block` with the supervisor in gcs_server's place.

The one thing changed in Ray is the path it starts the GCS from (`ray._private.services.GCS_SERVER_EXECUTABLE`, the
same name since before Ray 2.9). Where that is not to be had, Ray runs as it would without us, and the log says so.
"""

import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import List

from . import redis
from .supervise import tell

_REDIS_PATIENCE_S = 540.0  # a little less than the 600 s that the head's liveness probe allows
_SHIM = """#!{python} -SEs
import sys
sys.path.insert(0, {home!r})
from {package}.supervise import main
sys.exit(main([{executable!r}, *sys.argv[1:]]))
"""


def main(arguments: List[str]) -> int:
    """`arguments` are those of the `ray` command line."""
    use_the_python_of_ray()
    if "start" in arguments[:1] and "--head" in arguments:
        os.environ.setdefault("HEADSTAY_KEEPER_LOG", f"/proc/{os.getpid()}/fd/1")
        if not wait_for_redis(arguments):
            return 1
        supervise_gcs()
    from ray.scripts.scripts import main as ray  # the user's own Ray

    sys.argv = ["ray", *arguments]
    return int(ray() or 0)


def wait_for_redis(arguments: List[str]) -> bool:
    """False when it makes no sense to start: Ray would abort with a stack trace."""
    found = redis.from_environment(os.environ, arguments)
    if found is None:
        return True
    try:
        if redis.wait(found, _REDIS_PATIENCE_S, tell):
            return True
        tell(f"Redis at {found.host}:{found.port} did not answer in {_REDIS_PATIENCE_S:.0f} s; the head cannot start")
    except redis.RefusedError as error:
        tell(f"{error}; the head cannot start")
    return False


def supervise_gcs() -> None:
    try:
        from ray._private import services

        executable = services.GCS_SERVER_EXECUTABLE
        services.GCS_SERVER_EXECUTABLE = write_shim(executable)
    except (ImportError, AttributeError, OSError) as error:
        tell(f"cannot put the supervisor in gcs_server's place ({error}); a GCS that dies will restart the head")


def write_shim(executable: str) -> str:
    """A program of our own that takes gcs_server's arguments. Its name is not gcs_server's: `pkill` must not hit it."""
    home = str(Path(__file__).resolve().parent.parent)
    path = Path(tempfile.mkdtemp(prefix="headstay-"), "headstay-keeper")
    package = (__package__ or "keeper").rpartition(".")[2]
    path.write_text(_SHIM.format(python=sys.executable, home=home, package=package, executable=executable))
    path.chmod(stat.S_IRWXU)
    return str(path)


def use_the_python_of_ray() -> None:
    """`ray` may belong to another Python than the `python3` that started us: its own first line says which."""
    script = shutil.which("ray")
    if script is None:
        return
    try:
        with Path(script).open("rb") as file:
            first = file.readline().decode().strip()
    except (OSError, UnicodeDecodeError):
        return
    python = first[2:].split(" ")[0] if first.startswith("#!") else ""
    found = Path(python)
    if found.is_absolute() and os.access(python, os.X_OK) and not found.samefile(sys.executable):
        os.execv(python, [python, *sys.argv])

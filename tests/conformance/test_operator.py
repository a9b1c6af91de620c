"""The operator's own API tests, on both servers: it must not know which one it speaks to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conformance.servers import Server

ROOT = Path(__file__).parents[2]
TESTS = sorted((ROOT / "tests" / "local").glob("test_operator_*.py"))


@pytest.mark.parametrize("name", ["local", "judge"])
def test_the_operator_works_on(name: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(name)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *TESTS],
        cwd=ROOT,
        env=os.environ | {"KUBECONFIG": str(server.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    server.check()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]

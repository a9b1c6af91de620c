"""One Headstay for the whole tier, beside and apart from one the user may have running."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTANCE = {
    "HEADSTAY_INSTANCE": "e2e",
    "HEADSTAY_API_PORT": "6455",
    "HEADSTAY_POD_NETWORK": "10.78.0.0/16",
    "HEADSTAY_SERVICE_NETWORK": "10.97.0.0/16",
}


def headstay(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.prefix) / "bin" / "headstay"), *arguments],
        env={**os.environ, **INSTANCE},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=ROOT,
    )


@pytest.fixture(scope="session")
def environment() -> Iterator[dict[str, str]]:
    """The variables that lead `kubectl` to a Headstay of our own."""
    headstay("down", "--purge")
    images = headstay("images", "prepare", timeout=600)
    assert images.returncode == 0, images.stdout + images.stderr
    started = headstay("up")
    assert started.returncode == 0, started.stdout + started.stderr
    yield {**os.environ, **INSTANCE, "KUBECONFIG": headstay("kubeconfig").stdout.strip()}
    stopped = headstay("down", "--purge")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr


@pytest.fixture(scope="session")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Scenarios spend most of their time waiting; two at once are what a 2-core machine starts Ray for in good time."""
    with ThreadPoolExecutor(max_workers=2) as executor:
        yield executor

"""The two servers: ours, and a real kube-apiserver with its controller-manager. Neither has a node.

The judge is built once into a cache outside the checkout (HEADSTAY_JUDGE, by default /var/cache/headstay-judge).
"""

from collections.abc import Iterator

import pytest
from tests.conformance import real_kubernetes
from tests.conformance.control_plane import local_control_plane
from tests.conformance.servers import Server


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if reason := real_kubernetes.missing():
        pytest.fail(reason)
    with real_kubernetes.real_control_plane(tmp_path_factory.mktemp("judge")) as server:
        yield server


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with local_control_plane(tmp_path_factory.mktemp("local")) as server:
        yield server

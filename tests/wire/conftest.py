from collections.abc import Iterator

import pytest
from tests.wire.redis_servers import Server
from tests.wire.redis_tls import Tls, tls_redis_server


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secured(tls: Tls) -> Iterator[Server]:
    with tls_redis_server(tls) as server:
        yield server

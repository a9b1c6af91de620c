"""A private authority, and a Redis that serves and asks for its certificates."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.wire.redis_servers import Server, redis_server

_CURVE = ("-pkeyopt", "ec_paramgen_curve:prime256v1")
_CA = ("-days", "2", "-subj", "/CN=test authority")


class Tls:
    """A private CA, and a server that also asks its clients for a certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._openssl("req", "-x509", "-newkey", "ec", *_CURVE, "-nodes", "-keyout", "ca.key", "-out", "ca.crt", *_CA)
        self._issue("server", "redis.example")
        self._issue("client", "client.example")

    def _issue(self, name: str, host: str) -> None:
        request = ("-newkey", "ec", *_CURVE, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self._openssl("req", *request, "-subj", f"/CN={host}")
        (self.folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{host}\n")
        by = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext")
        self._openssl("x509", "-req", "-in", f"{name}.csr", *by, "-out", f"{name}.crt")

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, capture_output=True, check=True, timeout=60)

    def path(self, name: str) -> str:
        return str(self.folder / name)


@contextmanager
def tls_redis_server(tls: Tls) -> Iterator[Server]:
    files = {"cert-file": "server.crt", "key-file": "server.key", "ca-cert-file": "ca.crt"}
    arguments = [word for name, file in files.items() for word in (f"--tls-{name}", tls.path(file))]
    cli = ["--tls", "--cacert", tls.path("ca.crt"), "--cert", tls.path("client.crt"), "--key", tls.path("client.key")]
    with redis_server(tls.folder, *arguments, cli=cli, tls=True) as server:
        yield server

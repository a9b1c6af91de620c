"""The judge: etcd, a real kube-apiserver and a real kube-controller-manager on loopback, without a node.

`python -m tests.conformance.real_kubernetes FOLDER` runs one by hand until interrupted.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.conformance.servers import Server, running
from tests.ports import free_ports

CACHE = Path(os.environ.get("HEADSTAY_JUDGE", "/var/cache/headstay-judge"))
BINARIES = CACHE / "build" / "bin"


class Ports(NamedTuple):
    etcd: int
    etcd_peer: int
    api: int
    manager: int


def missing() -> str:
    """What `make conformance` has to install or build first, or nothing."""
    if not (BINARIES / "kube-apiserver").is_file():
        return f"no judge in {CACHE}: make conformance builds it"
    return "" if shutil.which("etcd") else "etcd is missing: make conformance installs it"


@contextmanager
def real_control_plane(folder: Path) -> Iterator[Server]:
    ports = Ports(*free_ports(4))
    token = secrets.token_hex(16)
    _prepare(folder, token)
    with running(Server("judge's", folder, WITHOUT_RULES="1")) as server:
        _start_etcd(server, ports)
        _start_apiserver(server, ports)
        _write_kubeconfig(server, ports, token)
        server.wait_until(lambda: server.kubectl("get", "--raw", "/readyz"), "ready")
        _start_manager(server, ports)
        server.wait_until(lambda: server.kubectl("get", "serviceaccount", "default"), "controllers at work")
        yield server


def _prepare(folder: Path, token: str) -> None:
    pki = folder / "pki"
    pki.mkdir(mode=0o700)
    subprocess.run(["openssl", "genrsa", "-out", pki / "sa.key", "2048"], check=True, capture_output=True)
    (pki / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')


def _start_etcd(server: Server, ports: Ports) -> None:
    url = f"http://127.0.0.1:{ports.etcd}"
    peer = f"--listen-peer-urls=http://127.0.0.1:{ports.etcd_peer}"
    server.start(
        "etcd", "etcd", "--data-dir=etcd", f"--listen-client-urls={url}", f"--advertise-client-urls={url}", peer
    )


def _start_apiserver(server: Server, ports: Ports) -> None:
    server.start(
        "kube-apiserver",
        BINARIES / "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{ports.etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={ports.api}",
        "--cert-dir=pki",
        "--service-account-key-file=pki/sa.key",
        "--service-account-signing-key-file=pki/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--token-auth-file=pki/tokens.csv",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--allow-privileged=true",
    )


def _start_manager(server: Server, ports: Ports) -> None:
    access = [f"--{use}kubeconfig={server.kubeconfig}" for use in ("", "authentication-", "authorization-")]
    server.start(
        "kube-controller-manager",
        BINARIES / "kube-controller-manager",
        *access,
        "--bind-address=127.0.0.1",
        f"--secure-port={ports.manager}",
        "--port=0",
        "--service-account-private-key-file=pki/sa.key",
        "--leader-elect=false",
        "--use-service-account-credentials=false",
        "--cert-dir=pki",
    )


def _write_kubeconfig(server: Server, ports: Ports, token: str) -> None:
    server.kubeconfig.touch(mode=0o600)
    server.kubeconfig.write_text(f"""\
apiVersion: v1
kind: Config
clusters: [{{name: real, cluster: {{server: "https://127.0.0.1:{ports.api}", insecure-skip-tls-verify: true}}}}]
users: [{{name: admin, user: {{token: {token}}}}}]
contexts: [{{name: real, context: {{cluster: real, user: admin}}}}]
current-context: real
""")


def main() -> None:
    if reason := missing():
        sys.exit(reason)
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True)
    with real_control_plane(folder) as server:
        print(f"export KUBECONFIG={server.kubeconfig}", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()

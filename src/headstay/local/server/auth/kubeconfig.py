"""The kubeconfig that `headstay up` hands to the user: one context, everything embedded, readable by its owner alone.

Written as text on purpose: its values are base64 and names of [a-z0-9], and `up` need not load a YAML library.
"""

import re
from base64 import b64encode

from headstay.local.config import LocalConfig
from headstay.local.server.auth.pki import Pki, write_private

_PEM = re.compile(rb"-----BEGIN (?P<what>[A-Z ]+)-----.*?-----END (?P=what)-----\n", re.DOTALL)


def write_kubeconfig(config: LocalConfig, pki: Pki) -> bool:
    """Makes `config.kubeconfig` say what it must; False when it already did."""
    wanted = kubeconfig_text(config, pki).encode()
    path = config.kubeconfig
    if path.exists() and path.read_bytes() == wanted and path.stat().st_mode & 0o777 == 0o600:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, wanted)
    return True


def kubeconfig_text(config: LocalConfig, pki: Pki) -> str:
    name = config.instance
    key, certificate = split_pair(pki.admin.read_bytes())
    return f"""\
apiVersion: v1
kind: Config
current-context: {name}
clusters:
- name: {name}
  cluster:
    server: https://127.0.0.1:{config.api_port}
    certificate-authority-data: {_encoded(pki.ca_certificate.read_bytes())}
contexts:
- name: {name}
  context:
    cluster: {name}
    user: {name}
    namespace: default
users:
- name: {name}
  user:
    client-certificate-data: {_encoded(certificate)}
    client-key-data: {_encoded(key)}
"""


def split_pair(pem: bytes) -> tuple[bytes, bytes]:
    """The private key and the certificate of a file that holds both."""
    parts = {match["what"]: match[0] for match in _PEM.finditer(pem)}
    return parts[b"PRIVATE KEY"], parts[b"CERTIFICATE"]


def _encoded(data: bytes) -> str:
    return b64encode(data).decode()

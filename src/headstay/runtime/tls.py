"""The TLS context for one API server and one set of client credentials."""

import ssl
import tempfile
from pathlib import Path

from headstay.runtime.credentials import Credentials
from headstay.runtime.kubeconfig import ClusterConfig, ConfigError


def client_context(config: ClusterConfig, credentials: Credentials, *, allow_insecure: bool) -> ssl.SSLContext:
    """Raises ConfigError for certificates that cannot be read, and for skipped verification nobody asked us for."""
    try:
        context = ssl.create_default_context(cadata=config.certificate_authority or None)
    except ssl.SSLError as error:
        raise ConfigError(f"{config.context}: the certificate authority is not a PEM certificate") from error
    if config.insecure_skip_tls_verify:
        if not allow_insecure:
            raise ConfigError(
                f"{config.context}: insecure-skip-tls-verify would let anybody on the way read our token; "
                "give the server's certificate-authority instead, or allow it explicitly"
            )
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if credentials.certificate:
        _load_pair(context, config, credentials)
    return context


def _load_pair(context: ssl.SSLContext, config: ClusterConfig, credentials: Credentials) -> None:
    # The ssl module reads pairs from files only. A directory of our own (0700) holds this one for a moment.
    with tempfile.TemporaryDirectory(prefix="headstay-tls-") as directory:
        pair = Path(directory) / "pair.pem"
        pair.write_text(f"{credentials.certificate.rstrip()}\n{credentials.key.rstrip()}\n")
        try:
            context.load_cert_chain(pair)
        except ssl.SSLError as error:
            raise ConfigError(f"{config.context}: the client certificate and key do not fit: {error.reason}") from error

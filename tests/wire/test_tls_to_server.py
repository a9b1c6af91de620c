"""TLS as an API server speaks it: its own authority, client certificates, server names, and no way around them."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.wire.badserver import bad_server, pod, reply

from headstay.model.resource import PODS
from headstay.runtime.client import TransportError
from headstay.runtime.credentials import Credentials, FixedCredentials
from headstay.runtime.http import HttpClient
from headstay.runtime.kubeconfig import ClusterConfig, ConfigError

NOW = datetime.now(UTC)


class Pair(NamedTuple):
    certificate: str
    key: str


class Authority:
    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        made = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        self.certificate = _pem(made.sign(self._key, hashes.SHA256()))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(hours=1))
            .not_valid_after(NOW + timedelta(hours=1))
        )

    def issue(self, name: str, *names: x509.GeneralName) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, key)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return Pair(_pem(builder.sign(self._key, hashes.SHA256())), text)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


AUTHORITY = Authority()
BY_ADDRESS = AUTHORITY.issue("api", x509.IPAddress(ip_address("127.0.0.1")))
BY_NAME = AUTHORITY.issue("api", x509.DNSName("kubernetes.default.svc"))
CLIENT = AUTHORITY.issue("jane")


def server_side(tmp_path: Path, pair: Pair, *, ask_client: bool = False) -> ssl.SSLContext:
    path = tmp_path / "server.pem"
    path.write_text(pair.certificate + pair.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=AUTHORITY.certificate)
    context.load_cert_chain(path)
    context.verify_mode = ssl.CERT_REQUIRED if ask_client else ssl.CERT_NONE
    return context


async def get(config: ClusterConfig, *, allow_insecure: bool = False) -> str:
    async with HttpClient(config, allow_insecure=allow_insecure) as client:
        name: str = (await client.get(PODS, "default", "a"))["metadata"]["name"]
        return name


async def test_the_given_authority_is_trusted_and_no_other(tmp_path: Path) -> None:
    async with bad_server(others=[reply(pod("a", 1))], tls=server_side(tmp_path, BY_ADDRESS)) as server:
        url = f"https://127.0.0.1:{server.port}"
        assert await get(ClusterConfig(url, certificate_authority=AUTHORITY.certificate)) == "a"
        for stranger in (Authority().certificate, ""):
            with pytest.raises(TransportError, match="certificate"):
                await get(ClusterConfig(url, certificate_authority=stranger))


async def test_the_server_name_of_the_kubeconfig_is_what_the_certificate_must_say(tmp_path: Path) -> None:
    async with bad_server(others=[reply(pod("a", 1))], tls=server_side(tmp_path, BY_NAME)) as server:
        config = ClusterConfig(f"https://127.0.0.1:{server.port}", certificate_authority=AUTHORITY.certificate)
        with pytest.raises(TransportError, match="certificate"):
            await get(config)
        named = ClusterConfig(
            config.server, certificate_authority=AUTHORITY.certificate, server_name="kubernetes.default.svc"
        )
        assert await get(named) == "a"


async def test_a_client_certificate_is_presented_and_its_key_is_left_in_no_file(tmp_path: Path) -> None:
    async with bad_server(
        others=[reply(pod("a", 1))], tls=server_side(tmp_path, BY_ADDRESS, ask_client=True)
    ) as server:
        url = f"https://127.0.0.1:{server.port}"
        credentials = FixedCredentials(Credentials("", *CLIENT))
        config = ClusterConfig(url, certificate_authority=AUTHORITY.certificate, credentials=credentials)
        assert await get(config) == "a"
        with pytest.raises(TransportError):
            await get(ClusterConfig(url, certificate_authority=AUTHORITY.certificate))


async def test_skipped_verification_is_refused_unless_it_is_asked_for(tmp_path: Path) -> None:
    async with bad_server(others=[reply(pod("a", 1))], tls=server_side(tmp_path, BY_NAME)) as server:
        config = ClusterConfig(f"https://127.0.0.1:{server.port}", insecure_skip_tls_verify=True, context="here")
        with pytest.raises(ConfigError, match="here: insecure-skip-tls-verify would let anybody"):
            await get(config)
        assert await get(config, allow_insecure=True) == "a"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ClusterConfig("https://127.0.0.1:1", certificate_authority="nonsense"), "is not a PEM certificate"),
        (
            ClusterConfig(
                "https://127.0.0.1:1",
                credentials=FixedCredentials(Credentials("", CLIENT.certificate, BY_NAME.key)),
            ),
            "do not fit",
        ),
    ],
)
async def test_certificates_that_cannot_be_used_are_named(config: ClusterConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        await get(config)


@pytest.mark.parametrize("server", ["http://10.0.0.1:8080", "http://kubernetes.example.com", "ftp://127.0.0.1"])
async def test_a_token_never_travels_in_the_clear(server: str) -> None:
    with pytest.raises(ConfigError):
        HttpClient(ClusterConfig(server))

import ssl
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from headstay.local.config import LocalConfig
from headstay.local.server.auth.authn import server_ssl_context
from headstay.local.server.auth.kubeconfig import split_pair, write_kubeconfig
from headstay.local.server.auth.pki import Pki, ensure_pki

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> LocalConfig:
    return LocalConfig(state_dir=tmp_path / "state")


def contents(pki: Pki) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in pki}


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_only_the_owner_can_read_any_of_it(config: LocalConfig) -> None:
    ensure_pki(config, NOW)
    assert stat.S_IMODE(config.pki_dir.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in config.pki_dir.iterdir()} == {0o600}


def test_the_serving_certificate_is_good_for_every_name_the_api_has(config: LocalConfig) -> None:
    pki = ensure_pki(config, NOW)
    names = certificate(pki.serving).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "headstay",
    }
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert addresses == {"127.0.0.1", "::1", "10.96.0.1", "10.77.0.1"}


def test_a_second_start_changes_nothing(config: LocalConfig) -> None:
    first = contents(ensure_pki(config, NOW))
    assert contents(ensure_pki(config, NOW + timedelta(days=1))) == first


def test_a_second_start_does_not_load_cryptography(config: LocalConfig) -> None:
    ensure_pki(config, NOW)
    code = (
        "import sys, pathlib, datetime\n"
        "from headstay.local.config import LocalConfig\n"
        "from headstay.local.server.auth.pki import ensure_pki\n"
        "from headstay.local.server.auth.kubeconfig import write_kubeconfig\n"
        "import headstay.local.server.auth.authn\n"
        "config = LocalConfig(state_dir=pathlib.Path(sys.argv[1]))\n"
        "write_kubeconfig(config, ensure_pki(config, datetime.datetime.fromisoformat(sys.argv[2])))\n"
        "assert 'cryptography' not in sys.modules\n"
    )
    command = [sys.executable, "-c", code, str(config.state_dir), NOW.isoformat()]
    subprocess.run(command, check=True, timeout=30)


@pytest.mark.parametrize("lost", ["ca.crt", "serving.pem", "admin.pem", "service-account.key", "manifest.json"])
def test_a_lost_file_is_made_again_and_the_others_stay(config: LocalConfig, lost: str) -> None:
    before = contents(ensure_pki(config, NOW))
    (config.pki_dir / lost).unlink()
    after = contents(ensure_pki(config, NOW))
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {lost}
    assert ("ca.crt" in changed) is False, "ca.crt is a part of ca.pem"


def test_a_lost_ca_renews_what_it_signed_but_not_the_service_account_key(config: LocalConfig) -> None:
    before = contents(ensure_pki(config, NOW))
    (config.pki_dir / "ca.pem").unlink()
    after = contents(ensure_pki(config, NOW))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"ca.pem", "ca.crt", "serving.pem", "admin.pem"}


@pytest.mark.parametrize("damage", [b"", b"-----BEGIN PRIVATE KEY-----\nnonsense\n", b"\xff\xfe"])
@pytest.mark.parametrize("damaged", ["ca.pem", "serving.pem", "admin.pem", "service-account.key", "manifest.json"])
def test_a_damaged_file_is_made_again(config: LocalConfig, damaged: str, damage: bytes) -> None:
    ensure_pki(config, NOW)
    (config.pki_dir / damaged).write_bytes(damage)
    server_ssl_context(ensure_pki(config, NOW))
    assert (config.pki_dir / damaged).read_bytes() != damage


def test_a_left_over_temporary_file_is_in_nobodys_way(config: LocalConfig) -> None:
    config.pki_dir.mkdir(parents=True)
    (config.pki_dir / ".ca.pem.new").write_bytes(b"half")
    server_ssl_context(ensure_pki(config, NOW))


def test_everything_is_renewed_before_it_expires(config: LocalConfig) -> None:
    before = contents(ensure_pki(config, NOW))
    later = NOW + timedelta(days=3650 - 89)
    pki = ensure_pki(config, later)
    after = contents(pki)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"ca.pem", "ca.crt", "serving.pem", "admin.pem"}
    assert certificate(pki.serving).not_valid_after_utc > later + timedelta(days=365)


def test_another_address_renews_the_serving_certificate_alone(config: LocalConfig) -> None:
    before = contents(ensure_pki(config, NOW))
    after = contents(ensure_pki(replace(config, node_name="other"), NOW))
    assert {name for name in before if before[name] != after[name]} == {"serving.pem"}


def test_the_kubeconfig_is_private_and_written_only_when_it_changes(config: LocalConfig) -> None:
    pki = ensure_pki(config, NOW)
    assert write_kubeconfig(config, pki)
    assert stat.S_IMODE(config.kubeconfig.stat().st_mode) == 0o600
    assert not write_kubeconfig(config, pki)
    config.kubeconfig.chmod(0o644)
    assert write_kubeconfig(config, pki)
    assert stat.S_IMODE(config.kubeconfig.stat().st_mode) == 0o600


def test_kubectl_reads_the_kubeconfig(config: LocalConfig) -> None:
    pki = ensure_pki(config, NOW)
    write_kubeconfig(config, pki)
    command = ["kubectl", "--kubeconfig", str(config.kubeconfig), "config", "get-contexts", "--no-headers"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    assert shown.split() == ["*", "headstay", "headstay", "headstay", "default"]


def test_the_two_halves_of_the_admin_pair_come_apart(config: LocalConfig) -> None:
    pki = ensure_pki(config, NOW)
    key, certificate_pem = split_pair(pki.admin.read_bytes())
    assert key + certificate_pem == pki.admin.read_bytes()
    subject = x509.load_pem_x509_certificate(certificate_pem).subject.rfc4514_string()
    assert subject == "CN=headstay-admin,O=system:masters"


def test_openssl_accepts_the_chain(config: LocalConfig) -> None:
    pki = ensure_pki(config, datetime.now(UTC))
    context = ssl.create_default_context(cafile=str(pki.ca_certificate))
    context.load_cert_chain(pki.admin)
    for path, purpose in ((pki.serving, "sslserver"), (pki.admin, "sslclient")):
        command = [
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            purpose,
            "-CAfile",
            str(pki.ca_certificate),
            str(path),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=30)

"""Makes and judges the keys and certificates of `pki`. The only place (with `jwt`) that loads `cryptography`.

Everything is EC P-256: small, fast, and understood by every Kubernetes client.
"""

from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from headstay.local.server.auth.pki import ADMIN, ADMIN_GROUP, LIFETIME, RENEW_BEFORE, Names, Pki, write_private

BACKDATED = timedelta(minutes=5)
"""A client's clock may be a little behind ours."""


class Pair(NamedTuple):
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def to_pem(self) -> bytes:
        return key_to_pem(self.key) + self.certificate.public_bytes(serialization.Encoding.PEM)


def make_what_is_missing(pki: Pki, names: Names, now: datetime) -> datetime:
    """Leaves a sound file at every path and returns when the first of them is due for renewal.

    Order matters: what is signed is checked against the CA that is there by then, so a new CA renews it all.
    """
    ca = _load(pki.ca)
    if ca is None or _due(ca, now):
        ca = make_ca(now)
        write_private(pki.ca, ca.to_pem())
    ca_certificate = ca.certificate.public_bytes(serialization.Encoding.PEM)
    if not pki.ca_certificate.exists() or pki.ca_certificate.read_bytes() != ca_certificate:
        write_private(pki.ca_certificate, ca_certificate)

    serving = _load(pki.serving)
    if serving is None or _due(serving, now) or not _signed_by(ca, serving) or _names_of(serving) != _as_sets(names):
        serving = make_serving(ca, names, now)
        write_private(pki.serving, serving.to_pem())

    admin = _load(pki.admin)
    if admin is None or _due(admin, now) or not _signed_by(ca, admin):
        admin = make_client(ca, ADMIN, (ADMIN_GROUP,), now)
        write_private(pki.admin, admin.to_pem())

    # Never renewed: tokens signed with it are in running Pods.
    if _load_key(pki.service_account_key) is None:
        write_private(pki.service_account_key, key_to_pem(ec.generate_private_key(ec.SECP256R1())))
    return min(_renew_at(pair) for pair in (ca, serving, admin))


def make_ca(now: datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"headstay-ca-{int(now.timestamp())}")])
    usage = _key_usage(digital_signature=True, key_cert_sign=True, crl_sign=True)
    builder = _builder(name, name, key, now).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return Pair(key, builder.add_extension(usage, critical=True).sign(key, hashes.SHA256()))


def make_serving(ca: Pair, names: Names, now: datetime) -> Pair:
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names.dns]
    alternatives += [x509.IPAddress(ip_address(address)) for address in names.addresses]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "headstay-api")])
    return _leaf(ca, subject, ExtendedKeyUsageOID.SERVER_AUTH, now, x509.SubjectAlternativeName(alternatives))


def make_client(ca: Pair, user: str, groups: tuple[str, ...], now: datetime) -> Pair:
    """A client certificate as Kubernetes reads it: the common name is the user, organisations are the groups."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, user)])
    return _leaf(ca, subject, ExtendedKeyUsageOID.CLIENT_AUTH, now)


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _leaf(
    ca: Pair,
    subject: x509.Name,
    purpose: x509.ObjectIdentifier,
    now: datetime,
    alternatives: x509.SubjectAlternativeName | None = None,
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(subject, ca.certificate.subject, key, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(_authority(ca), critical=False)
    )
    if alternatives is not None:
        builder = builder.add_extension(alternatives, critical=False)
    return Pair(key, builder.sign(ca.key, hashes.SHA256()))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _authority(ca: Pair) -> x509.AuthorityKeyIdentifier:
    identifier = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _load(path: Path) -> Pair | None:
    """The pair in the file, or None where there is none, it is damaged, or its halves do not belong together."""
    key = _load_key(path)
    if key is None:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        return None
    return Pair(key, certificate) if certificate.public_key() == key.public_key() else None


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey | None:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1) else None


def _signed_by(ca: Pair, pair: Pair) -> bool:
    try:
        pair.certificate.verify_directly_issued_by(ca.certificate)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _names_of(pair: Pair) -> tuple[frozenset[str], frozenset[str]]:
    try:
        found = pair.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset(), frozenset()
    addresses = frozenset(str(address) for address in found.get_values_for_type(x509.IPAddress))
    return frozenset(found.get_values_for_type(x509.DNSName)), addresses


def _as_sets(names: Names) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(names.dns), frozenset(names.addresses)


def _renew_at(pair: Pair) -> datetime:
    return pair.certificate.not_valid_after_utc - RENEW_BEFORE


def _due(pair: Pair, now: datetime) -> bool:
    return now >= _renew_at(pair)

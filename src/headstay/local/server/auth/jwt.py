"""JSON Web Tokens signed with ES256 (RFC 7515, 7517, 7518), as much as service-account tokens need.

Nothing of a token is believed before its signature is verified, and the algorithm is ours, not the token's.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

_HALF = 32
"""Bytes in each half of a P-256 signature or point."""


class InvalidTokenError(Exception):
    """Not a token of ours: malformed, another key's, or altered."""


class SigningKey:
    def __init__(self, pem: bytes) -> None:
        key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"the service-account key is a {type(key).__name__}, not an EC key")
        self._key = key
        self._public = key.public_key()
        der = self._public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.key_id = encode(hashlib.sha256(der).digest())

    def sign(self, claims: dict[str, Any]) -> str:
        header = {"alg": "ES256", "kid": self.key_id}
        signed = f"{encode(msgspec.json.encode(header))}.{encode(msgspec.json.encode(claims))}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{encode(r.to_bytes(_HALF) + s.to_bytes(_HALF))}"

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token that this key signed. Says nothing of its dates or audience."""
        try:
            signed, _, signature_text = token.rpartition(".")
            header_text, _, claims_text = signed.partition(".")
            header = msgspec.json.decode(decode(header_text), type=dict[str, Any])
            signature = decode(signature_text)
            if header.get("alg") != "ES256" or header.get("kid") != self.key_id or len(signature) != 2 * _HALF:
                raise InvalidTokenError("the token was not signed by this cluster")
            pair = encode_dss_signature(int.from_bytes(signature[:_HALF]), int.from_bytes(signature[_HALF:]))
            self._public.verify(pair, signed.encode(), ec.ECDSA(hashes.SHA256()))
            claims: dict[str, Any] = msgspec.json.decode(decode(claims_text), type=dict[str, Any])
        except (ValueError, InvalidSignature, msgspec.DecodeError) as error:
            raise InvalidTokenError("the token is malformed or was altered") from error
        return claims

    def jwks(self) -> dict[str, Any]:
        numbers = self._public.public_numbers()
        key = {
            "use": "sig",
            "kty": "EC",
            "kid": self.key_id,
            "crv": "P-256",
            "alg": "ES256",
            "x": encode(numbers.x.to_bytes(_HALF)),
            "y": encode(numbers.y.to_bytes(_HALF)),
        }
        return {"keys": [key]}


def encode(data: bytes) -> str:
    """Base64 for URLs without padding, as JOSE has it."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))

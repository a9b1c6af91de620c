"""Who is asking: a client certificate of this instance's CA, or a bearer token. Nobody else gets in.

There is no anonymous user. The TLS layer verifies certificates during the handshake and keeps the parsed result with
the connection, so a request over a kept-alive connection costs a dictionary look-up.
"""

import logging
import ssl
from base64 import urlsafe_b64decode
from functools import lru_cache
from typing import Any

from aiohttp import web

from headstay.local.seams import User
from headstay.local.server.auth.pki import Pki
from headstay.local.server.auth.tokens import ServiceAccountTokens, TokenRefusedError
from headstay.model.errors import StatusError

AUTHENTICATED = "system:authenticated"
_WEBSOCKET_BEARER = "base64url.bearer.authorization.k8s.io."

_log = logging.getLogger(__name__)


def server_ssl_context(pki: Pki) -> ssl.SSLContext:
    """TLS for the API: our certificate, theirs optional but verified when sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pki.serving)
    context.load_verify_locations(pki.ca_certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


class Authenticator:
    def __init__(self, tokens: ServiceAccountTokens) -> None:
        self._tokens = tokens

    def authenticate(self, request: web.Request) -> User:
        """The user behind the request, before any impersonation. Raises 401 Unauthorized."""
        if (user := _certificate_user(request)) is not None:
            return user
        token = bearer_token(request)
        if token is None:
            raise unauthorized()
        try:
            return self._tokens.verify(token).user
        except TokenRefusedError as error:
            _log.info("refused a bearer token for %s: %s", request.path, error)
            raise unauthorized() from error


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def bearer_token(request: web.Request) -> str | None:
    """The token of the Authorization header, or of the WebSocket subprotocol that browsers must use instead."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    for header in request.headers.getall("Sec-WebSocket-Protocol", []):
        for protocol in header.split(","):
            if protocol.strip().startswith(_WEBSOCKET_BEARER):
                return _decoded(protocol.strip().removeprefix(_WEBSOCKET_BEARER))
    return None


def _decoded(text: str) -> str | None:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return None


def _certificate_user(request: web.Request) -> User | None:
    certificate: dict[str, Any] | None = request.get_extra_info("peercert")
    return _user_of_subject(certificate["subject"]) if certificate else None


@lru_cache(maxsize=256)
def _user_of_subject(subject: tuple[tuple[tuple[str, str], ...], ...]) -> User | None:
    """The subject as Python's ssl gives it: a tuple of relative names, each a tuple of (attribute, value)."""
    attributes = [attribute for relative in subject for attribute in relative]
    name = next((value for kind, value in attributes if kind == "commonName"), "")
    groups = tuple(value for kind, value in attributes if kind == "organizationName")
    return User(name, (*groups, AUTHENTICATED)) if name else None

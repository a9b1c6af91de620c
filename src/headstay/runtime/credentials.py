"""Who we are to an API server: tokens that are re-read when they rotate, and exec plugins.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
Only non-interactive plugins are run: an operator has nobody to ask.
"""

import asyncio
import base64
import binascii
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from headstay.model.objects import Obj
from headstay.model.timestamps import parse

EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


class CredentialsError(Exception):
    """No credentials could be had; the text says from where and what to do."""


class Credentials(NamedTuple):
    """`certificate` and `key` are PEM texts."""

    token: str = ""
    certificate: str = ""
    key: str = ""


class CredentialSource(Protocol):
    async def credentials(self, *, refresh: bool = False) -> Credentials:
        """What to log in with now. `refresh` after a 401: what was handed out before is no longer good."""
        ...


@dataclass(frozen=True)
class FixedCredentials:
    fixed: Credentials

    async def credentials(self, *, refresh: bool = False) -> Credentials:  # noqa: ARG002 nothing to refresh
        return self.fixed


class TokenFile:
    """A token in a file that somebody rotates (projected service-account tokens): read again every minute."""

    def __init__(self, path: Path, *, certificate: str = "", key: str = "", reread_after: float = 60.0) -> None:
        self._path = path
        self._certificate = certificate
        self._key = key
        self._reread_after = reread_after
        self._token = ""
        self._read_at = float("-inf")

    async def credentials(self, *, refresh: bool = False) -> Credentials:
        now = asyncio.get_running_loop().time()
        if refresh or now - self._read_at >= self._reread_after:
            self._token = self._read()
            self._read_at = now
        return Credentials(self._token, self._certificate, self._key)

    def _read(self) -> str:
        try:
            token = self._path.read_text().strip()
        except OSError as error:
            if self._token:
                return self._token  # between two versions of a projected volume; the old token is good for a while
            raise CredentialsError(f"cannot read the token file {self._path}: {error.strerror}") from error
        if not token:
            raise CredentialsError(f"the token file {self._path} is empty")
        return token


@dataclass(frozen=True)
class ExecSpec:
    """The `exec` section of a kubeconfig user."""

    command: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    api_version: str = EXEC_VERSIONS[0]
    install_hint: str = ""
    cluster: Obj | None = None
    """What `provideClusterInfo` hands to the plugin."""


class ExecPlugin:
    """Runs the plugin when there is nothing yet, at its expiry, and after a 401."""

    def __init__(
        self,
        spec: ExecSpec,
        *,
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        timeout: float = 60.0,
    ) -> None:
        self._spec = spec
        self._environ = environ
        self._now = now
        self._timeout = timeout
        self._held: Credentials | None = None
        self._expires: datetime | None = None
        self._running = asyncio.Lock()

    async def credentials(self, *, refresh: bool = False) -> Credentials:
        before = self._held
        async with self._running:
            if self._held is not None and self._held is not before:
                return self._held  # another call ran the plugin while this one waited
            if self._held is None or refresh or self._expired():
                self._held, self._expires = self._read_answer(await self._run())
            return self._held

    def _expired(self) -> bool:
        return self._expires is not None and self._now() >= self._expires - timedelta(seconds=10)

    async def _run(self) -> bytes:
        spec: dict[str, Any] = {"interactive": False}
        if self._spec.cluster is not None:
            spec["cluster"] = self._spec.cluster
        info = {"apiVersion": self._spec.api_version, "kind": "ExecCredential", "spec": spec}
        env = {**self._environ, **dict(self._spec.env), "KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode()}
        try:
            process = await asyncio.create_subprocess_exec(
                self._spec.command,
                *self._spec.args,
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            hint = f"; {self._spec.install_hint.strip()}" if self._spec.install_hint else ""
            raise CredentialsError(f"exec plugin {self._spec.command}: {error.strerror}{hint}") from error
        try:
            async with asyncio.timeout(self._timeout):
                output, complaint = await process.communicate()
        except TimeoutError as error:
            raise CredentialsError(f"exec plugin {self._spec.command}: no answer in {self._timeout:g} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            last_line = (complaint.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise CredentialsError(f"exec plugin {self._spec.command}: exit code {process.returncode}: {last_line}")
        return output

    def _read_answer(self, output: bytes) -> tuple[Credentials, datetime | None]:
        try:
            answer = msgspec.json.decode(output, type=_ExecCredential)
        except msgspec.DecodeError as error:  # the output holds secrets: it is not quoted
            raise CredentialsError(f"exec plugin {self._spec.command}: its output is no ExecCredential") from error
        if answer.api_version != self._spec.api_version:
            raise CredentialsError(
                f"exec plugin {self._spec.command}: answered in {answer.api_version}, not {self._spec.api_version}"
            )
        status = answer.status
        found = Credentials(status.token, status.client_certificate_data, status.client_key_data)
        if not found.token and not (found.certificate and found.key):
            raise CredentialsError(f"exec plugin {self._spec.command}: gave neither a token nor a certificate with key")
        expires = parse(status.expiration_timestamp) if status.expiration_timestamp else None
        return found, expires


class _ExecStatus(msgspec.Struct, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: str | None = None


class _ExecCredential(msgspec.Struct, rename="camel"):
    api_version: str
    status: _ExecStatus


def decode_base64(text: str, where: str) -> str:
    """The PEM text in a kubeconfig's `...-data` field. Raises CredentialsError naming the field."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise CredentialsError(f"{where} is not base64 of a PEM text") from error

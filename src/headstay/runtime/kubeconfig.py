"""Where the cluster is and how to log in: kubeconfig files, or the service account of the Pod we run in.

What a kubeconfig asks for and we do not do (basic auth, auth providers, interactive plugins) is refused by name.
Source: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from headstay.runtime.credentials import (
    EXEC_VERSIONS,
    Credentials,
    CredentialsError,
    CredentialSource,
    ExecPlugin,
    ExecSpec,
    FixedCredentials,
    TokenFile,
    decode_base64,
)

SERVICE_ACCOUNT_DIRECTORY = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_NO_CREDENTIALS = FixedCredentials(Credentials())


class ConfigError(Exception):
    """The configuration cannot be used; the text names the file, the entry and what is wrong with it."""


@dataclass(frozen=True)
class ClusterConfig:
    """`certificate_authority` is a PEM text; "" means the system's authorities."""

    server: str
    namespace: str = "default"
    certificate_authority: str = ""
    insecure_skip_tls_verify: bool = False
    server_name: str = ""
    credentials: CredentialSource = _NO_CREDENTIALS
    headers: Mapping[str, str] = field(default_factory=dict)
    context: str = ""


def in_cluster_config(
    environ: Mapping[str, str] = os.environ, directory: Path = SERVICE_ACCOUNT_DIRECTORY
) -> ClusterConfig:
    """The Pod's own service account. Raises ConfigError outside a cluster."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise ConfigError("not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    token = directory / "token"
    if not token.exists():
        raise ConfigError(f"no service account token at {token} (automountServiceAccountToken: false?)")
    namespace = directory / "namespace"
    address = f"[{host}]" if ":" in host else host
    return ClusterConfig(
        server=f"https://{address}:{port}",
        namespace=namespace.read_text().strip() if namespace.exists() else "default",
        certificate_authority=_read(directory / "ca.crt", "the service account's certificate authority"),
        credentials=TokenFile(token),
        context="in-cluster",
    )


def find_cluster_config(
    path: Path | None = None, context: str = "", environ: Mapping[str, str] = os.environ
) -> ClusterConfig:
    """An explicit kubeconfig or context first, then the Pod's service account, then the user's kubeconfig."""
    asked = path is not None or context or environ.get("KUBECONFIG")
    if not asked and environ.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster_config(environ)
    return load_kubeconfig(path, context, environ)


def load_kubeconfig(
    path: Path | None = None, context: str = "", environ: Mapping[str, str] = os.environ
) -> ClusterConfig:
    """The named context, or the current one, of `path`, else of $KUBECONFIG's files, else of ~/.kube/config."""
    files = _Files([path] if path is not None else _default_paths(environ))
    name = context or files.current_context
    if not name:
        raise ConfigError(f"{files}: no context is named and there is no current-context")
    chosen = files.find("context", name)
    cluster = files.find("cluster", str(chosen.content.get("cluster") or ""), named_by=f"context {name!r}")
    user_name = str(chosen.content.get("user") or "")
    user = files.find("user", user_name, named_by=f"context {name!r}") if user_name else _Entry({}, "user", "", Path())
    server = str(cluster.content.get("server") or "")
    if not server:
        raise ConfigError(f"{cluster}: server is missing")
    if cluster.content.get("proxy-url"):
        raise ConfigError(f"{cluster}: proxy-url is not supported")
    return ClusterConfig(
        server=server.rstrip("/"),
        namespace=str(chosen.content.get("namespace") or "default"),
        certificate_authority=cluster.pem("certificate-authority"),
        insecure_skip_tls_verify=bool(cluster.content.get("insecure-skip-tls-verify")),
        server_name=str(cluster.content.get("tls-server-name") or ""),
        credentials=_credentials(user, cluster),
        headers=_impersonation(user.content),
        context=name,
    )


@dataclass(frozen=True)
class _Entry:
    content: Mapping[str, Any]
    kind: str
    name: str
    file: Path

    def __str__(self) -> str:
        return f"{self.file}: {self.kind} {self.name!r}"

    def path(self, value: str) -> Path:
        """Relative paths count from the file that names them."""
        return self.file.parent / Path(value).expanduser()

    def pem(self, key: str) -> str:
        """`<key>-data` if it is there (it wins, as in client-go), else the file that `<key>` names, else ""."""
        if data := self.content.get(f"{key}-data"):
            try:
                return decode_base64(str(data), f"{key}-data")
            except CredentialsError as error:
                raise ConfigError(f"{self}: {error}") from error
        if value := self.content.get(key):
            return _read(self.path(str(value)), f"{self}: {key}")
        return ""


class _Files:
    """Several kubeconfigs as one: for every name, and for current-context, the first file that has it wins."""

    def __init__(self, paths: list[Path]) -> None:
        self._documents: list[tuple[Path, Mapping[str, Any]]] = []
        for path in paths:
            if path.exists() or len(paths) == 1:
                self._documents.append((path, _load(path)))
        self._paths = paths
        if not self._documents:
            raise ConfigError(f"{self}: no such file")

    def __str__(self) -> str:
        return os.pathsep.join(map(str, self._paths))

    @property
    def current_context(self) -> str:
        return next((str(doc["current-context"]) for _, doc in self._documents if doc.get("current-context")), "")

    def find(self, kind: str, name: str, *, named_by: str = "") -> _Entry:
        known: list[str] = []
        for path, document in self._documents:
            for entry in document.get(f"{kind}s") or []:
                if entry.get("name") == name:
                    return _Entry(entry.get(kind) or {}, kind, name, path)
                known.append(str(entry.get("name")))
        because = f" (named by {named_by})" if named_by else ""
        choice = f"it has {', '.join(known)}" if known else "it has none"
        raise ConfigError(f"{self}: no {kind} {name!r}{because}; {choice}")


def _default_paths(environ: Mapping[str, str]) -> list[Path]:
    if listed := environ.get("KUBECONFIG"):
        return [Path(part).expanduser() for part in listed.split(os.pathsep) if part]
    return [Path(environ.get("HOME") or "~").expanduser() / ".kube" / "config"]


def _load(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(_read(path, "kubeconfig"))
    except yaml.YAMLError as error:
        problem = getattr(error, "problem_mark", None)
        where = f" at line {problem.line + 1}" if problem else ""
        raise ConfigError(f"{path}: not YAML{where}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: not a kubeconfig")
    return document


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise ConfigError(f"{what}: cannot read {path}: {error.strerror}") from error


def _credentials(user: _Entry, cluster: _Entry) -> CredentialSource:
    content = user.content
    for refused, instead in (
        ("auth-provider", "use an exec plugin"),
        ("username", "basic authentication is gone since Kubernetes 1.19"),
    ):
        if content.get(refused):
            raise ConfigError(f"{user}: {refused} is not supported; {instead}")
    certificate, key = user.pem("client-certificate"), user.pem("client-key")
    if bool(certificate) != bool(key):
        raise ConfigError(f"{user}: client-certificate and client-key need each other")
    if path := content.get("tokenFile"):  # wins over `token`, as in client-go
        return TokenFile(user.path(str(path)), certificate=certificate, key=key)
    token = str(content.get("token") or "")
    if token or certificate:
        return FixedCredentials(Credentials(token, certificate, key))
    if content.get("exec"):
        return ExecPlugin(_exec_spec(user, cluster))
    return _NO_CREDENTIALS


def _exec_spec(user: _Entry, cluster: _Entry) -> ExecSpec:
    section = user.content["exec"]
    command, version = str(section.get("command") or ""), str(section.get("apiVersion") or "")
    if not command:
        raise ConfigError(f"{user}: exec.command is missing")
    if version not in EXEC_VERSIONS:
        raise ConfigError(f"{user}: exec.apiVersion {version!r} is not supported ({', '.join(EXEC_VERSIONS)})")
    if section.get("interactiveMode") == "Always":
        raise ConfigError(f"{user}: exec.interactiveMode Always is not supported: there is nobody to ask")
    if os.sep in command:
        command = str(user.path(command))
    info = None
    if section.get("provideClusterInfo"):
        info = {
            "server": cluster.content.get("server"),
            "tls-server-name": cluster.content.get("tls-server-name"),
            "insecure-skip-tls-verify": cluster.content.get("insecure-skip-tls-verify"),
            "certificate-authority-data": cluster.content.get("certificate-authority-data"),
        }
        info = {name: value for name, value in info.items() if value}
    return ExecSpec(
        command=command,
        args=tuple(map(str, section.get("args") or [])),
        env=tuple((str(item["name"]), str(item["value"])) for item in section.get("env") or []),
        api_version=version,
        install_hint=str(section.get("installHint") or ""),
        cluster=info,
    )


def _impersonation(user: Mapping[str, Any]) -> dict[str, str]:
    for refused in ("as-groups", "as-uid", "as-user-extra"):
        if user.get(refused):
            raise ConfigError(f"impersonation by {refused} is not supported; `as` alone is")
    return {"Impersonate-User": str(user["as"])} if user.get("as") else {}

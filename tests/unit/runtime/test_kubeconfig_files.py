import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from headstay.model.objects import Obj
from headstay.runtime.credentials import Credentials, ExecPlugin, FixedCredentials, TokenFile
from headstay.runtime.kubeconfig import (
    ClusterConfig,
    ConfigError,
    find_cluster_config,
    in_cluster_config,
    load_kubeconfig,
)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def config(user: Obj | None = None, cluster: Obj | None = None, **changes: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6445/"} | (cluster or {})}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
            {"name": "there", "context": {"cluster": "missing", "user": "u"}},
        ],
    } | changes


def write(path: Path, document: Obj) -> Path:
    path.write_text(yaml.safe_dump(document))
    return path


def loaded(tmp_path: Path, document: Obj, context: str = "") -> ClusterConfig:
    return load_kubeconfig(write(tmp_path / "config", document), context)


async def credentials(found: ClusterConfig) -> Credentials:
    return await found.credentials.credentials()


async def test_embedded_certificates_and_the_namespace_of_the_current_context(tmp_path: Path) -> None:
    user = {"client-certificate-data": encoded("CERT"), "client-key-data": encoded("KEY")}
    found = loaded(tmp_path, config(user, {"certificate-authority-data": encoded("CA"), "tls-server-name": "api"}))
    assert (found.server, found.namespace, found.context) == ("https://127.0.0.1:6445", "team", "here")
    assert (found.certificate_authority, found.server_name) == ("CA", "api")
    assert await credentials(found) == Credentials("", "CERT", "KEY")


async def test_files_are_found_from_the_directory_of_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("CA")
    (tmp_path / "token").write_text("secret\n")
    found = loaded(tmp_path, config({"tokenFile": "token"}, {"certificate-authority": "ca.pem"}))
    assert found.certificate_authority == "CA"
    assert isinstance(found.credentials, TokenFile)
    assert (await credentials(found)).token == "secret"


async def test_a_token_in_the_file_itself(tmp_path: Path) -> None:
    found = loaded(tmp_path, config({"token": "abc"}))
    assert isinstance(found.credentials, FixedCredentials)
    assert (await credentials(found)).token == "abc"


def test_an_exec_plugin_is_read_with_its_arguments(tmp_path: Path) -> None:
    section = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./login",
        "args": ["--now"],
        "env": [{"name": "A", "value": "b"}],
        "interactiveMode": "Never",
        "provideClusterInfo": True,
    }
    found = loaded(tmp_path, config({"exec": section})).credentials
    assert isinstance(found, ExecPlugin)
    spec = found._spec
    assert (spec.command, spec.args, spec.env) == (str(tmp_path / "login"), ("--now",), (("A", "b"),))
    assert spec.cluster == {"server": "https://127.0.0.1:6445/"}


@pytest.mark.parametrize(
    ("user", "cluster", "message"),
    [
        ({"username": "me", "password": "x"}, {}, "user 'u': username is not supported; basic authentication is gone"),
        ({"auth-provider": {"name": "gcp"}}, {}, "auth-provider is not supported; use an exec plugin"),
        ({"client-certificate-data": encoded("C")}, {}, "client-certificate and client-key need each other"),
        ({"client-certificate-data": "%%", "client-key-data": "%%"}, {}, "client-certificate-data is not base64"),
        ({"client-certificate": "no.pem", "client-key": "no.pem"}, {}, "cannot read .*no.pem: No such file"),
        (
            {"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1alpha1"}},
            {},
            "v1alpha1' is not supp",
        ),
        ({"exec": {"apiVersion": "client.authentication.k8s.io/v1"}}, {}, "exec.command is missing"),
        (
            {"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Always"}},
            {},
            "interactiveMode Always is not supported",
        ),
        ({"as-groups": ["x"]}, {}, "impersonation by as-groups is not supported"),
        ({}, {"server": ""}, "cluster 'c': server is missing"),
        ({}, {"proxy-url": "http://proxy"}, "proxy-url is not supported"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, user: Obj, cluster: Obj, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loaded(tmp_path, config(user, cluster))


def test_a_missing_context_lists_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no context 'nowhere'; it has here, there"):
        loaded(tmp_path, config(), "nowhere")


def test_a_missing_cluster_says_who_named_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no cluster 'missing' \(named by context 'there'\); it has c"):
        loaded(tmp_path, config(), "there")


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "not YAML at line"), ("- a\n", "not a kubeconfig"), ("", "there is no current-context")],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"{path}.*{message}"):
        load_kubeconfig(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*nothing: No such file"):
        load_kubeconfig(tmp_path / "nothing")


def test_of_several_files_the_first_that_has_a_name_wins(tmp_path: Path) -> None:
    one = write(tmp_path / "one", config(None, {"server": "https://one"}, **{"current-context": ""}))
    other = write(tmp_path / "other", config(None, {"server": "https://other"}))
    found = load_kubeconfig(environ={"KUBECONFIG": f"{tmp_path / 'absent'}:{one}:{other}"})
    assert (found.server, found.context) == ("https://one", "here")


def test_impersonation_is_a_header(tmp_path: Path) -> None:
    assert loaded(tmp_path, config({"token": "x", "as": "jane"})).headers == {"Impersonate-User": "jane"}


def service_account(directory: Path) -> Path:
    (directory / "token").write_text("projected")
    (directory / "ca.crt").write_text("CA")
    (directory / "namespace").write_text("ray-system\n")
    return directory


INSIDE = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


async def test_in_a_cluster_the_pod_s_own_service_account_is_used(tmp_path: Path) -> None:
    found = in_cluster_config(INSIDE, service_account(tmp_path))
    assert (found.server, found.namespace, found.certificate_authority) == ("https://10.96.0.1:443", "ray-system", "CA")
    assert (await credentials(found)).token == "projected"
    six = in_cluster_config(INSIDE | {"KUBERNETES_SERVICE_HOST": "fd00::1"}, tmp_path)
    assert six.server == "https://[fd00::1]:443"


def test_outside_a_cluster_and_without_a_token_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not in a cluster"):
        in_cluster_config({})
    with pytest.raises(ConfigError, match="no service account token"):
        in_cluster_config(INSIDE, tmp_path)


def test_what_is_asked_for_goes_before_what_is_around(tmp_path: Path) -> None:
    path = write(tmp_path / "config", config())
    assert find_cluster_config(path, environ=INSIDE).context == "here"
    assert find_cluster_config(environ=INSIDE | {"KUBECONFIG": str(path)}).context == "here"
    (tmp_path / ".kube").mkdir()
    write(tmp_path / ".kube" / "config", config())
    assert find_cluster_config(environ={"HOME": str(tmp_path)}).context == "here"


async def test_a_token_file_that_is_being_replaced_keeps_the_last_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one")
    source = TokenFile(path)
    assert (await source.credentials()).token == "one"
    path.unlink()
    assert (await source.credentials(refresh=True)).token == "one"

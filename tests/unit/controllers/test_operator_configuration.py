"""`--config`: what the operator makes of KubeRay's configuration file, and what it says of one that it cannot use."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstay.controllers.configuration import (
    Configuration,
    ConfigurationError,
    Reading,
    parse_configuration,
    read_configuration,
)
from headstay.controllers.main import main
from headstay.plan.raycluster.settings import Settings

HEADER = "apiVersion: config.ray.io/v1alpha1\nkind: Configuration\n"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """`main` takes the root logger over; here it is shared with every other test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level


def parse(text: str) -> Reading:
    return parse_configuration(HEADER + text)


def test_a_file_that_says_nothing_changes_nothing() -> None:
    assert parse("") == Reading()
    assert parse("workerSidecarContainers:\ndefaultPodLabels:\n") == Reading()
    assert Configuration().flags() == {}
    assert Configuration().on(Settings()) == Settings()


def test_what_it_says_of_pods_becomes_settings() -> None:
    found = parse(
        """
defaultContainerEnvs: [{name: A, value: "1"}, {name: B, valueFrom: {secretKeyRef: {name: s, key: k}}}]
headSidecarContainers: [{name: logs, image: "logs:1"}]
workerSidecarContainers: [{name: logs, image: "logs:2"}]
defaultPodAnnotations: {prometheus.io/scrape: "true"}
defaultPodLabels: {team: ml}
"""
    )
    settings = found.configuration.on(Settings(cluster_domain="corp"))
    assert settings == Settings(
        cluster_domain="corp",
        container_envs=(
            {"name": "A", "value": "1"},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ),
        head_sidecars=({"name": "logs", "image": "logs:1"},),
        worker_sidecars=({"name": "logs", "image": "logs:2"},),
        pod_annotations={"prometheus.io/scrape": "true"},
        pod_labels={"team": "ml"},
    )


def test_what_it_says_of_flags_wins_over_them() -> None:
    found = parse(
        """
metricsAddr: ":9090"
enableLeaderElection: false
leaderElectionNamespace: here
watchNamespace: a,b
reconcileConcurrency: 7
logStdoutEncoder: console
"""
    )
    assert found.configuration.flags() == {
        "metrics_address": ":9090",
        "leader_election": False,
        "leader_election_namespace": "here",
        "watch_namespace": "a,b",
        "reconcile_concurrency": 7,
        "log_format": "text",
    }
    assert parse('metricsAddr: "0"').configuration.flags() == {"metrics_address": ""}


def test_what_means_nothing_here_is_accepted_and_named() -> None:
    found = parse(
        "probeAddr: ':8082'\nqps: 100\nreconcileConcurrency: 1\nenableMetrics: true\nnodeEventForwarder: {}\n"
    )
    assert found.without_effect == ("probeAddr", "qps", "enableMetrics", "nodeEventForwarder")
    assert found.configuration.reconcile_concurrency == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reconcileConcurrency: true", "reconcileConcurrency: Expected int, got bool"),
        ("reconcileConcurrency: -1", "reconcileConcurrency: Expected int >= 0"),
        ("defaultPodLabels: {team: 1}", "defaultPodLabels: Expected str, got int"),
        ("defaultContainerEnvs: {A: b}", "defaultContainerEnvs: Expected array, got object"),
        ("defaultContainerEnvs: [{name: A, value: 1}]", "defaultContainerEnvs[0].value must be a text"),
        ("defaultContainerEnvs: [{value: a}]", "defaultContainerEnvs[0].name is missing"),
        (
            "defaultContainerEnvs: [{name: A}, {name: RAY_external_storage_namespace, value: a}]",
            "defaultContainerEnvs[1].name is RAY_external_storage_namespace: clusters that share it destroy",
        ),
        ("headSidecarContainers: [{name: logs}]", "headSidecarContainers[0].image is missing"),
        ("headSidecarContainers: [{image: 'logs:1'}]", "headSidecarContainers[0].name is missing"),
        ("headSidecarContainers: [{name: a, image: a, args: b}]", "headSidecarContainers[0].args must be a list"),
        (
            "workerSidecarContainers: [{name: a, image: a}, {name: a, image: b}]",
            "workerSidecarContainers[1].name is 'a' a second time",
        ),
        ("defaultPodLabels: {ray.io/node-type: head}", "defaultPodLabels[ray.io/node-type] is the operator's own"),
        ("defaultPodAnnotations: {ray.io/overwrite-container-cmd: 'true'}", "defaultPodAnnotations[ray.io/overwrite"),
        ("defaultPodAnnotations: {headstay.io/keeper-port: '1'}", "defaultPodAnnotations[headstay.io/keeper-port] is"),
        ("metricsAddr: here", "metricsAddr is 'here': use HOST:PORT or :PORT"),
        ("logStdoutEncoder: xml", "logStdoutEncoder is 'xml': use json or console"),
        ("batchScheduler: volcano", "batchScheduler: Headstay has no gang scheduling; remove the field"),
        ("enableBatchScheduler: true", "enableBatchScheduler: Headstay has no gang scheduling; remove the field"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(text)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "begin with apiVersion: config.ray.io/v1alpha1 and kind: Configuration"),
        ("kind: Configuration", "apiVersion is None: use config.ray.io/v1alpha1"),
        ("apiVersion: config.ray.io/v1alpha1\nkind: Config", "kind is 'Config': use Configuration"),
        ("a: [", "not YAML at line 1"),
        ("a: 2024-13-45", "put the value in quotes"),
    ],
)
def test_a_file_of_something_else_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_configuration(text)
    assert said in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--config: cannot read .*nothing\.yaml: No such file"):
        read_configuration(tmp_path / "nothing.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="not text in UTF-8"):
        read_configuration(tmp_path / "binary")


def test_the_operator_ends_with_2_where_its_file_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"{HEADER}reconcileConcurrency: many\n")
    assert main(["--config", str(path)], {}) == 2
    assert f"{path}: reconcileConcurrency: Expected int, got str" in capsys.readouterr().err


def test_the_operator_follows_its_file_and_tells_what_it_does_not_follow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"{HEADER}burst: 200\nlogStdoutEncoder: json\n")
    assert main(["--config", str(path), "--log-format", "text", "--kubeconfig", "/nowhere/kubeconfig"], {}) == 1
    said = capsys.readouterr().err
    assert said.count("without effect here: burst") == 1
    assert said.startswith('{"time"')

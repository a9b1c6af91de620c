"""What is installed, and what it may do."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from headstay import __version__
from headstay.controllers import manifests
from headstay.controllers.main import main
from headstay.controllers.merge_patch import merge_patch
from headstay.model.objects import Obj
from headstay.plan.raycluster.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """`main` takes the root logger over; here it is shared with every other test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level


def rules(rendering: manifests.Rendering) -> list[Obj]:
    found = [rule for _, obj in manifests.permissions("default", rendering) for rule in obj.get("rules", [])]
    assert found
    return found


def test_no_permission_reaches_secrets_or_everything() -> None:
    for rule in rules("default"):
        names = {*rule["resources"], *rule["apiGroups"], *rule["verbs"]}
        assert not {"*", "secrets", "pods/exec", "escalate", "bind", "impersonate"} & names


def test_redis_access_adds_reading_objects_by_name_and_nothing_else() -> None:
    added = [rule for rule in rules("up") if rule not in rules("default")]
    assert added == [{"apiGroups": [""], "resources": [kind], "verbs": ["get"]} for kind in ("secrets", "configmaps")]


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((ROOT / "charts" / "headstay" / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    (deployment,) = (obj for _, obj in manifests.rendered("spot", "up") if obj["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == manifests.IMAGE
    environ = {entry["name"]: entry.get("value", "") for entry in container["env"]}
    assert environ["HEADSTAY_REDIS_ACCESS"] == "true"
    assert Settings.from_environment(environ).redis_cleanup


def test_the_lease_that_may_be_renewed_is_the_one_that_is_used() -> None:
    names = [
        name for rule in rules("default") if "leases" in rule["resources"] for name in rule.get("resourceNames", [])
    ]
    assert manifests.LEASE in names


def test_objects_come_in_an_order_that_can_be_applied() -> None:
    kinds = [obj["kind"] for _, obj in manifests.operator("default")]
    assert kinds[:3] == ["CustomResourceDefinition"] * 3
    assert kinds[-1] == "Deployment"
    for resource, obj in manifests.operator("spot"):
        assert (resource.kind, resource.api_version) == (obj["kind"], obj["apiVersion"])
        assert obj["metadata"].get("namespace") == ("spot" if resource.namespaced else None)


def test_bindings_name_the_account_the_deployment_runs_as() -> None:
    objects = {(obj["kind"], obj["metadata"]["name"]): obj for _, obj in manifests.operator("spot")}
    account = objects["Deployment", manifests.DEPLOYMENT]["spec"]["template"]["spec"]["serviceAccountName"]
    for kind, name in (("ClusterRoleBinding", manifests.DEPLOYMENT), ("RoleBinding", manifests.LEASE)):
        assert objects[kind, name]["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "spot"}]


def test_settings_come_from_kuberay_s_variables() -> None:
    assert Settings.from_environment({}) == Settings()
    chosen = Settings.from_environment(
        {
            "ENABLE_GCS_FT_REDIS_CLEANUP": "False",
            "GCS_FT_REDIS_CLEANUP_MODE": "Mandatory",
            "CLUSTER_DOMAIN": "corp",
            "ENABLE_LOGIN_SHELL": "true",
            "RAYCLUSTER_DEFAULT_REQUEUE_SECONDS_ENV": "60",
        }
    )
    assert (chosen.redis_cleanup, chosen.cleanup_mode, chosen.cluster_domain) == (False, "Mandatory", "corp")
    assert (chosen.login_shell, chosen.resync_seconds) == (True, 60)


@pytest.mark.parametrize(
    "wrong", [{"GCS_FT_REDIS_CLEANUP_MODE": "Sometimes"}, {"RAYCLUSTER_DEFAULT_REQUEUE_SECONDS_ENV": "soon"}]
)
def test_a_setting_that_cannot_be_used_is_refused_by_name(wrong: dict[str, str]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        Settings.from_environment(wrong)


def test_an_operator_without_a_cluster_says_so_and_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--kubeconfig", "/nowhere/kubeconfig"], {}) == 1
    assert "/nowhere/kubeconfig" in capsys.readouterr().err


def test_wrong_usage_exits_with_2() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--no-such-flag"], {})


def test_a_merge_patch_says_only_what_changed() -> None:
    old = {"a": 1, "b": {"c": 1, "d": 2}, "e": [1], "f": None}
    assert merge_patch(old, old) == {}
    assert merge_patch(old, {"a": 1, "b": {"c": 3}, "e": [2], "f": None, "g": 0}) == {
        "b": {"c": 3, "d": None},
        "e": [2],
        "g": 0,
    }

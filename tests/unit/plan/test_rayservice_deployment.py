"""What Serve is told to run, where, and what it is told again."""

import pytest
from tests.unit.plan.rayservices import (
    CONFIG,
    actions,
    deployed,
    made_for,
    observed,
    plan,
    pods_of,
    seen,
    service,
)

from headstay.model.objects import Obj
from headstay.plan.rayservice.deployment import remembered
from headstay.plan.rayservice.generations import DEPLOYED, DEPLOYED_CONFIG
from headstay.plan.rayservice.plan import DeployServe, Names, Seen
from headstay.plan.rayservice.serve_config import serve_config, serve_config_hash

HASH = serve_config_hash(serve_config(CONFIG))
NEW_CONFIG = CONFIG.replace("fruit", "veg")


def test_a_configuration_goes_to_the_pending_cluster_and_else_to_the_active_one() -> None:
    owner = service(active="svc-old", pending="svc-new")
    old, new = made_for(owner, "svc-old"), made_for(owner, "svc-new")
    found = observed(owner, seen(new, status=""), seen(old), points_at="svc-old")
    assert [action.cluster.name for action in actions(plan(found), DeployServe)] == ["svc-new"]
    found = observed(service(active="svc-old"), seen(old), points_at="svc-old")
    (deploy,) = actions(plan(found), DeployServe)
    assert (deploy.cluster.name, deploy.config, deploy.hash) == ("svc-old", serve_config(CONFIG), HASH)


@pytest.mark.parametrize(
    ("what", "more", "sent"),
    [
        ("Serve runs nothing: it lost its memory", {"status": ""}, 1),
        ("it was accepted and runs", {}, 0),
        ("it was taken moments ago and is not listed yet", {"status": "", "just_deployed": HASH}, 0),
        ("the dashboard gives no answer", {"applications": None}, 0),
        ("the head is not Ready", {"status": "", "pods": pods_of("svc-old", head_ready=False)}, 0),
        ("Serve refused this very configuration", {"status": "", "refusal": "no module fruit", "refused": HASH}, 0),
        ("Serve refused another one", {"status": "", "refusal": "no module veg", "refused": "other"}, 1),
    ],
)
def test_a_configuration_is_sent_again_only_where_serve_lost_it(what: str, more: Obj, sent: int) -> None:
    owner = service(active="svc-old")
    made = plan(observed(owner, seen(deployed(owner, "svc-old"), **more), points_at="svc-old"))
    assert len(actions(made, DeployServe)) == sent, what


def test_a_changed_configuration_is_sent_and_makes_no_new_cluster() -> None:
    owner = service(active="svc-old", serveConfigV2=CONFIG.replace("fruit", "veg"))
    made = plan(observed(owner, seen(deployed(owner, "svc-old")), points_at="svc-old"))
    assert (made.names, len(actions(made, DeployServe))) == (Names("svc-old"), 1)


def test_a_configuration_without_applications_is_not_sent_for_ever() -> None:
    owner = service(active="svc-old", serveConfigV2="applications: []")
    cluster = made_for(owner, "svc-old")
    cluster.annotations[DEPLOYED] = serve_config_hash({"applications": []})
    assert actions(plan(observed(owner, seen(cluster, status=""), points_at="svc-old")), DeployServe) == []


def sent_while_upgrading(old: Seen) -> list[tuple[str, Obj]]:
    """A new image and a new configuration at once, and the new cluster is not ready."""
    owner = service(active="svc-old", pending="svc-new", serveConfigV2=NEW_CONFIG)
    pending = seen(made_for(owner, "svc-new"), pods=pods_of("svc-new", head_ready=False), applications=None)
    made = plan(observed(owner, old, pending, points_at="svc-old"))
    return [(action.cluster.name, action.config) for action in actions(made, DeployServe)]


def test_an_active_cluster_that_lost_its_applications_gets_back_what_it_had_however_long_an_upgrade_takes() -> None:
    cluster = deployed(service(), "svc-old")
    assert sent_while_upgrading(seen(cluster)) == []
    assert sent_while_upgrading(seen(cluster, status="")) == [("svc-old", serve_config(CONFIG))]


@pytest.mark.parametrize(
    ("what", "more"),
    [
        ("it took it moments ago", {"just_deployed": HASH}),
        ("it has just refused it", {"refused": HASH, "refusal": "no module fruit"}),
        ("its dashboard gives no answer", {"applications": None}),
        ("its head is not Ready", {"pods": pods_of("svc-old", head_ready=False)}),
    ],
)
def test_it_gets_nothing_back_while_that_would_not_help(what: str, more: Obj) -> None:
    assert sent_while_upgrading(seen(deployed(service(), "svc-old"), **({"status": ""} | more))) == [], what


@pytest.mark.parametrize("kept", ["", "{", "[]", '{"applications": []}', None])
def test_where_nobody_knows_what_it_had_it_gets_what_is_wanted_now(kept: str | None) -> None:
    cluster = deployed(service(), "svc-old")
    if kept is None:
        del cluster.annotations[DEPLOYED_CONFIG]
    else:
        cluster.annotations[DEPLOYED_CONFIG] = kept
    assert sent_while_upgrading(seen(cluster, status="")) == [("svc-old", serve_config(NEW_CONFIG))]


def test_a_new_configuration_waits_for_its_new_cluster_even_before_that_is_made() -> None:
    owner = service(active="svc-old", serveConfigV2=NEW_CONFIG)
    old = deployed(service(), "svc-old")
    old.annotations["ray.io/hash-without-replicas-and-workers-to-delete"] = "of another image"
    made = plan(observed(owner, seen(old), points_at="svc-old"))
    assert (made.names, actions(made, DeployServe)) == (Names("svc-old", "svc-fresh"), [])
    owner = service(active="svc-old", pending="svc-fresh", serveConfigV2=NEW_CONFIG)
    assert actions(plan(observed(owner, seen(old), points_at="svc-old")), DeployServe) == []


def test_the_cluster_with_the_traffic_is_told_first() -> None:
    owner = service(active="svc-old", pending="svc-new")
    new = seen(made_for(owner, "svc-new"), status="")
    made = plan(observed(owner, new, seen(deployed(owner, "svc-old"), status=""), points_at="svc-old"))
    assert [action.cluster.name for action in actions(made, DeployServe)] == ["svc-old", "svc-new"]


def test_a_configuration_is_remembered_where_the_annotations_have_room_for_it() -> None:
    cluster, config = made_for(service(), "svc-old"), serve_config(CONFIG)
    assert serve_config(remembered(cluster, config) or "") == config
    assert remembered(cluster, {"applications": [{"name": "x" * (128 << 10)}]}) is None
    cluster.annotations["mine"] = "x" * (128 << 10)
    assert remembered(cluster, config) is None


def test_a_configuration_with_numbers_for_keys_is_known_again() -> None:
    """YAML sorts them as numbers, JSON as texts."""
    labels = "".join(f"      {number}: label\n" for number in range(11))
    old = f"applications:\n- name: app\n  import_path: fruit:app\n  args:\n    labels:\n{labels}"
    owner = service(active="svc-old", pending="svc-new", serveConfigV2=NEW_CONFIG)
    active, pending = seen(deployed(owner, "svc-old", old), status=""), seen(made_for(owner, "svc-new"), status="")
    back, _ = actions(plan(observed(owner, active, pending, points_at="svc-old")), DeployServe)
    assert back.config == serve_config(old)

"""What an image reference stands for."""

from pathlib import Path

import pytest

from headstay.local.node import imagemap
from headstay.local.node.imagemap import ImageMap, ImageMapError
from headstay.local.node.pythons import parse_version
from headstay.local.node.rootfs import host_mounts, make_root
from headstay.local.node.starting import pull_policy, registry_auths


@pytest.fixture(scope="module")
def shipped() -> ImageMap:
    return imagemap.load(Path("/nonexistent/images.yaml"))


@pytest.mark.parametrize(
    ("reference", "requirement", "python"),
    [
        ("rayproject/ray:2.60.0", "ray[default,serve]==2.60.0", ""),
        ("rayproject/ray:2.9.0-py310", "ray[default,serve]==2.9.0", "310"),
        ("rayproject/ray:2.9.0-py310-cpu-aarch64", "ray[default,serve]==2.9.0", "310"),
        ("rayproject/ray:2.46.0-gpu", "ray[default,serve]==2.46.0", ""),
        ("mirror.example.com:5000/rayproject/ray:2.46.0", "ray[default,serve]==2.46.0", ""),
        ("rayproject/ray:2.46.0@sha256:0123", "ray[default,serve]==2.46.0", ""),
    ],
)
def test_a_ray_image_names_its_ray_and_its_python(
    shipped: ImageMap, reference: str, requirement: str, python: str
) -> None:
    entry = shipped.find(reference)
    assert entry is not None
    assert entry.environment is not None
    assert entry.environment.requirements == (requirement,)
    assert entry.environment.python.replace("{python}", "") == python
    assert (entry.user.name, entry.user.uid, entry.user.gid, entry.user.home) == ("ray", 1000, 100, "/home/ray")


def test_redis_says_which_version_was_asked_for(shipped: ImageMap) -> None:
    for reference in ("redis:7.4", "docker.io/library/redis:7.4", "redis:7.4.2-alpine"):
        entry = shipped.find(reference)
        assert entry is not None
        assert entry.host is not None
        assert entry.host.version is not None
        assert entry.host.version.asked.startswith("7.4")
        assert entry.command == ("redis-server",)


def test_what_is_not_mapped_is_not_found(shipped: ImageMap) -> None:
    for reference in ("nginx:1.27", "rayproject/ray:nightly", "example.com/redisx:1", "rayproject/ray"):
        assert shipped.find(reference) is None


def test_a_reference_is_completed_as_a_registry_client_wants_it(shipped: ImageMap) -> None:
    assert shipped.qualified("redis") == f"{shipped.registry.default}/library/redis:latest"
    assert shipped.qualified("a/b:1") == f"{shipped.registry.default}/a/b:1"
    assert shipped.qualified("localhost/a:1") == "localhost/a:1"


def test_the_user_s_own_entries_come_first(tmp_path: Path) -> None:
    own = tmp_path / "images.yaml"
    own.write_text("images:\n  - match: redis:*\n    pull: true\nregistry: {pull: false}\n")
    images = imagemap.load(own)
    entry = images.find("redis:7")
    assert entry is not None
    assert entry.kind == "pull"
    assert images.registry.pull is False
    assert images.find("rayproject/ray:2.60.0") is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("images:\n  - match: a\n    hots: {}\n", "hots"),
        ("images:\n  - match: a\n", "exactly one of"),
        ("images: [", "images.yaml"),
    ],
)
def test_a_mistake_in_the_map_is_named_with_its_file(tmp_path: Path, text: str, words: str) -> None:
    own = tmp_path / "images.yaml"
    own.write_text(text)
    with pytest.raises(ImageMapError, match=words):
        imagemap.load(own)


@pytest.mark.parametrize(
    ("text", "version"), [("310", (3, 10)), ("3.10", (3, 10)), ("3.10.4", (3, 10)), ("39", (3, 9)), ("x", None)]
)
def test_python_versions_in_all_their_spellings(text: str, version: tuple[int, int] | None) -> None:
    assert parse_version(text) == version


def test_the_pull_policy_follows_the_tag_where_nothing_is_said() -> None:
    assert pull_policy({"image": "redis:7"}) == "IfNotPresent"
    assert pull_policy({"image": "redis"}) == pull_policy({"image": "host:5000/redis:latest"}) == "Always"
    assert pull_policy({"image": "redis@sha256:00"}) == "IfNotPresent"
    assert pull_policy({"image": "redis", "imagePullPolicy": "Never"}) == "Never"


def test_a_root_is_made_once_and_holds_only_files_of_its_own(tmp_path: Path) -> None:
    user = imagemap.ImageUser("ray", 1000, 100, "users", "/home/ray")
    root = make_root(tmp_path, user, {})
    assert make_root(tmp_path, user, {}) == root
    assert "ray:x:1000:100" in (root / "etc/passwd").read_text()
    assert sorted(path.name for path in (root / "root").iterdir()) == []
    assert not (root / "etc/shadow").exists()
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert [path.name for path in tmp_path.iterdir()] == [root.name]


def test_the_allow_list_never_holds_a_directory_with_secrets() -> None:
    targets = {mount.target for mount in host_mounts()}
    assert "/usr" in targets
    assert not targets & {"/etc", "/etc/ssl", "/etc/ssh", "/var", "/root", "/home", "/run", "/"}


def test_pull_secrets_are_read_in_both_forms_and_what_is_no_json_is_left_out() -> None:
    auths = {"r.example.com": {"auth": "eA=="}}
    assert registry_auths({".dockerconfigjson": b'{"auths": {"r.example.com": {"auth": "eA=="}}}'}) == auths
    assert registry_auths({".dockercfg": b'{"r.example.com": {"auth": "eA=="}}'}) == auths
    assert registry_auths({".dockerconfigjson": b"broken"}) == registry_auths({}) == {}

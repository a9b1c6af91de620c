"""Volumes' files, logs, resolv.conf and hosts: what Pods read."""

import io
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from headstay.local.node import atomicdir, logs, sandbox
from headstay.local.node.atomicdir import File
from headstay.local.node.environ import ConfigError
from headstay.local.node.logs import Selection
from headstay.local.node.podspec import PodDocument
from headstay.local.node.volumes import VolumeError, host_path, sub_path
from headstay.model.meta import ObjectMeta

DNS = IPv4Address("10.77.0.1")


def pod(**spec: Any) -> PodDocument:
    return PodDocument(ObjectMeta(name="p", namespace="n", uid="u"), spec)


def test_a_volume_changes_all_at_once_and_drops_what_is_gone(tmp_path: Path) -> None:
    assert atomicdir.write(tmp_path, {"a": File(b"1", 0o644), "sub/b": File(b"2", 0o600)})
    before = (tmp_path / "..data").resolve()
    assert not atomicdir.write(tmp_path, {"a": File(b"1", 0o644), "sub/b": File(b"2", 0o600)})
    assert atomicdir.write(tmp_path, {"a": File(b"3", 0o400)})
    assert (tmp_path / "a").read_bytes() == b"3"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o400
    assert sorted(entry.name for entry in tmp_path.iterdir() if not entry.name.startswith("..")) == ["a"]
    assert not before.exists()


def test_a_volume_s_file_cannot_lie_outside_of_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"):
        atomicdir.write(tmp_path, {"../x": File(b"", 0o644)})


def test_a_sub_path_is_made_and_cannot_leave_its_volume(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    assert sub_path(volume, "a/b").is_dir()
    (volume / "out").symlink_to("/etc")
    for below in ("../x", "out/passwd", "/etc"):
        with pytest.raises(ConfigError, match="leads out"):
            sub_path(volume, below)


def test_a_host_path_is_what_its_type_says(tmp_path: Path) -> None:
    assert host_path({"path": str(tmp_path / "new"), "type": "DirectoryOrCreate"}).is_dir()
    assert host_path({"path": str(tmp_path / "file"), "type": "FileOrCreate"}).is_file()
    with pytest.raises(VolumeError, match="is not a Directory"):
        host_path({"path": str(tmp_path / "file"), "type": "Directory"})
    with pytest.raises(VolumeError, match="exists"):
        host_path({"path": str(tmp_path / "none")})


LOG = (
    b"2026-01-02T03:04:05.000000001+00:00 stdout F one\n"
    b"2026-01-02T03:04:06.000000001+00:00 stdout P two, a long\n"
    b"2026-01-02T03:04:06.000000002+00:00 stdout F  line\n"
    b"2026-01-02T03:04:07.000000001+00:00 stderr F three\n"
)


def rendered(tmp_path: Path, **wanted: Any) -> bytes:
    (tmp_path / "log").write_bytes(LOG)
    return b"".join(logs.read(tmp_path / "log", Selection(**wanted)))


def test_pieces_of_a_line_are_joined(tmp_path: Path) -> None:
    assert rendered(tmp_path) == b"one\ntwo, a long line\nthree\n"


@pytest.mark.parametrize(
    ("lines", "text"),
    [(0, b""), (1, b"three\n"), (2, b"two, a long line\nthree\n"), (9, b"one\ntwo, a long line\nthree\n")],
)
def test_the_tail_counts_whole_lines(tmp_path: Path, lines: int, text: bytes) -> None:
    assert rendered(tmp_path, tail=lines) == text


def test_a_selection_by_time_size_and_with_times(tmp_path: Path) -> None:
    assert rendered(tmp_path, since=datetime(2026, 1, 2, 3, 4, 7, tzinfo=UTC)) == b"three\n"
    assert rendered(tmp_path, limit=6) == b"one\ntw"
    assert rendered(tmp_path, tail=1, timestamps=True) == b"2026-01-02T03:04:07.000000001+00:00 three\n"


def test_the_tail_of_an_empty_log_is_empty() -> None:
    assert logs.tail_offset(io.BytesIO(b""), 5) == 0


async def test_following_goes_on_in_a_log_that_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"2026-01-02T03:04:05.0+00:00 stdout F old\n")
    over: list[bool] = []
    seen: list[bytes] = []
    async for text in logs.follow(path, Selection(), lambda: bool(over)):
        seen.append(text)
        if text == b"old\n":
            path.rename(tmp_path / "log.1")
            path.write_bytes(b"2026-01-02T03:04:06.0+00:00 stdout F new\n")
        else:
            over.append(True)
    assert seen == [b"old\n", b"new\n"]


def test_resolv_conf_of_a_pod_asks_the_cluster_first() -> None:
    assert sandbox.resolv_conf(pod(), DNS, "") == (
        "search n.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.77.0.1\noptions ndots:5\n"
    )


def test_resolv_conf_takes_what_the_pod_adds() -> None:
    config = {"nameservers": ["1.1.1.1"], "searches": ["x.y"], "options": [{"name": "ndots", "value": "2"}]}
    assert sandbox.resolv_conf(pod(dnsConfig=config), DNS, "") == (
        "search n.svc.cluster.local svc.cluster.local cluster.local x.y\n"
        "nameserver 10.77.0.1\nnameserver 1.1.1.1\noptions ndots:2\n"
    )
    assert sandbox.resolv_conf(pod(dnsPolicy="None", dnsConfig=config), DNS, "") == (
        "search x.y\nnameserver 1.1.1.1\noptions ndots:2\n"
    )
    host = "search lan\nnameserver 9.9.9.9\noptions edns0 ndots:1\n"
    assert sandbox.resolv_conf(pod(dnsPolicy="Default"), DNS, host) == (
        "search lan\nnameserver 9.9.9.9\noptions edns0 ndots:1\n"
    )


def test_the_hosts_file_has_the_pod_its_subdomain_and_its_aliases() -> None:
    text = sandbox.hosts_file(
        pod(hostname="web-0", subdomain="web", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]), "10.0.0.9"
    )
    assert "10.0.0.9\tweb-0.web.n.svc.cluster.local\tweb-0\n" in text
    assert "1.2.3.4\ta\tb\n" in text
    assert "127.0.0.1\tlocalhost\n" in text

"""What containers are given and how they are watched: volumes, environment, probes, hooks, sidecars, streams."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.local.node_lab import Lab, needs_root, node_lab

from headstay import __version__
from headstay.local.node import command
from headstay.local.node.engine import Engine
from headstay.local.seams import ExecRequest
from headstay.model.objects import Obj, ObjectKey
from headstay.model.resource import CONFIGMAPS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, SECRETS

pytestmark = [needs_root, pytest.mark.asyncio(loop_scope="module")]

SERVER = "import http.server as h; h.ThreadingHTTPServer(('{host}', 8080), h.SimpleHTTPRequestHandler).serve_forever()"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with node_lab("hsfeat", 93) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def no_pods_left(lab: Lab) -> AsyncIterator[None]:
    yield
    await lab.client.delete_collection(PODS, "default")


def busybox(*command: str, name: str = "main", **more: Any) -> Obj:
    return {"name": name, "image": "busybox:1.36", "command": list(command)} | more


def named(kind: str, name: str, **more: object) -> Obj:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "default"}} | more


def status_of(pod: Obj, name: str = "main") -> Obj:
    status: Obj = pod.get("status") or {}
    everything = (status.get("containerStatuses") or []) + (status.get("initContainerStatuses") or [])
    return next((one for one in everything if one["name"] == name), {})


def is_ready(pod: Obj) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in (pod.get("status") or {}).get("conditions", []))


async def test_configuration_reaches_a_container_and_follows_its_changes(lab: Lab) -> None:
    await lab.client.create(CONFIGMAPS, named("ConfigMap", "settings", data={"a.conf": "one", "b.conf": "two"}))
    secret = {"password": base64.b64encode(b"hunter2").decode()}
    await lab.client.create(SECRETS, named("Secret", "credentials", data=secret))
    await lab.run(
        "configured",
        busybox(
            "sleep",
            "1000",
            env=[
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "credentials", "key": "password"}}},
                {"name": "WHERE", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "TEXT", "value": "<$(PASSWORD)>"},
            ],
            envFrom=[{"configMapRef": {"name": "settings"}}],
            volumeMounts=[
                {"name": "config", "mountPath": "/config"},
                {"name": "config", "mountPath": "/usr/share/one.conf", "subPath": "a.conf"},
                {"name": "secret", "mountPath": "/secret"},
                {"name": "info", "mountPath": "/info"},
            ],
        ),
        volumes=[
            {"name": "config", "configMap": {"name": "settings", "items": [{"key": "a.conf", "path": "sub/x"}]}},
            {"name": "secret", "secret": {"secretName": "credentials", "defaultMode": 0o400}},
            {
                "name": "info",
                "projected": {
                    "sources": [
                        {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                        {"configMap": {"name": "settings", "items": [{"key": "b.conf", "path": "b"}]}},
                    ]
                },
            },
        ],
    )
    pod = await lab.until("configured", is_ready)
    assert (await lab.exec("configured", "sh", "-c", "echo $PASSWORD $TEXT $WHERE"))[1].split() == [
        "hunter2",
        "<hunter2>",
        pod["status"]["podIP"],
    ]
    assert (await lab.exec("configured", "cat", "/config/sub/x", "/info/name", "/info/b"))[1] == "oneconfiguredtwo"
    assert (await lab.exec("configured", "stat", "-Lc", "%a", "/secret/password"))[1] == "400\n"
    assert (await lab.exec("configured", "sh", "-c", "echo x > /secret/y"))[0] != 0
    changed = named("ConfigMap", "settings", data={"a.conf": "three", "b.conf": "two"})
    await lab.client.patch(CONFIGMAPS, "default", "settings", {"data": changed["data"]})
    for _ in range(50):
        if (await lab.exec("configured", "cat", "/config/sub/x"))[1] == "three":
            break
        await asyncio.sleep(0.1)
    else:
        raise AssertionError("the file has not followed its ConfigMap")


async def test_a_missing_secret_key_holds_a_pod_up_until_it_is_there(lab: Lab) -> None:
    reference = {"secretKeyRef": {"name": "later", "key": "password"}}
    await lab.run("needs", busybox("sleep", "1000", env=[{"name": "P", "valueFrom": reference}]))
    pod = await lab.until("needs", lambda p: "CreateContainerConfigError" in str(p.get("status")))
    assert status_of(pod)["state"]["waiting"]["message"] == 'secret "later" not found'
    await lab.client.create(SECRETS, named("Secret", "later", data={"password": "eA=="}))
    await lab.until("needs", is_ready)


async def test_volumes_are_shared_limited_and_kept_as_their_kind_says(lab: Lab) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await lab.client.create(PERSISTENT_VOLUME_CLAIMS, named("PersistentVolumeClaim", "data", spec=claim))
    mounts = [
        {"name": "scratch", "mountPath": "/scratch"},
        {"name": "memory", "mountPath": "/dev/shm"},
        {"name": "data", "mountPath": "/data", "subPath": "inner"},
    ]
    volumes = [
        {"name": "scratch", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
    ]
    await lab.run(
        "volumes",
        busybox("sh", "-c", "echo a > /scratch/x; echo kept > /data/file; exec sleep 1000", volumeMounts=mounts),
        busybox("sleep", "1000", name="other", volumeMounts=mounts[:1]),
        volumes=volumes,
        securityContext={"runAsUser": 1234, "fsGroup": 5678},
    )
    await lab.until("volumes", is_ready)
    assert (await lab.exec("volumes", "cat", "/scratch/x", container="other"))[1] == "a\n"
    assert (await lab.exec("volumes", "id", container="other"))[1].strip() == "uid=1234 gid=0(root) groups=0(root),5678"
    assert "8.0M" in (await lab.exec("volumes", "df", "-h", "/dev/shm", container="main"))[1]
    await lab.client.delete(PODS, "default", "volumes")
    await lab.until_gone("volumes")
    await lab.run(
        "again", busybox("cat", "/data/file", volumeMounts=mounts[2:]), volumes=volumes[2:], restartPolicy="Never"
    )
    await lab.until_phase("again", "Succeeded")
    assert await lab.logs("again") == "kept\n"
    bound = await lab.client.get(PERSISTENT_VOLUME_CLAIMS, "default", "data")
    directory = lab.config.state_dir / "volumes" / bound["spec"]["volumeName"]
    assert await asyncio.to_thread(directory.is_dir)
    await lab.client.delete(PODS, "default", "again")
    await lab.until_gone("again")
    await lab.client.delete(PERSISTENT_VOLUME_CLAIMS, "default", "data")
    async with asyncio.timeout(10):
        while (await lab.client.list_page(PERSISTENT_VOLUMES)).items or await asyncio.to_thread(directory.exists):
            await asyncio.sleep(0.05)


async def test_readiness_follows_the_probe_and_liveness_restarts(lab: Lab) -> None:
    await lab.run(
        "probed",
        busybox(
            "sh",
            "-c",
            "sleep 1000 & trap 'exit 0' TERM; wait",
            startupProbe={"exec": {"command": ["true"]}, "periodSeconds": 1},
            readinessProbe={
                "exec": {"command": ["test", "-e", "/tmp/ready"]},
                "periodSeconds": 1,
                "failureThreshold": 1,
            },
            livenessProbe={
                "exec": {"command": ["test", "!", "-e", "/tmp/dead"]},
                "periodSeconds": 1,
                "failureThreshold": 1,
            },
        ),
    )
    await lab.until("probed", lambda p: status_of(p).get("started"))
    assert not is_ready(await lab.pod("probed"))
    await lab.exec("probed", "touch", "/tmp/ready")
    await lab.until("probed", is_ready)
    await lab.exec("probed", "rm", "/tmp/ready")
    await lab.until("probed", lambda p: not is_ready(p))
    await lab.exec("probed", "touch", "/tmp/dead")
    pod = await lab.until("probed", lambda p: status_of(p).get("restartCount") == 1)
    assert status_of(pod)["lastState"]["terminated"]
    said = await lab.events("probed")
    assert ("Killing", "Container main failed liveness probe, will be restarted") in said
    assert any(reason == "Unhealthy" and text.startswith("Readiness probe failed") for reason, text in said)


async def test_http_and_tcp_probes_and_a_port_forward_reach_the_pod(lab: Lab) -> None:
    assert lab.agent is not None
    http = {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1}
    command = ("python3", "-c", SERVER.format(host="0.0.0.0"))
    await lab.run("web", busybox(*command, ports=[{"name": "web", "containerPort": 8080}], readinessProbe=http))
    tcp = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
    await lab.run("private", busybox("python3", "-c", SERVER.format(host="127.0.0.1"), readinessProbe=tcp))
    await lab.until("web", is_ready)
    await asyncio.sleep(1.5)
    assert not is_ready(await lab.pod("private")), "a probe comes from outside the Pod"
    reader, writer = await lab.agent.streams.port_forward("default", "private", 8080)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.0 200")
    writer.close()


async def test_hooks_run_after_the_start_and_before_the_end(lab: Lab) -> None:
    await lab.run(
        "hooked",
        busybox(
            "sh",
            "-c",
            "trap 'exit 0' TERM; while :; do sleep 0.1; done",
            lifecycle={
                "postStart": {"exec": {"command": ["sh", "-c", "echo hello > /proc/1/fd/1"]}},
                "preStop": {"exec": {"command": ["sh", "-c", "echo bye > /shared/bye"]}},
            },
            volumeMounts=[{"name": "shared", "mountPath": "/shared"}],
        ),
        volumes=[
            {"name": "shared", "hostPath": {"path": str(lab.config.state_dir / "shared"), "type": "DirectoryOrCreate"}}
        ],
        terminationGracePeriodSeconds=10,
    )
    await lab.until("hooked", is_ready)
    assert await lab.logs("hooked") == "hello\n"
    began = asyncio.get_running_loop().time()
    await lab.client.delete(PODS, "default", "hooked")
    await lab.until_gone("hooked")
    assert asyncio.get_running_loop().time() - began < 5
    assert await asyncio.to_thread((lab.config.state_dir / "shared" / "bye").read_text) == "bye\n"


async def test_init_containers_and_sidecars_come_first_and_sidecars_last(lab: Lab) -> None:
    mount: dict[str, Any] = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    await lab.run(
        "ordered",
        busybox("sh", "-c", "cat /shared/log; echo main >> /shared/log", **mount),
        initContainers=[
            busybox("sh", "-c", "echo first >> /shared/log", name="first", **mount),
            busybox("sh", "-c", "echo side >> /shared/log; sleep 1000", name="side", restartPolicy="Always", **mount)
            | {"startupProbe": {"exec": {"command": ["test", "-s", "/shared/log"]}, "periodSeconds": 1}},
            busybox("sh", "-c", "echo second >> /shared/log", name="second", **mount),
        ],
        volumes=[{"name": "shared", "emptyDir": {}}],
        restartPolicy="Never",
    )
    pod = await lab.until_phase("ordered", "Succeeded")
    assert (await lab.logs("ordered", "main")).split() == ["first", "side", "second"]
    assert "terminated" in status_of(pod, "side")["state"]


async def test_logs_can_be_followed_to_the_end_of_a_container(lab: Lab) -> None:
    script = "for i in 1 2 3; do echo $i; sleep 0.3; done"
    await lab.run("talks", busybox("sh", "-c", script), restartPolicy="Never")
    await lab.until_phase("talks", "Running")
    assert await lab.logs("talks", follow=True) == "1\n2\n3\n"


async def test_attach_reaches_the_first_process(lab: Lab) -> None:
    assert lab.agent is not None
    await lab.run("shell", busybox("sh", stdin=True, tty=True))
    await lab.until_phase("shell", "Running")
    request = ExecRequest("", (), stdin=True, tty=True)
    session = await lab.agent.streams.attach("default", "shell", request)
    await asyncio.sleep(0.5)
    await session.write_stdin(b"echo $((6*7))\n")
    output = b""
    async with asyncio.timeout(10):
        async for part in session.stdout():
            output += part
            if b"42" in output:
                break
    await session.close()
    assert status_of(await lab.pod("shell"))["state"].get("running"), "attaching does not end a container"


async def test_closing_an_exec_kills_its_command(lab: Lab) -> None:
    assert lab.agent is not None
    await lab.run("closed", busybox("sleep", "1000"))
    await lab.until_phase("closed", "Running")
    for tty in (False, True):
        session = await lab.agent.streams.exec("default", "closed", ExecRequest("", ("sleep", "777"), tty=tty))
        await asyncio.sleep(0.5)
        await session.close()
        assert "777" not in (await lab.exec("closed", "ps", "-e", "-o", "args="))[1]


async def test_a_user_root_filesystem_and_capabilities_are_as_asked(lab: Lab) -> None:
    security = {
        "runAsUser": 1000,
        "runAsGroup": 3000,
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    await lab.run("strict", busybox("sleep", "1000", securityContext=security))
    await lab.until("strict", is_ready)
    assert (await lab.exec("strict", "id", "-u"))[1] == "1000\n"
    assert (await lab.exec("strict", "id", "-g"))[1] == "3000\n"
    assert (await lab.exec("strict", "sh", "-c", "touch /tmp/x"))[0] != 0
    assert (await lab.exec("strict", "grep", "CapBnd", "/proc/self/status"))[1].split()[1] == "0" * 16
    await lab.run("rooted", busybox("sleep", "1", securityContext={"runAsNonRoot": True}))
    pod = await lab.until("rooted", lambda p: "CreateContainerConfigError" in str(p.get("status")))
    assert "runAsNonRoot" in status_of(pod)["state"]["waiting"]["message"]


async def test_an_image_from_disk_brings_its_own_command_user_and_environment(lab: Lab) -> None:
    tree, archive = lab.config.state_dir / "tree", lab.config.state_dir / "image.tar"
    base = Engine(lab.config).base
    script = f"""
        set -e
        mkdir -p {tree}/bin {tree}/lib64 {tree}/tmp
        cp /bin/sh /bin/sleep {tree}/bin/
        ldd /bin/sh /bin/sleep | grep -o '/[^ ]*' | grep '\\.so' | sort -u | while read -r f; do
            mkdir -p {tree}$(dirname $f); cp -L $f {tree}$f
        done
        tar -C {tree} -cf {tree}.tar .
        {" ".join(base)} import --quiet --change 'CMD ["/bin/sh", "-c", "echo $GREETING; exec sleep 1000"]' \\
            --change 'ENV GREETING=hello' --change 'USER 4321' {tree}.tar localhost/made:1
        {" ".join(base)} save --quiet --format oci-archive -o {archive} localhost/made:1
        {" ".join(base)} rmi --force localhost/made:1
    """
    done = await command.run(["sh", "-c", script], timeout=60, env=Engine(lab.config).environment)
    assert done.code == 0, done.stderr.decode()
    (lab.config.state_dir / "images.yaml").write_text(
        f"images:\n  - match: disk/made:*\n    archive: oci-archive:{archive}\n"
    )
    await lab.run("disk", {"name": "main", "image": "disk/made:1", "env": [{"name": "MORE", "value": "x"}]})
    await lab.until("disk", is_ready)
    assert await lab.logs("disk") == "hello\n"
    _, out, _ = await lab.exec("disk", "/bin/sh", "-c", "echo $GREETING $MORE; read -r a < /etc/resolv.conf; echo $a")
    assert out.splitlines()[0] == "hello x"
    assert "svc.cluster.local" in out
    assert "Successfully pulled" in str(await lab.events("disk"))
    await lab.client.delete(PODS, "default", "disk")
    await lab.until_gone("disk")
    (lab.config.state_dir / "images.yaml").unlink()


async def test_a_log_that_grows_large_is_rotated_and_followed_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstay.local.node.rotation.is_due", lambda path: path.stat().st_size > 300)
    script = "for i in $(seq 1 40); do echo line $i; sleep 0.05; done"
    await lab.run("wordy", busybox("sh", "-c", script), restartPolicy="Never")
    pod = await lab.until_phase("wordy", "Running")
    assert lab.agent is not None
    worker = lab.agent.worker(ObjectKey("default", "wordy"))
    assert worker is not None

    async def rotate() -> None:
        for _ in range(4):
            await asyncio.sleep(0.4)
            worker.rotate_logs()

    text, _ = await asyncio.gather(lab.logs("wordy", follow=True), rotate())
    assert text.split("\n") == [*(f"line {number}" for number in range(1, 41)), ""]
    logs = lab.config.state_dir / "pods" / pod["metadata"]["uid"] / "logs" / "main"
    assert await asyncio.to_thread((logs / "0.log.1").exists)


async def test_the_operator_s_own_image_is_the_environment_that_runs_the_tests(lab: Lab) -> None:
    operator = {"name": "main", "image": "headstay/operator:0.1.0", "command": ["headstay", "version"]}
    await lab.run("operator", operator, restartPolicy="Never")
    await lab.until_phase("operator", "Succeeded")
    assert __version__ in await lab.logs("operator")
    script = "import headstay.local.node.agent, os; print(os.getuid(), os.environ['HOME'])"
    await lab.run("inside", operator | {"command": ["python3", "-c", script]}, restartPolicy="Never")
    await lab.until_phase("inside", "Succeeded")
    assert await lab.logs("inside") == "65532 /home/headstay\n"


@pytest.fixture
def own_map(lab: Lab) -> Iterator[Path]:
    path = lab.config.state_dir / "images.yaml"
    path.write_text(
        "images:\n  - match: tools/shell:*\n    host: {programs: [sh]}\n    command: [sh, -c, 'echo mapped']\n"
    )
    yield path
    path.unlink()


async def test_a_user_s_own_image_map_is_read_at_once(lab: Lab, own_map: Path) -> None:
    await lab.run("mapped", {"name": "main", "image": "tools/shell:1"}, restartPolicy="Never")
    await lab.until_phase("mapped", "Succeeded")
    assert await lab.logs("mapped") == "mapped\n"

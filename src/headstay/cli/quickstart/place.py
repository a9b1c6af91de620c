"""Where the quickstart runs: this machine's own Kubernetes, or a context the user names.

The invariant: nothing is touched that the quickstart did not make. What it makes carries an annotation, so that a
second run after `--keep` may go on with it, and a stranger's object of the same name stops it.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import typer

from headstay.cli import lifecycle
from headstay.cli.kubectl import Kubectl
from headstay.cli.output import UserError, console, errors
from headstay.cli.quickstart.steps import CLUSTER
from headstay.local.config import LocalConfig

SAMPLE = "ray-cluster.external-redis.yaml"
OWN_NAMESPACE = "headstay-quickstart"
MARK = "headstay.io/quickstart"
_OPERATORS = {"headstay-operator", "kuberay-operator"}


@dataclass(frozen=True)
class Place:
    """`environment` leads kubectl to the cluster and namespace; `sample` is the manifest's path."""

    environment: dict[str, str]
    sample: str
    operator_here: bool
    kubectl: Kubectl

    def explain(self) -> None:
        """What a person would look at first after a failure."""
        for arguments in (("get", "pods", "-o", "wide"), ("get", "events", "--sort-by=.lastTimestamp")):
            done = self.kubectl.call(*arguments)
            errors.print(f"[bold]$ kubectl {' '.join(arguments)}[/]")
            errors.print(
                "\n".join((done.stdout or done.stderr).splitlines()[-25:]), markup=False, style="dim", soft_wrap=True
            )


def sample_path(name: str = SAMPLE) -> Path:
    """The manifest in this checkout, else the copy inside the package."""
    checkout = Path(__file__).resolve().parents[4] / "config" / "samples" / name
    if checkout.is_file():
        here = Path.cwd()
        return checkout.relative_to(here) if checkout.is_relative_to(here) else checkout
    packaged = Path(str(resources.files("headstay") / "samples" / name))
    if not packaged.is_file():
        raise UserError(f"the sample {name} is missing from this installation", hint="Install Headstay again.")
    return packaged


@contextmanager
def prepared(context: str, namespace: str, *, keep: bool, assume_yes: bool) -> Iterator[Place]:
    if context:
        with _elsewhere(context, namespace, keep=keep, assume_yes=assume_yes) as place:
            yield place
    else:
        with _on_this_machine(keep=keep) as place:
            yield place


@contextmanager
def _on_this_machine(*, keep: bool) -> Iterator[Place]:
    config = LocalConfig.from_environment()
    was_up = lifecycle.is_up(config)
    console.rule("[bold]Steps 1 and 2: A Kubernetes with the operator in it", align="left")
    console.print("[bold cyan]$ headstay up[/]")
    lifecycle.up()
    console.print(f"[bold cyan]$ export KUBECONFIG={config.kubeconfig}[/]", soft_wrap=True)
    environment = {**os.environ, "KUBECONFIG": str(config.kubeconfig)}
    place = Place(environment, str(sample_path()), operator_here=True, kubectl=Kubectl(environment))
    _clear(place)
    try:
        yield place
    finally:
        if keep:
            _mark(place)
            console.print(f"Everything is left running. Look around with: export KUBECONFIG={config.kubeconfig}")
        else:
            console.rule("[bold]Step 10: Delete what was made", align="left")
            _remove(place)
            if not was_up:
                console.print("[bold cyan]$ headstay down[/]")
                lifecycle.down(purge=False, purge_images=False)


@contextmanager
def _elsewhere(context: str, namespace: str, *, keep: bool, assume_yes: bool) -> Iterator[Place]:
    target = namespace or OWN_NAMESPACE
    with tempfile.TemporaryDirectory(prefix="headstay-") as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        base = Kubectl(os.environ)
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(base.text("config", "view", "--raw", "--minify", "--flatten", f"--context={context}"))
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
        kubectl = Kubectl(environment)
        kubectl.text("config", "set-context", "--current", f"--namespace={target}")
        operator_namespaces = _operator_namespaces(kubectl)
        if not assume_yes:
            typer.confirm(
                f"This makes a RayCluster and a Redis in namespace {target!r} of context {context!r}. Go on?",
                abort=True,
            )
        made = _make_namespace(kubectl, target) if not namespace else False
        place = Place(environment, str(sample_path()), target in operator_namespaces, kubectl)
        _clear(place)
        try:
            yield place
        finally:
            if keep:
                _mark(place)
            else:
                _remove(place)
                if made:
                    kubectl.text("delete", "namespace", target, "--wait=false")


def _operator_namespaces(kubectl: Kubectl) -> set[str]:
    if not kubectl.items("customresourcedefinitions", "rayclusters.ray.io"):
        raise UserError(
            "this cluster does not know RayClusters",
            hint="Install the operator first: kubectl apply -k config/default",
        )
    found = {
        deployment["metadata"]["namespace"]
        for deployment in kubectl.items("deployments", "--all-namespaces")
        if (deployment["metadata"].get("labels") or {}).get("app.kubernetes.io/name") in _OPERATORS
        or deployment["metadata"]["name"] in _OPERATORS
    }
    if not found:
        raise UserError(
            "no operator runs in this cluster",
            hint="Install one (kubectl apply -k config/default), or run it here: headstay operator",
        )
    return found


def _make_namespace(kubectl: Kubectl, name: str) -> bool:
    existing = kubectl.items("namespace", name)
    if existing and MARK not in (existing[0]["metadata"].get("annotations") or {}):
        raise UserError(f"namespace {name!r} exists and is not the quickstart's", hint="Choose one with --namespace.")
    manifest = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "annotations": {MARK: "made"}},
    }
    kubectl.text("apply", "-f", "-", stdin=json.dumps(manifest))
    return True


def _sample_objects(place: Place) -> list[dict[str, Any]]:
    return place.kubectl.items("-f", place.sample)


def _clear(place: Place) -> None:
    """Removes what an earlier run left; stops at anything that somebody else made."""
    found = _sample_objects(place)
    for existing in found:
        meta = existing["metadata"]
        if MARK not in (meta.get("annotations") or {}):
            raise UserError(
                f"{existing['kind']} {meta['name']!r} exists already and is not the quickstart's",
                hint=f"Delete it (kubectl delete {existing['kind'].lower()} {meta['name']}) or use another namespace.",
            )
    if found:
        console.print("Removing what an earlier run of the quickstart left.")
        _remove(place)


def _mark(place: Place) -> None:
    place.kubectl.call("annotate", "--overwrite", "-f", place.sample, f"{MARK}=made")


def _remove(place: Place) -> None:
    # The RayCluster first and with its cleanup: Redis must still be there for the Job.
    place.kubectl.call("delete", "raycluster", CLUSTER, "--ignore-not-found", "--timeout=330s", timeout=340)
    console.print(f"[bold cyan]$ kubectl delete -f {place.sample} --ignore-not-found[/]", soft_wrap=True)
    done = place.kubectl.call("delete", "-f", place.sample, "--ignore-not-found", "--timeout=120s", timeout=130)
    if done.returncode != 0:
        errors.print(f"not everything could be deleted: {done.stderr.strip()}", markup=False)

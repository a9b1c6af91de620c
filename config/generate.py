"""Writes what is said elsewhere in the form that its readers want: `python config/generate.py`.

The CRDs come from Python (`headstay.model.ray_crds`) and go into the chart and into `config/crd`. All else comes from
the chart, rendered by a real Helm (`scripts/helm.py`), and goes into `config/` and into `operator.json`, which
`headstay up` installs. Tests compare the files with what this would write, so that none drifts from its source.
"""

import json
import runpy
import subprocess
from pathlib import Path
from typing import Any

import yaml

from headstay.model.ray_crds import crds

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "headstay"
NAMESPACE = "headstay-system"
# Helm's own marks; an object that carries them without a release would only mislead.
_HELMS = ("app.kubernetes.io/managed-by", "helm.sh/chart")


class _Dumper(yaml.SafeDumper):
    """Block style without anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def definitions() -> dict[str, str]:
    """The files that hold the CRDs, by their path in the checkout. Needs no Helm."""
    found = {}
    names = []
    for crd in crds():
        name = f"ray.io_{crd['spec']['names']['plural']}.yaml"
        names.append(name)
        text = _text("src/headstay/model/ray_schema*.py", crd)
        # Helm 3 prints the files one after another without a separator between them.
        found |= {f"config/crd/{name}": text, f"charts/headstay/crds/{name}": f"---\n{text}"}
    found["config/crd/kustomization.yaml"] = _text("config/generate.py", _kustomization(names))
    return found


def renderings(helm: Path) -> dict[str, str]:
    """The files that hold what the chart renders, by their path in the checkout."""
    default = render(helm)
    up = render(helm, "--values", str(CHART / "ci" / "up-values.yaml"))
    found = {
        "src/headstay/controllers/operator.json": json.dumps({"default": default, "up": up}, indent=1) + "\n",
        "config/operator/kustomization.yaml": _text("config/generate.py", _kustomization(["../default"])),
    }
    overlays = {
        "default": default,
        "redis-access": render(helm, "--set", "redisAccess.enabled=true"),
        "namespaced": render(helm, "--set", "singleNamespaceInstall=true"),
        "admission-policy": render(helm, "--set", "admissionPolicy.enabled=true"),
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    for name, objects in overlays.items():
        kustomization = _kustomization(["../crd", "operator.yaml"])
        found[f"config/{name}/operator.yaml"] = _text("charts/headstay", namespace, *objects)
        found[f"config/{name}/kustomization.yaml"] = _text("config/generate.py", kustomization)
    return found


def render(helm: Path, *arguments: str) -> list[dict[str, Any]]:
    """The chart's objects, in the order in which Helm installs them."""
    command = [helm, "template", "headstay", CHART, "--namespace", NAMESPACE, *arguments]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    objects = [found for found in yaml.safe_load_all(text) if found]
    for obj in objects:
        for name in _HELMS:
            obj["metadata"]["labels"].pop(name)
    return objects


def _kustomization(resources: list[str]) -> dict[str, Any]:
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources}


def _text(source: str, *documents: dict[str, Any]) -> str:
    body = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    return f"# Written by config/generate.py from {source}; do not edit.\n{body}"


def main() -> None:
    helm = runpy.run_path(str(ROOT / "scripts" / "helm.py"))["helm"]
    for path, content in (definitions() | renderings(helm())).items():
        (ROOT / path).parent.mkdir(exist_ok=True)
        (ROOT / path).write_text(content)


if __name__ == "__main__":
    main()

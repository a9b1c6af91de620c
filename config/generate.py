"""Writes the manifests in `config/` from the Python that says them: `python config/generate.py`.

A unit test compares the files with what this would write, so that neither drifts from the other.
"""

from pathlib import Path
from typing import Any

import yaml

from headstay.controllers import manifests
from headstay.model.ray_crds import crds

HERE = Path(__file__).parent


class _Dumper(yaml.SafeDumper):
    """Block style without anchors, and texts with line breaks as literals."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


NAMESPACE = "headstay-system"


def files() -> dict[str, str]:
    """What each generated file holds, by its path below `config/`."""
    found = {}
    names = []
    for crd in crds():
        name = f"ray.io_{crd['spec']['names']['plural']}.yaml"
        names.append(name)
        found[f"crd/{name}"] = _text("src/headstay/model/ray_schema*.py", crd)
    found["crd/kustomization.yaml"] = _text("config/generate.py", _kustomization(names))

    source = "src/headstay/controllers/manifests.py"
    permissions = [manifest.obj for manifest in manifests.permissions(NAMESPACE)]
    found["rbac/rbac.yaml"] = _text(source, *permissions)
    found["rbac/kustomization.yaml"] = _text("config/generate.py", _kustomization(["rbac.yaml"]))
    found["operator/namespace.yaml"] = _text("config/generate.py", _namespace())
    found["operator/operator.yaml"] = _text(source, manifests.deployment(NAMESPACE, restricted=True))
    everything = ["namespace.yaml", "../crd", "../rbac", "operator.yaml"]
    found["operator/kustomization.yaml"] = _text("config/generate.py", _kustomization(everything, NAMESPACE))
    return found


def _namespace() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def _kustomization(resources: list[str], namespace: str = "") -> dict[str, Any]:
    chosen = {"namespace": namespace} if namespace else {}
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        **chosen,
        "resources": resources,
    }


def _text(source: str, *documents: dict[str, Any]) -> str:
    body = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    return f"# Written by config/generate.py from {source}; do not edit.\n{body}"


if __name__ == "__main__":
    for path, content in files().items():
        (HERE / path).write_text(content)

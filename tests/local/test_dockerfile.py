"""The image's Dockerfile, as far as it can be held to its word where no registry has a base image to build on."""

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IMPORT_ALL = """
import importlib, json, pkgutil, sys
for name in sys.argv[1:]:
    package = importlib.import_module(f"headstay.{name}")
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
print(json.dumps([name for name, module in sys.modules.items() if getattr(module, "__file__", None)]))
"""


def pins(path: str) -> dict[str, str]:
    found = re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / path).read_text(), re.MULTILINE)
    assert found
    return dict(found)


def copied() -> list[str]:
    line = re.search(r"cp -r __init__\.py ([a-z ]+) ", DOCKERFILE)
    assert line
    return line[1].split()


def test_what_the_image_holds_imports_nothing_that_it_does_not_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *copied()], capture_output=True, text=True, check=True, timeout=60
    )
    modules = json.loads(done.stdout)
    assert {name.split(".")[1] for name in modules if name.startswith("headstay.")} == set(copied())
    distributions = packages_distributions()
    needed = {d for name in modules for d in distributions.get(name.split(".")[0], []) if d != "headstay"}
    locked = set(pins("requirements-operator.lock"))
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in needed} - locked <= {"pip", "setuptools"}


def test_the_image_s_packages_are_those_of_the_environment() -> None:
    assert pins("requirements-operator.lock").items() <= pins("requirements.lock").items()


def test_the_image_names_no_index_and_checks_hashes() -> None:
    assert "--require-hashes" in DOCKERFILE
    assert not re.search(
        r"--(extra-)?index-url|https?://", DOCKERFILE + (ROOT / "requirements-operator.lock").read_text()
    )


def test_the_image_s_user_is_the_chart_s() -> None:
    user = re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert user
    chosen = yaml.safe_load((ROOT / "charts" / "headstay" / "values.yaml").read_text())["podSecurityContext"]
    assert (int(user[1]), int(user[2])) == (chosen["runAsUser"], chosen["runAsGroup"])

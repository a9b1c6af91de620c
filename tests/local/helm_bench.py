"""A real Helm, for what its users do with the chart."""

import json
import os
import runpy
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "headstay"
TIMEOUT = 120
MAJORS = ("3", "4")


def program(major: str) -> Path:
    """Fetched into a cache when it is not there yet."""
    found: Path = runpy.run_path(str(ROOT / "scripts" / "helm.py"))["helm"](major)
    return found


class Helm:
    """`home` keeps what Helm remembers, so that the user's own is neither read nor written."""

    def __init__(self, major: str, home: Path, kubeconfig: str = "/dev/null") -> None:
        self.major = major
        self._program = program(major)
        self._environ = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": kubeconfig}

    def run(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [self._program, *arguments],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"helm {' '.join(map(str, arguments))}: {done.stderr}{done.stdout}")
        return done

    def refused(self, *arguments: str | Path) -> str:
        done = self.run(*arguments, check=False)
        assert done.returncode != 0, f"helm {' '.join(map(str, arguments))} succeeded: {done.stdout}"
        return done.stderr

    def json(self, *arguments: str | Path) -> Any:
        return json.loads(self.run(*arguments, "-o", "json").stdout)

    def template(self, *arguments: str | Path, namespace: str = "ray-system") -> list[dict[str, Any]]:
        text = self.run("template", "headstay", CHART, "--namespace", namespace, *arguments).stdout
        return [found for found in yaml.safe_load_all(text) if found]

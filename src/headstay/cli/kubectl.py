"""Plain `kubectl` calls for the command line's own questions, with an answer or a clear error."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from headstay.cli.output import UserError


class Kubectl:
    """kubectl with one kubeconfig and namespace. Each call is bounded."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        if shutil.which("kubectl") is None:
            raise UserError("kubectl is not on PATH", hint="make install puts one there.")
        self._environment = dict(environment)

    def call(self, *arguments: str, stdin: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["kubectl", *arguments],
                env=self._environment,
                input=stdin or None,
                stdin=None if stdin else subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UserError(f"kubectl {' '.join(arguments)}: no answer within {timeout:.0f} s") from error

    def text(self, *arguments: str, stdin: str = "", timeout: float = 60) -> str:
        """Its standard output. Raises UserError with its standard error."""
        done = self.call(*arguments, stdin=stdin, timeout=timeout)
        if done.returncode != 0:
            raise UserError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """`kubectl get ... -o json`, always as a list; [] where nothing was found."""
        text = self.text("get", *arguments, "-o", "json", "--ignore-not-found")
        if not text.strip():
            return []
        found = json.loads(text)
        items: list[dict[str, Any]] = found["items"] if found["kind"].endswith("List") else [found]
        return items

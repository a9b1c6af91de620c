"""`headstay up` and `headstay down`."""

import os
import shutil
import time
from importlib import import_module

from headstay.cli.output import UserError, console
from headstay.local import process
from headstay.local.config import LocalConfig

UP_TIMEOUT = 60.0
OPERATOR_TIMEOUT = 60.0
DOWN_TIMEOUT = 40.0


def is_up(config: LocalConfig) -> bool:
    return process.running_pid(config) is not None and process.read_report(config).get("phase") == "ready"


def up() -> None:
    """Raises UserError when API, DNS and operator are not all ready in time."""
    config = LocalConfig.from_environment()
    began = time.monotonic()
    _require_root("headstay up")
    if is_up(config):
        console.print(f"Headstay is up already. To use it: export KUBECONFIG={config.kubeconfig}", soft_wrap=True)
        return
    _require_parts()
    with console.status("starting the local Kubernetes") as line:
        try:
            process.start(
                config,
                timeout=UP_TIMEOUT,
                progress=lambda text: line.update(f"starting: {text}"),
                # A second of imports, on the core that the daemon leaves free.
                meanwhile=lambda: import_module("headstay.cli.operator_install"),
            )
        except process.DaemonError as error:
            raise UserError(
                f"the local Kubernetes did not start: {error}", hint="headstay doctor says what this machine lacks."
            ) from error
        from headstay.cli import operator_install

        line.update("installing the operator")
        operator_install.install(config, timeout=OPERATOR_TIMEOUT, progress=line.update)
    console.print(f"[green]✓[/] Headstay is up ({time.monotonic() - began:.1f} s). To use it with kubectl:")
    console.print(f"  export KUBECONFIG={config.kubeconfig}", soft_wrap=True)


def down(*, purge: bool, purge_images: bool) -> None:
    """Idempotent: it also clears what a crashed daemon left."""
    config = LocalConfig.from_environment()
    _require_root("headstay down")
    from headstay.local import teardown

    with console.status("stopping") as line:
        was_running = process.stop(config, timeout=DOWN_TIMEOUT)
        left = teardown.remove_all(config, progress=line.update)
    if left:
        raise UserError(f"could not remove: {', '.join(left)}", hint="Run headstay down again, or look at `mount`.")
    shutil.rmtree(config.run_dir, ignore_errors=True)
    if purge:
        _remove_tree(config.state_dir)
    if purge_images:
        _remove_tree(config.cache_dir)
    console.print("Headstay is down." if was_running else "Headstay was not up; nothing of it is left running.")


def _remove_tree(path: os.PathLike[str]) -> None:
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"could not remove {os.fspath(path)}: {error}") from error


def _require_root(command: str) -> None:
    if os.geteuid() != 0:
        raise UserError(
            f"{command} needs root: Pods get network namespaces and cgroups of their own",
            hint=f"Run: sudo {shutil.which('headstay') or '.venv/bin/headstay'} {command.rpartition(' ')[2]}",
        )


def _require_parts() -> None:
    from headstay.local.node import doctor

    missing = [finding for finding in doctor.examine() if not finding.ok]
    if missing:
        raise UserError(
            "this machine lacks " + ", ".join(finding.name for finding in missing),
            hint="\n  ".join(finding.fix for finding in missing),
        )

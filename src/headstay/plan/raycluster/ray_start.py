"""The `ray start` command of a Pod: its parameters completed, and put behind what the user runs first."""

import json
import re
from decimal import Decimal

from headstay.model.objects import Obj
from headstay.model.quantity import ceil_int, parse_quantity
from headstay.model.ray import AGENT_PORT, METRICS_PORT
from headstay.plan.raycluster.containers import quantity_of

# Flags of `ray start` that take true or false as their value; the others are switches.
_BOOLEAN_VALUED = frozenset({"log-color", "include-dashboard", "include-log-monitor"})
_ACCELERATORS = {"aws.amazon.com/neuroncore": "neuron_cores", "google.com/tpu": "TPU"}
_GPU = re.compile(r"gpu$|^nvidia\.com/mig-\d+g\.\d+gb$")


def is_gpu(resource: str) -> bool:
    return _GPU.search(resource) is not None


def complete_params(params: dict[str, str], group: Obj) -> None:
    """Adds what every node has, with the group's `resources` and `labels` fields taking the place of parameters."""
    _apply_resources(params, group.get("resources") or {})
    if labels := group.get("labels"):
        params["labels"] = ",".join(f"{key}={labels[key]}" for key in sorted(labels))
    params.setdefault("metrics-export-port", str(METRICS_PORT))
    params.setdefault("dashboard-agent-listen-port", str(AGENT_PORT))
    # Without it `ray start` returns, and the container ends.
    params["block"] = "true"


def _apply_resources(params: dict[str, str], resources: dict[str, str | int]) -> None:
    others: dict[str, Decimal] = {}
    for name, text in resources.items():
        try:
            amount = parse_quantity(text)
        except ValueError:
            continue  # Ray is told what can be read, as KubeRay does
        kind = name.lower()
        if kind == "cpu":
            params["num-cpus"] = str(ceil_int(amount))
        elif kind == "memory":
            params["memory"] = str(ceil_int(amount))
        elif is_gpu(kind):
            params["num-gpus"] = str(ceil_int(amount))
        else:
            others[name] = amount
    if others:
        params["resources"] = _resources_flag(others)


def ray_start_command(params: dict[str, str], container: Obj, *, head: bool) -> str:
    """The command alone, with CPUs, memory and accelerators read from the container where no parameter says them."""
    params = dict(params)
    _measure(params, container)
    words = ["ray", "start", *(["--head"] if head else [])]
    for flag in sorted(params):
        value = params[flag]
        if value.lower() in {"true", "false"} and flag not in _BOOLEAN_VALUED:
            if value.lower() == "true":
                words.append(f"--{flag}")
        else:
            words.append(f"--{flag}={value}")
    return " ".join(words)


def _measure(params: dict[str, str], container: Obj) -> None:
    cpu = _amount(container, "cpu", "limits") or _amount(container, "cpu", "requests")
    if "num-cpus" not in params and cpu:
        params["num-cpus"] = str(ceil_int(cpu))
    memory = _amount(container, "memory", "limits")
    if "memory" not in params and memory:
        params["memory"] = str(ceil_int(memory))
    limits = (container.get("resources") or {}).get("limits") or {}
    for name in sorted(limits):
        if is_gpu(name) and "num-gpus" not in params and (gpus := _amount(container, name, "limits")):
            params["num-gpus"] = str(ceil_int(gpus))
    _add_accelerator(params, container, limits)


def _add_accelerator(params: dict[str, str], container: Obj, limits: Obj) -> None:
    """The first accelerator found goes into `resources`, unless one is there already."""
    try:
        resources = json.loads(params.get("resources", "{}").strip("'\"` "), parse_float=Decimal, parse_int=Decimal)
    except ValueError:
        return  # what the user wrote is Ray's to refuse
    if not isinstance(resources, dict) or any(name in resources for name in _ACCELERATORS.values()):
        return
    for name in sorted(limits):
        amount = _amount(container, name, "limits") if name in _ACCELERATORS else None
        if amount:
            params["resources"] = _resources_flag(resources | {_ACCELERATORS[name]: amount})
            return


def _resources_flag(resources: dict[str, Decimal]) -> str:
    numbers = {
        name: int(value) if value == value.to_integral_value() else float(value) for name, value in resources.items()
    }
    return f"'{json.dumps(numbers, sort_keys=True, separators=(',', ':'))}'"


def _amount(container: Obj, resource: str, kind: str) -> Decimal | None:
    text = quantity_of(container, resource, kind)
    if text is None:
        return None
    try:
        return parse_quantity(text)
    except ValueError:
        return None  # the API server refuses the Pod and says why


def install_command(container: Obj, start: str, *, shell: list[str], keep_user_command: bool) -> None:
    """Makes the container run `start` after the user's own command.

    A user whose command already says `ray start`, or who asked to keep it, gets no change.
    """
    written = " ".join([*(container.get("command") or []), *(container.get("args") or [])])
    if keep_user_command or "ray start" in written:
        return
    generated = f"ulimit -n ${{RAY_START_ULIMIT_OPEN_FILES:-65536}}; {start}"
    container["command"] = shell
    container["args"] = [f"{written} && {generated}" if written else generated]

"""Programs that a drill runs inside other people's containers, by their source: standard library and Ray alone.

They must run on the oldest Python that Ray images have (3.8) and import nothing of ours. The source is the first line
of the program's standard input, since a command travels in a URL, which many servers cut off at 8 KB.
"""

import json
from importlib import resources

_START = "import json, sys; exec(json.loads(sys.stdin.readline()))"


def command(order: object) -> list[str]:
    """What to run in the container; `order` is the program's only argument. Then `source` is what to send it."""
    return ["python3", "-u", "-c", _START, json.dumps(order)]


def source(name: str) -> bytes:
    return json.dumps(text(name)).encode() + b"\n"


def text(name: str) -> str:
    return (resources.files(__name__) / f"{name}.py").read_text()

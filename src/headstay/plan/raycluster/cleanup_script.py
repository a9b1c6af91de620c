"""What the containers of the cleanup Job and of the Redis check run: the cleaner's text, by the image's own Python.

The text arrives in `Settings.cleaner_source`. It needs nothing of the image but Python: a deletion must not depend on
what a Ray release happens to offer, and Ray's own clean-up aborts where a name does not resolve yet.
"""

import shlex

_GUIDE = "https://docs.ray.io/en/latest/cluster/kubernetes/user-guides/kuberay-gcs-ft.html"
# A Job that did nothing and succeeded would hide that keys remain.
_NO_CLEANER = 'raise SystemExit("This operator was started without its Redis cleaner: no key was touched")'


def clean_command(source: str) -> str:
    """The script that removes the namespace's keys."""
    return f'echo "Clean-up of a deleted RayCluster: {_GUIDE}"\n{_python(source)}'


def check_command(source: str) -> str:
    """The script that connects and logs in, and touches no key."""
    return f"{_python(source)} check"


def _python(source: str) -> str:
    """Without a here-document, which needs a directory to write to in older shells."""
    return f"python3 -c {shlex.quote(source or _NO_CLEANER)}"

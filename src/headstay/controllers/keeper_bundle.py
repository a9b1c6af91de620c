"""The keeper as one file: a shell script that finds Python, and behind it a zip archive of modules that Python runs."""

import base64
from importlib.resources import files
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

_MAIN = "from keeper.__main__ import *\n"
# A shell reads as far as `exec`; Python finds the archive from its end.
_SCRIPT = b"""#!/bin/sh
# Headstay's keeper: starts Ray so that its GCS is brought back in place.
command -v python3 >/dev/null 2>&1 && exec python3 "$0" "$@"
echo "headstay-keeper: no python3 in this image; Ray runs without it, and a GCS that dies restarts the head" >&2
exec ray "$@"
"""


def keeper_bundle() -> str:
    """In base64. The same modules make the same bytes: the name of what holds them is made from these."""
    archive = BytesIO()
    archive.write(_SCRIPT)
    with ZipFile(archive, "a", ZIP_DEFLATED) as bundle:
        bundle.writestr(ZipInfo("__main__.py"), _MAIN)
        for module in sorted(files("headstay.keeper").iterdir(), key=lambda found: found.name):
            if module.name.endswith(".py"):
                bundle.writestr(ZipInfo(f"keeper/{module.name}"), module.read_bytes(), ZIP_DEFLATED)
    return base64.b64encode(archive.getvalue()).decode()

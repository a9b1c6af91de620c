"""The keeper as one file that any Python can run: a zip archive of its modules."""

import base64
from importlib.resources import files
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

_MAIN = "from keeper.__main__ import *\n"


def keeper_bundle() -> str:
    """In base64. The same modules make the same bytes: the name of what holds them is made from these."""
    archive = BytesIO()
    with ZipFile(archive, "w", ZIP_DEFLATED) as bundle:
        bundle.writestr(ZipInfo("__main__.py"), _MAIN)
        for module in sorted(files("headstay.keeper").iterdir(), key=lambda found: found.name):
            if module.name.endswith(".py"):
                bundle.writestr(ZipInfo(f"keeper/{module.name}"), module.read_bytes(), ZIP_DEFLATED)
    return base64.b64encode(archive.getvalue()).decode()

"""The compiled CEL engine, without the command line that its package imports along with it.

`import cel` also brings a terminal toolkit and more: half a second and 20 MB in a daemon that is to be up in two
seconds and to stay small. The engine is one extension module, and needs none of that.
"""

import importlib.util
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

__all__ = ["cel"]

_NAME = "cel"


def _load() -> ModuleType:
    """The extension module; the whole package where the module is not found in the place where it is today."""
    if (loaded := sys.modules.get(_NAME)) is not None:
        return loaded
    package = importlib.util.find_spec(_NAME)
    for folder in (package.submodule_search_locations or []) if package else []:
        for suffix in EXTENSION_SUFFIXES:
            path = Path(folder) / f"{_NAME}{suffix}"
            if path.is_file():
                return _load_extension(path)
    return importlib.import_module(_NAME)


def _load_extension(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(_NAME, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not an extension module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if TYPE_CHECKING:
    import cel
else:
    cel = _load()

"""The keeper runs in the user's image, whose Python may be as old as 3.8, and brings nothing along."""

import ast
import sys
from pathlib import Path

import pytest

import headstay.keeper

FILES = sorted(Path(headstay.keeper.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_is_python_3_8(file: Path) -> None:
    ast.parse(file.read_text(), feature_version=(3, 8))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_import_is_the_standard_library_ray_s_or_the_keeper_s_own(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names.append(node.module or "")
        assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names | {"ray"}

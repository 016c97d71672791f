"""What the texts say of the tree is true of the tree."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.unit.test_imports import FLOORS

APP = Path(__file__).parents[2] / "app"
ROOMS = sorted(path.parent.name for path in APP.glob("*/__init__.py"))
LISTING = re.compile(r"^((?:[\w]+/?)(?:, \w+/?)*)  +\S", re.MULTILINE)
"""Lines of an `__init__` that name modules (`a, b    what they are`) or folders (`c/    what is in it`)."""
PACKAGES = sorted(path.parent for path in APP.rglob("__init__.py"))


def listed(package: Path) -> set[str]:
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    return {name for names in LISTING.findall(text) for name in names.split(", ")}


def contents(package: Path) -> set[str]:
    modules = {path.stem for path in package.glob("*.py") if path.stem != "__init__"}
    folders = {f"{path.name}/" for path in package.iterdir() if any(path.glob("*.py"))}
    return modules | folders


def test_the_walk_is_twelve_lines_one_a_room() -> None:
    assert listed(APP) == set(ROOMS)
    assert len(ROOMS) == 12


@pytest.mark.parametrize("package", [package for package in PACKAGES if package != APP], ids=lambda package: str(package.relative_to(APP)))
def test_a_room_lists_its_modules_if_it_lists_any(package: Path) -> None:
    named = listed(package)
    assert not named or named == contents(package)


def test_contributing_has_the_table_of_floors() -> None:
    rows = re.findall(r"^\| (\d)[^|]*\| ([^|]+) \|", (APP.parent / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    written = {f"app.{name.replace('/', '.')}": int(floor) for floor, names in rows for name in re.findall(r"`([\w/]+)`", names)}
    assert written == {name: floor for name, floor in FLOORS.items() if name != "app.__main__"}

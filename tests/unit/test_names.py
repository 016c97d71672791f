"""One name for one thing: a public class name stands for one class."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

from tests import source

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "app" / "web" / "api" / "schemas"
ENGINE = ROOT / "app" / "runner" / "program" / "freshet_columns"
"""A library of its own, in the runner image: its names meet none of ours."""


def classes(path: Path) -> list[ast.ClassDef]:
    return [node for node in source.parsed(path).body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def is_port(node: ast.ClassDef) -> bool:
    return any("Protocol" in ast.unparse(base) for base in node.bases)


def test_a_public_class_name_stands_once() -> None:
    """Apart from a port and its implementation, and a value and its API schema, which bear one name because they are one thing."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "app").rglob("*.py")):
        for node in classes(path):
            if not is_port(node) and SCHEMAS not in path.parents and ENGINE not in path.parents:
                found[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def test_a_port_and_an_api_schema_stand_once_too() -> None:
    for kind in ("port", "schema"):
        names = [
            node.name
            for path in sorted((ROOT / "app").rglob("*.py"))
            if ENGINE not in path.parents
            for node in classes(path)
            if (is_port(node) if kind == "port" else SCHEMAS in path.parents)
        ]
        assert sorted(set(names)) == sorted(names), kind

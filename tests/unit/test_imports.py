"""The rooms of `app/` and what each may import: one table, and a test for each rule."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from tests import source

ROOT = Path(__file__).parents[2]
FLOORS = {
    "app.core": 0,
    "app.lineage": 1,
    "app.project": 1,
    "app.reports": 2,
    "app.packages": 2,
    "app.store": 2,
    "app.pipeline": 3,
    "app.notifications": 3,
    "app.github": 4,
    "app.runner": 4,
    "app.web": 4,
    "app.packages.fetch": 4,
    "app.pipeline.decoding": 4,
    "app.notifications.channels": 4,
    "app.service": 5,
    "app.__main__": 6,
}
"""A room imports itself and what stands below it. The longest prefix decides, so a room may have an edge of its own."""
EDGES = 4
BESIDE = {("app.notifications", "app.pipeline")}
"""On one floor, and all the same: notifications may know the pipeline's rules, never the other way round."""
PURE_ROOMS = ("app.lineage", "app.project", "app.reports", "app.packages")
PURE_FILES = (
    "app.core.app_health",
    "app.core.app_manifest",
    "app.core.yaml_schema",
    "app.core.yaml_text",
    "app.github.access.grants",
    "app.notifications.messages",
    "app.notifications.rules",
    "app.pipeline.base_rules",
    "app.pipeline.connection_rules",
    "app.pipeline.events",
    "app.pipeline.events.checks",
    "app.pipeline.events.fields",
    "app.pipeline.events.installations",
    "app.pipeline.events.pull_requests",
    "app.pipeline.events.pushes",
    "app.pipeline.queue_rules",
    "app.runner.kubernetes.manifests",
    "app.runner.kubernetes.verdicts",
    "app.runner.warm_demand",
)
ONLY_IN = {
    "asyncpg": "app.store",
    "aiodocker": "app.runner.docker",
    "kubernetes_asyncio": "app.runner.kubernetes",
}
"""Drivers, and the one room that uses each."""


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


PATHS = {module_of(path): path for path in sorted((ROOT / "app").rglob("*.py")) if "program" not in path.parts}
MODULES = [module for module in PATHS if module != "app"]


def room(module: str) -> str:
    return max((name for name in FLOORS if module == name or module.startswith(f"{name}.")), key=len)


def is_pure(module: str) -> bool:
    return room(module) in PURE_ROOMS or module in PURE_FILES


def nodes(module: str) -> Sequence[ast.AST]:
    return source.nodes(PATHS[module])


@cache
def imports(module: str) -> set[str]:
    found = set()
    for node in nodes(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in PATHS else node.module for name in names}
    return found


def may_import(importer: str, imported: str) -> bool:
    mine, theirs = FLOORS[room(importer)], FLOORS[room(imported)]
    return room(importer) == room(imported) or theirs < mine or (room(importer), room(imported)) in BESIDE


def test_a_room_imports_only_itself_and_what_stands_below_it() -> None:
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        for name in imports(module)
        if name.startswith("app.") and not may_import(module, name)
    ]
    assert not wrong


def test_edges_do_not_know_each_other() -> None:
    edges = {name for name, floor in FLOORS.items() if floor == EDGES}
    crossing = {
        (module, name)
        for module in MODULES
        for name in imports(module)
        if name.startswith("app.") and {room(module), room(name)} <= edges and room(module) != room(name)
    }
    assert not crossing


def test_pure_modules_neither_wait_nor_look_around() -> None:
    for module in (module for module in MODULES if is_pure(module)):
        tree = nodes(module)
        assert not [node for node in tree if isinstance(node, ast.AsyncFunctionDef | ast.Await)], module
        assert not imports(module) & {"os", "time", "asyncio", "random", "subprocess", "pathlib", "socket"}, module
        calls = {ast.unparse(node.func) for node in tree if isinstance(node, ast.Call)}
        assert not calls & {"datetime.now", "datetime.utcnow", "open", "uuid4"}, module


def test_every_pure_file_exists() -> None:
    assert set(PURE_FILES) <= set(PATHS)


@pytest.mark.parametrize(("driver", "owner"), ONLY_IN.items())
def test_a_driver_is_used_in_one_room_only(driver: str, owner: str) -> None:
    users = {module for module in MODULES if any(name.split(".")[0] == driver for name in imports(module))}
    assert {module for module in users if not f"{module}.".startswith(f"{owner}.")} == set()


def test_only_config_reads_the_environment() -> None:
    readers = {module for module in MODULES if {"environ", "getenv"} & {getattr(node, "attr", "") for node in nodes(module)}}
    assert readers == {"app.service.config"}


def test_the_first_level_is_the_table() -> None:
    first = {".".join(module.split(".")[:2]) for module in MODULES}
    assert first == {".".join(name.split(".")[:2]) for name in FLOORS}

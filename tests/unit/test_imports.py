"""Imports go down only: the table of `app/__init__.py`, by machine."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEVELS = [
    {"app.remarks", "app.usage", "app.log", "app.metrics", "app.copy_format", "app.tokens"},
    {"app.errors"},
    {"app.spool", "app.texts", "app.jobs", "app.github_app", "app.images"},
    {"app.yaml_schema"},
    {"app.settings", "app.events", "app.manifest", "app.checkup", "app.following", "app.measures"},
    {"app.deps", "app.inference", "app.column_tests"},
    {"app.lineage", "app.graph", "app.diff", "app.notices"},
    {"app.wording", "app.formats"},
    {"app.ports", "app.callers", "app.records", "app.resolve"},
    {"app.storage", "app.outward"},
    {"app.handlers", "app.refresh", "app.connecting", "app.heads"},
    {"app.ledger"},
    {"app.worker", "app.reconcile", "app.outbox", "app.notifier"},
    {"app.github", "app.dbt", "app.hub", "app.store", "app.web", "app.decoding", "app.notify"},
    {"app.config"},
    {"app.credentials"},
    {"app.parts"},
    {"app.housekeeping"},
    {"app.main"},
    {"app.cli", "app.image_commands"},
    {"app.__main__"},
]
ROOMS = {
    "app.deps": [{"addresses", "ranges", "expressions", "lockfile"}, {"remotes", "packages"}, {"pins"}],
    "app.formats": [
        {"heading", "texts", "pieces", "relations"},
        {"document", "dot", "mermaid", "graphml", "edges_csv", "openlineage"},
    ],
    "app.inference": [{"names", "specs"}, {"evidence", "discovery"}, {"warehouse", "versions"}, {"project"}],
    "app.wording": [{"markdown", "classes", "badge"}, {"advice"}, {"place"}, {"summary"}, {"report", "redact"}, {"notice"}],
}
"""Pure rooms, and what stands on what in them."""
PURE = [
    "dbt/demand",
    "github/grants",
    *(
        "remarks",
        "usage",
        "texts",
        "yaml_schema",
        "settings",
        "images",
        "jobs",
        "events",
        "notices",
        "copy_format",
        "tokens",
        "manifest",
        "column_tests",
        "lineage",
        "graph",
        "diff",
        "github_app",
        "checkup",
        "measures",
        "following",
    ),
    *(f"{room.removeprefix('app.')}/{name}" for room, levels in ROOMS.items() for names in levels for name in sorted(names)),
]
EDGES = next(level for level in LEVELS if "app.github" in level)


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def level(module: str) -> int:
    return next(index for index, modules in enumerate(LEVELS) if room(module) in modules)


def modules() -> list[tuple[str, Path]]:
    files = [path for path in sorted((ROOT / "app").rglob("*.py")) if "runner" not in path.parts and path != ROOT / "app" / "__init__.py"]
    return [(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path) for path in files]


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


@cache
def imports(path: Path) -> set[str]:
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module in {"app", *ROOMS} else {node.module}
    return found


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_module_imports_only_what_stands_below_it(module: str, path: Path) -> None:
    for imported in imports(path):
        if not imported.startswith("app.") or room(imported) == room(module):
            continue
        assert level(imported) < level(module), f"{module} imports {imported}"
        assert not (room(imported) in EDGES and room(module) in EDGES), f"{module} imports {imported}: edges do not know each other"


@pytest.mark.parametrize(("module", "path"), [(module, path) for module, path in modules() if room(module) in ROOMS])
def test_rooms_have_levels_too(module: str, path: Path) -> None:
    def inside(name: str) -> int:
        last = name.removeprefix(f"{room(module)}.").split(".")[0]
        return next(index for index, names in enumerate(ROOMS[room(module)]) if last in names)

    for imported in imports(path):
        if room(imported) == room(module) and imported != room(module):
            assert inside(imported) < inside(module), f"{module} imports {imported}"


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_neither_wait_nor_look_around(name: str) -> None:
    tree = nodes(ROOT / "app" / f"{name}.py")
    assert not [node for node in tree if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    assert not imports(ROOT / "app" / f"{name}.py") & {"os", "time", "asyncio", "random", "subprocess", "pathlib", "socket"}
    calls = {ast.unparse(node.func) for node in tree if isinstance(node, ast.Call)}
    assert not calls & {"datetime.now", "datetime.utcnow", "open", "uuid4"}


def test_only_config_reads_the_environment() -> None:
    readers = {module for module, path in modules() if {"environ", "getenv"} & {getattr(node, "attr", "") for node in nodes(path)}}
    assert readers == {"app.config"}

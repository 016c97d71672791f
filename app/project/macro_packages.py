"""Recognizes projects of macros only: packages that other projects install, without anything for a lineage."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.core.yaml_text import join, listed
from app.project.package_files import PACKAGE_TEXTS

NODE_PATHS: Mapping[str, str | None] = {
    "model-paths": "models",
    "seed-paths": "seeds",
    "snapshot-paths": "snapshots",
    "analysis-paths": "analyses",
    "function-paths": "functions",
    "source-paths": None,
    "data-paths": None,
}
"""Settings with the directories of everything that can be a node, except tests, and their defaults."""
NODE_FILES = (".sql", ".py", ".csv", ".yml", ".yaml")


@dataclass(frozen=True, slots=True)
class DirectoryContents:
    """The directories of a commit with files of two kinds in them or below them."""

    with_nodes: frozenset[str]
    with_sql: frozenset[str]

    @classmethod
    def of(cls, paths: Iterable[str]) -> DirectoryContents:
        """Look at all paths once."""
        with_nodes: set[str] = set()
        with_sql: set[str] = set()
        for path in paths:
            if path.lower().endswith(NODE_FILES) and posixpath.basename(path) not in PACKAGE_TEXTS:
                _add(with_nodes, path)
                if path.lower().endswith(".sql"):
                    _add(with_sql, path)
        return cls(frozenset(with_nodes), frozenset(with_sql))


def is_macro_package(directory: str, config: Mapping[str, Any], contents: DirectoryContents) -> bool:
    """Whether a project has macros, and no file that could define a node. A path that is an expression could be any."""
    written = {key: listed(config.get(key, default)) for key, default in (*NODE_PATHS.items(), ("macro-paths", "macros"))}
    if any(not isinstance(path, str) or "{{" in path for paths in written.values() for path in paths):
        return False
    macros = {join(directory, path) for path in written.pop("macro-paths")}
    nodes = {join(directory, path) for paths in written.values() for path in paths}
    return not contents.with_sql.isdisjoint(macros - {None}) and contents.with_nodes.isdisjoint(nodes - {None})


def _add(directories: set[str], path: str) -> None:
    """Add the directory of a path and those around it."""
    while path:
        path = posixpath.dirname(path)
        if path in directories:
            return
        directories.add(path)

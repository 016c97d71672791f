"""Digests of everything that decides about a node's SQL, so that what has not changed need not be rendered again."""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, Any

import freshet_manifest_json

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

COMPUTED_NAME = re.compile(r"\bcontext\b|\bdispatch\s*\(\s*[^'\"\s]")
"""Signs of a macro that is found by a computed name."""
FACTS = ("relation_name", "package_name", "version", "latest_version", "access", "group", "config.materialized", "config.enabled")
"""What `ref()` and `source()` take from another node."""


class Keys:
    """The digests of one manifest."""

    def __init__(self, manifest: Manifest, config: Any, nodes: dict, given: dict) -> None:
        """`nodes`: by unique_id. `given`: the placeholders."""
        self.macros = {unique_id: _digest(macro.macro_sql or "") for unique_id, macro in manifest.macros.items()}
        self._texts = {unique_id: macro.macro_sql or "" for unique_id, macro in manifest.macros.items()}
        self._nodes = nodes
        self._project = _digest(repr(_project(config, given)))
        self._facts = {}  # type: dict[str, str]
        self._everything = None  # type: str | None

    def node(self, node: Any) -> str:
        """A digest of a node, of what it refers to, and of the project's settings."""
        facts = [self._facts_of(unique_id) for unique_id in sorted(node.depends_on.nodes)]
        return _digest(self._project, _piece(node), *facts, self.everything() if getattr(node, "metrics", None) else "")

    def everything(self) -> str:
        """A digest of all nodes, for those that look at the whole graph."""
        if self._everything is None:
            self._everything = _digest(*(_piece(node) for node in self._nodes.values()))
        return self._everything

    def stale_macros(self, before: dict) -> set:
        """The unique_ids of macros that have changed or gone, of those with digests in `before`."""
        return {unique_id for unique_id, digest in before.items() if self.macros.get(unique_id) != digest}

    def new_names(self, before: dict) -> set:
        """The names by which new macros may be called."""
        names = {unique_id.split(".")[-1] for unique_id in self.macros if unique_id not in before}
        return names | {name.split("__", 1)[1] for name in names if "__" in name}

    def may_call(self, node: Any, macros: list, names: set) -> bool:
        """Whether a node, or one of the macros that it calls, may call one with such a name."""
        texts = [node.raw_code or "", *(self._texts.get(unique_id, "") for unique_id in macros)]
        return any(COMPUTED_NAME.search(text) or any(name in text for name in names) for text in texts)

    def _facts_of(self, unique_id: str) -> str:
        if unique_id not in self._facts:
            node = self._nodes.get(unique_id)
            self._facts[unique_id] = unique_id + repr([_attribute(node, name) for name in FACTS])
        return self._facts[unique_id]


def _attribute(node: Any, name: str) -> str:
    for step in name.split("."):
        node = getattr(node, step, None)
    return str(node)


def _piece(node: Any) -> str:
    """A digest of a node without the time at which it was parsed."""
    section = "sources" if node.unique_id.startswith("source.") else "nodes"
    found = freshet_manifest_json.DIGESTS.get(section, {}).get(node.unique_id)
    return found or repr(sorted((key, value) for key, value in node.to_dict().items() if key != "created_at"))


def _project(config: Any, given: dict) -> list:
    """The settings that macros can see."""
    projects = [config, *(config.load_dependencies() or {}).values()]
    settings = [
        (project.project_name, str(getattr(project.vars, "vars", "")), str(getattr(project, "dispatch", ""))) for project in projects
    ]
    return [
        settings,
        sorted(config.to_target_dict().items(), key=str),
        sorted(config.cli_vars.items(), key=str),
        sorted(os.environ.items()),
        sorted(given.items(), key=str),
        str(config.quoting),
    ]


def _digest(*parts: Any) -> str:
    found = hashlib.blake2b(digest_size=9)
    for part in parts:
        found.update(part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass"))
        found.update(b"\0")
    return found.hexdigest()

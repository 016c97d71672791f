"""Renders the SQL of a project's nodes as `dbt compile` does, but without a warehouse: dbt's own compiler, with answers from us."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import freshet_render_answers
import freshet_render_context
import freshet_shortcuts
import freshet_tree
from dbt.adapters.factory import get_adapter, get_adapter_package_names
from dbt.compilation import Compiler
from dbt.flags import get_flags
from freshet_column_catalog import is_ephemeral

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dbt.contracts.graph.manifest import Manifest
    from freshet_column_catalog import Catalog
    from freshet_render_notes import Notes

FULL, PLAIN = "full", "without_execute"
"""How a node was rendered: as dbt compiles it, or as it parses it (`execute` is false)."""
BOM = "\ufeff"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
OURS = re.compile(r"freshet_render_tables\.\w+ object")
MAX_REASON, MAX_FAILURE = 400, 200
OF_COMPILED = ("compiled", "compiled_code", "extra_ctes", "extra_ctes_injected")
"""What dbt leaves out of a node that is not compiled."""


class RenderError(Exception):
    """dbt cannot render the node. The message is dbt's, in one line."""


class Renderer:
    """Renders one project."""

    def __init__(self, config: Any, manifest: Manifest, catalog: Catalog, nodes: dict, dialect: str) -> None:
        """`config`: dbt's runtime configuration. `nodes`: by unique_id, everything that can be a relation."""
        self._manifest, self._nodes = manifest, nodes
        adapter = get_adapter(config)
        internal = tuple(get_adapter_package_names(adapter.type()))
        self._answers = freshet_render_answers.Answers(catalog, nodes, dialect, internal)
        self._answers.install(adapter)
        freshet_render_context.install()
        self._compiler = Compiler(config)
        self._compiler._write_node = lambda node, *_args, **_more: node  # noqa: SLF001 - files are not needed
        self.graph = LazyGraph(manifest, self._looked_at_graph)
        manifest.flat_graph = self.graph
        self._rendered = set()  # type: set[str]

    def begin(self, node: Any) -> Notes:
        """Prepare to render a node, and return what will be noted about it."""
        for parent in self._ephemeral_parents(node):
            self._try(parent)
        return self._answers.begin(node.unique_id, node.package_name)

    def render(self, node: Any, how: str) -> str:
        """Return the node's SQL, after `begin`. Raises RenderError, or MemoryError."""
        _be("run")
        try:
            return self._compiled(node, how)
        except RenderError as error:
            if how != FULL:
                raise
            return self._forgiven(node, error)

    def _forgiven(self, node: Any, error: RenderError) -> str:
        """The SQL as for `dbt compile`: macros let pass there what they need a warehouse for."""
        _be("compile")
        try:
            code = self._compiled(node, FULL)
        except RenderError:
            raise error from None
        self._answers.notes.invent(f"is rendered as for `dbt compile`, because as for `dbt run` it fails: {str(error)[:MAX_FAILURE]}", "It")
        return code

    def asked_again(self, question: list) -> str:
        """The answer to a question from the notes, as it would be now."""
        return self._answers.asked_again(question)

    def _try(self, parent: Any) -> None:
        """An ephemeral model that an earlier job rendered: its SQL becomes part of this node's."""
        self._answers.begin(parent.unique_id, parent.package_name)
        for how in (FULL, PLAIN):
            try:
                self.render(parent, how)
            except RenderError:
                continue
            return

    def _compiled(self, node: Any, how: str) -> str:
        _reset(node)
        extra = {} if how == FULL else {"execute": False}
        try:
            found = self._compiler.compile_node(node, self._manifest, extra, write=False)
        except MemoryError:
            raise
        except Exception as error:
            if _is_memory(error):
                raise MemoryError from error
            raise RenderError(message(error)) from error
        self._rendered.add(node.unique_id)
        return (found.compiled_code or "").replace(BOM, "")

    def _ephemeral_parents(self, node: Any) -> Iterator[Any]:
        """Those that this process has not rendered, the farthest first."""
        found, waiting = {}, [node]  # type: dict[str, Any], list[Any]
        while waiting:
            for unique_id in waiting.pop().depends_on.nodes:
                parent = self._nodes.get(unique_id)
                if parent is not None and is_ephemeral(parent) and unique_id not in self._rendered and unique_id not in found:
                    found[unique_id] = parent
                    waiting.append(parent)
        return reversed([parent for unique_id, parent in found.items() if unique_id != node.unique_id])

    def _looked_at_graph(self) -> None:
        self._answers.notes.graph = True


class LazyGraph(dict):
    """The variable `graph`, made when a macro first looks at it."""

    def __init__(self, manifest: Manifest, looked: Any) -> None:
        """`looked` is called at each look."""
        super().__init__()
        self._manifest, self._looked, self._made = manifest, looked, False

    def _make(self) -> None:
        self._looked()
        if not self._made:
            self._made = True
            freshet_shortcuts.build_flat_graph(self._manifest)
            made = self._manifest.flat_graph
            for node in made["nodes"].values():
                # As at the start, whichever nodes this process has rendered.
                for name in OF_COMPILED:
                    node.pop(name, None)
            super().update(made)
            self._manifest.flat_graph = self


def _looking(name: str) -> Callable:
    """A dictionary's method that makes the graph first."""

    def method(graph: LazyGraph, *arguments: Any) -> Any:
        graph._make()
        return getattr(dict, name)(graph, *arguments)

    return method


for _name in ("__getitem__", "__contains__", "__iter__", "__len__", "get", "items", "keys", "values"):
    setattr(LazyGraph, _name, _looking(_name))


def message(error: BaseException) -> str:
    """Dbt's message in one line, without paths of this container."""
    text = str(error) if type(error).__module__.split(".")[0] in ("dbt", "dbt_common") else f"{type(error).__name__}: {error}"
    text = OURS.sub("the empty result of a query", text)
    text = COLOURS.sub("", text).replace(freshet_tree.SOURCE + "/", "")
    return " ".join(text.split())[:MAX_REASON]


def _be(command: str) -> None:
    """Answer macros that ask which command this is."""
    object.__setattr__(get_flags(), "WHICH", command)


def _reset(node: Any) -> None:
    """Forget an earlier rendering: dbt would not repeat its parts."""
    node.compiled, node.compiled_code = False, None
    node.extra_ctes, node.extra_ctes_injected = [], False
    if hasattr(node, "_pre_injected_sql"):
        node._pre_injected_sql = None  # noqa: SLF001


def _is_memory(error: BaseException | None) -> bool:
    seen = []  # type: list[BaseException]
    while error is not None and error not in seen:
        if isinstance(error, MemoryError):
            return True
        seen.append(error)
        error = error.__cause__ or error.__context__
    return False

"""The process that renders the nodes and finds their columns. It may be killed at any time: another one goes on without that node."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

import freshet_column_ahead
import freshet_column_catalog
import freshet_column_document
import freshet_column_evidence
import freshet_column_judgement
import freshet_column_keys
import freshet_column_memory
import freshet_column_order
import freshet_column_progress
import freshet_columns
import freshet_render
from freshet_column_judgement import FULL, PLAIN, UNKNOWN
from freshet_column_progress import AGAIN, CARRY, DECIDE, ENGINE, RENDER, WRITE

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest
    from freshet_column_memory import Remembered
    from freshet_column_progress import ColumnProgress
    from freshet_columns import Analysis
    from freshet_render_notes import Notes

ATTEMPTS = ((RENDER, FULL), (AGAIN, PLAIN))


class Task(NamedTuple):
    """What the process has to do."""

    manifest: Manifest
    config: Any
    given: dict
    """The placeholders."""
    previous: str
    """The path of an earlier document, which may not exist."""
    work: str
    """The path of the lines of nodes that were rendered; it grows, and is read by the next process."""
    document: str
    """The path of the document to write."""
    skip: dict
    """By unique_id, then by what was being done: why that ended an earlier process."""
    stop: str | None
    """Why no more nodes are looked at."""


class NodeWork:
    """Goes through the nodes of one project."""

    def __init__(self, task: Task, progress: ColumnProgress) -> None:
        """`progress`: where the process says what it is doing."""
        self._task, self._say = task, progress.at
        manifest, config = task.manifest, task.config
        tables = {**manifest.sources, **{key: node for key, node in manifest.nodes.items() if _is_relation(node)}}
        self._dialect = freshet_columns.DIALECTS.get(config.credentials.type, "")
        target = config.credentials
        self._catalog = freshet_column_catalog.Catalog(tables.values(), target.database, target.schema)
        self._models = freshet_column_order.in_order({key: node for key, node in tables.items() if _is_rendered(node)})
        self._tables = tables
        self._renderer = freshet_render.Renderer(config, manifest, self._catalog, tables, self._dialect)
        self._keys = freshet_column_keys.Keys(manifest, config, tables, task.given)
        self._document = freshet_column_document.NodeLines(task, self._dialect, self._keys.macros)
        self._recall = freshet_column_memory.Recall(self._document.memory, self._keys, self._catalog, self._renderer)
        self._node_keys = {}  # type: dict[str, str]
        self._ahead = freshet_column_ahead.Ahead(self._renderer, self._catalog, progress)

    def work(self) -> None:
        """Look at all nodes, and write the document."""
        for node in self._tables.values():
            if not _is_rendered(node):
                self._add_table(node)
        self._ahead.start([node for node in self._models if self._is_to_render(node)])
        for node in self._models:
            self._ahead.is_at(node)
            self._add(node)
        self._ahead.end()
        self._decide_doubts()
        self._say(CARRY, "")
        self._document.carry(without=CARRY in self._task.skip.get("", {}))
        self._say(WRITE, "")
        self._document.write()

    def _add_table(self, node: Any) -> None:
        content = None
        if node.unique_id.startswith("source."):
            table = freshet_column_catalog.source_table(node)
        else:
            root = self._task.config.project_root
            table, content = freshet_column_catalog.seed_table(node, root), freshet_column_catalog.seed_digest(node, root)
        self._catalog.add(table)
        self._document.add_table(table, content)

    def _add(self, node: Any) -> None:
        found = self._document.finished(node.unique_id) or self._looked_at(node)
        self._catalog.add(freshet_column_catalog.model_table(node, found))

    def _looked_at(self, node: Any) -> Analysis:
        """Find a node's columns, or take them from the earlier document."""
        if not _is_sql(node):
            return self._plain(node, freshet_column_judgement.PYTHON)
        if not (node.raw_code or "").strip():
            return self._plain(node, freshet_column_judgement.NO_CODE)
        key = self._key(node)
        ephemerals = self._document.ephemerals(self._tables, node)
        remembered = None if node.unique_id in self._task.skip else self._remembered(node, key, ephemerals)
        if remembered is not None and (self._task.stop is None or self._is_same(node, remembered)):
            return self._from_memory(node, remembered)
        if self._task.stop is not None:
            return self._plain(node, self._task.stop)
        return self._rendered(node, {"key": key, "ephemerals": ephemerals})

    def _key(self, node: Any) -> str:
        if node.unique_id not in self._node_keys:
            self._node_keys[node.unique_id] = self._keys.node(node)
        return self._node_keys[node.unique_id]

    def _is_to_render(self, node: Any) -> bool:
        """Whether a node is to be rendered, and can be ahead. With an ephemeral model in it, it depends on how that was rendered."""
        if self._task.stop is not None or node.unique_id in self._task.skip or self._document.finished(node.unique_id) is not None:
            return False
        if not _is_sql(node) or not (node.raw_code or "").strip() or freshet_column_catalog.is_ephemeral(node):
            return False
        return not self._document.ephemerals(self._tables, node) and self._document.memory.key(node.unique_id) != self._key(node)

    def _remembered(self, node: Any, key: str, ephemerals: dict) -> Remembered | None:
        try:
            return self._recall.rendering(node, key, ephemerals)
        except Exception:  # noqa: BLE001 - it is untrusted: anything may be wrong with it
            return None

    def _is_same(self, node: Any, remembered: Remembered) -> bool:
        return remembered.record["compiled_code"] is None or self._recall.tables_are_same(node, remembered)

    def _from_memory(self, node: Any, remembered: Remembered) -> Analysis:
        if self._is_same(node, remembered):
            return self._document.reuse(node.unique_id, remembered)
        code = remembered.record["compiled_code"]
        how = freshet_column_judgement.Rendered(*remembered.cache["how"])
        return self._finish(node, self._analysed(node, code), code, how, remembered.cache)

    def _rendered(self, node: Any, cache: dict) -> Analysis:
        skipped = self._task.skip.get(node.unique_id, {})
        failed, notes = None, None  # type: str | None, Notes | None
        for phase, how in ATTEMPTS:
            if phase in skipped:
                failed = failed or skipped[phase]
                continue
            code, latest, error = self._attempt(node, phase, how)
            notes = latest if notes is None else notes.including(latest)
            if code is None:
                failed = failed or error
                continue
            return self._with_code(node, code, how, notes, failed, cache)
        reason = f"dbt could not render it without a warehouse: {failed}"
        return self._finish(node, freshet_column_judgement.unknown(reason, _documented(node)), None, None, self._cache(cache, notes))

    def _attempt(self, node: Any, phase: str, how: str) -> tuple[str | None, Notes, str | None]:
        self._say(phase, node.unique_id)
        self._catalog.begin(node)
        ahead = self._ahead.rendered(node) if how == FULL else None
        if ahead is not None:
            return (*ahead, None)
        notes = self._renderer.begin(node)
        try:
            return self._renderer.render(node, how), notes, None
        except freshet_render.RenderError as error:
            return None, notes, str(error)

    def _with_code(self, node: Any, code: str, how: str, notes: Notes, failed: str | None, cache: dict) -> Analysis:
        found = self._analysed(node, code, strict=True)
        if found.status == UNKNOWN and how == FULL and notes.reasons and AGAIN not in self._task.skip.get(node.unique_id, {}):
            # Made of an answer that is missing, it may be no SQL: without `execute` macros take their other branch.
            other, more, _ = self._attempt(node, AGAIN, PLAIN)
            if other is not None:
                again = self._analysed(node, other, strict=True)
                if again.status != UNKNOWN:
                    code, how, found, notes = other, PLAIN, again, notes.including(more)
        found = self._analysed(node, code) if found.status == UNKNOWN else found
        rendered = freshet_column_judgement.rendered(how, notes, failed)
        return self._finish(node, found, code, rendered, self._cache(cache, notes))

    def _analysed(self, node: Any, code: str, *, strict: bool = False) -> Analysis:
        skipped = self._task.skip.get(node.unique_id, {})
        self._catalog.begin(node)
        if ENGINE in skipped:
            return freshet_column_judgement.unknown(skipped[ENGINE], _documented(node))
        self._say(ENGINE, node.unique_id)
        return freshet_columns.analyse(code, self._dialect, self._catalog, strict=strict)

    def _decide_doubts(self) -> None:
        """Look again at nodes in which other nodes show whose the columns are."""
        found = {node.unique_id: self._document.found(node.unique_id) for node in self._models}
        evidence = freshet_column_evidence.Evidence(found)
        for node in self._models:
            first = found[node.unique_id]
            if first.doubts and self._task.stop is None:
                self._look_again(node, first, evidence.proof(first))

    def _look_again(self, node: Any, first: Analysis, proof: list) -> None:
        record = self._document.record(node.unique_id)
        is_skipped = DECIDE in self._task.skip.get(node.unique_id, {})
        if is_skipped or record["compiled_code"] is None or record["cache"].get("proof", []) == proof:
            return
        for pairs in (proof, []):
            found = self._decided(node, record, pairs)
            if freshet_column_evidence.is_same_table(first, found):
                found = found._replace(shown=first.shown, doubts=first.doubts)
                self._document.add(node.unique_id, found, record, {**record["cache"], "proof": proof})
                return

    def _decided(self, node: Any, record: dict, proof: list) -> Analysis:
        """A node's columns, as far as they are known by the tables that it could read at first."""
        tables = record["cache"]["tables"].items()
        unknown = frozenset(unique_id for unique_id, digest in tables if digest == freshet_column_catalog.NOT_YET)
        self._catalog.begin(node, unknown)
        self._say(DECIDE, node.unique_id)
        found = freshet_columns.analyse(record["compiled_code"], self._dialect, self._catalog, frozenset(map(tuple, proof)))
        how = freshet_column_judgement.Rendered(*record["cache"]["how"])
        return _of_its_kind(node, freshet_column_judgement.judged(found, how, self._answered(node, record["cache"])))

    def _answered(self, node: Any, cache: dict) -> list:
        """The texts that decide about the SQL besides what is in it: the node's Jinja, and the project's macros that it calls."""
        macros = cache["macros"]
        called = self._keys.macros if macros == freshet_column_memory.ALL else map(self._document.macro_of, macros)
        texts = [self._keys.macros.get(name, "") for name in sorted(called) if not name.startswith("macro.dbt.")]
        return [*freshet_column_judgement.jinja(node.raw_code or ""), *texts]

    def _cache(self, cache: dict, notes: Notes | None) -> dict:
        """What the rendering depends on."""
        if notes is None:
            return {**cache, "macros": freshet_column_memory.ALL, "asked": [], "graph": None}
        macros = sorted(self._document.number_of(macro) for macro in notes.macros if macro in self._keys.macros)
        asked = [[list(question), answer] for question, answer in notes.asked.items()]
        return {**cache, "macros": macros, "asked": asked, "graph": self._keys.everything() if notes.graph else None}

    def _finish(self, node: Any, found: Analysis, code: str | None, how: Any, cache: dict) -> Analysis:
        if how is not None:
            found = freshet_column_judgement.judged(found, how, self._answered(node, cache))
            cache = {**cache, "how": how}
        if not found.columns:
            found = found._replace(columns=_documented(node)) if found.status == UNKNOWN else found
        found = _of_its_kind(node, found)
        cache = {**cache, "tables": self._catalog.hits, "misses": self._catalog.misses, "proof": []}
        reason = found.reason if code is None else None
        facts = {"compiled_code": code, "compiled_reason": reason, "rendered": how.how if how is not None else None}
        return self._document.add(node.unique_id, found, facts, cache)

    def _plain(self, node: Any, reason: str) -> Analysis:
        found = freshet_column_judgement.unknown(reason, _documented(node))
        found = _of_its_kind(node, found)
        return self._document.add(node.unique_id, found, {"compiled_reason": reason}, {"key": None})


def run(task: Task, progress: ColumnProgress) -> None:
    """Do the task, and say what is done. Ends the process."""
    freshet_column_progress.prepare(freshet_column_progress.WORKING)
    status = 1
    try:
        NodeWork(task, progress).work()
        progress.end("done", "")
        status = 0
    except MemoryError:
        progress.end("memory", "")
    except Exception as error:  # noqa: BLE001 - the process ends here
        traceback.print_exc()
        progress.end("error", f"{type(error).__name__}: {error}"[:300])
    os._exit(status)


def _is_relation(node: Any) -> bool:
    return node.resource_type in ("model", "snapshot", "seed")


def _is_rendered(node: Any) -> bool:
    return node.resource_type in ("model", "snapshot")


def _is_sql(node: Any) -> bool:
    return getattr(node.language, "value", node.language) == "sql"


def _of_its_kind(node: Any, found: Analysis) -> Analysis:
    if node.resource_type == "snapshot":
        return freshet_column_judgement.snapshot(found, node.config)
    return freshet_column_judgement.contracted(node.unique_id, found, freshet_column_catalog.contract(node))


def _documented(node: Any) -> tuple:
    return freshet_column_catalog.documented(node)

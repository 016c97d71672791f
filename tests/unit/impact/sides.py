"""Small projects in a few words, as the store has them: nodes with columns, digests and edges, and their differences.

A column is `name = expression`, or only `name` for the column of that name of the first node that is read; `*stg` is all columns of
`stg`; `name: type = …` has a cast. `stg.amount` in an expression is an edge, with `sum(…)` an aggregation, alone a copy. `rows` is what
decides the rows. Digests are hashes of these words, as the engine's are of canonical SQL.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from app.lineage.column_merge import column_graph
from app.lineage.graph import Graph, GraphNode
from app.lineage.impact.compute import impact
from app.lineage.impact.model import Break, Change, Impact, Reached
from app.lineage.impact.versions import ImpactPair, ImpactSide, ImpactVersion

PLACE = re.compile(r"\b([a-z_]\w*)\.(\w+)\b")
COLUMN = re.compile(r"^(\w+)(?:: ?([\w() ,]+?))?(?: ?= ?(.+))?$")


@dataclass(frozen=True)
class Node:
    """A node of a side. `None` in `digests`: the engine gives none; `~`: imprecise ones."""

    kind: str
    name: str
    columns: tuple[str, ...] = ()
    rows: str = ""
    reads: tuple[str, ...] = ()
    digests: str | None = ""
    status: str = "exact"
    open: bool = False
    missing: tuple[str, ...] = ()
    uneven: bool = False
    hard_coded: tuple[str, ...] = ()
    rendered: str = "full"
    code: str | None = None
    raw: str | None = None
    yaml: Mapping[str, str | None] = field(default_factory=dict)
    materialized: str | None = "table"
    content: Mapping[str, Any] = field(default_factory=dict)
    definition: Mapping[str, Any] = field(default_factory=dict)
    traced: bool = True

    @property
    def unique_id(self) -> str:
        """As dbt makes it."""
        return f"{self.kind}.shop.{self.name}"

    @property
    def text(self) -> str:
        """The SQL in the words of this module, without what is only form."""
        return " ".join(("select", ", ".join(self.columns), "from", *self.reads, self.rows))

    def but(self, **changes: Any) -> Node:
        """A copy with changes."""
        return replace(self, **changes)


def model(name: str, *columns: str, rows: str = "", **more: Any) -> Node:
    """A model that reads what its columns and rows name, and `reads`."""
    named = [place[0] for text in (*columns, rows) for place in PLACE.findall(text)]
    stars = [column[1:] for column in columns if column.startswith("*")]
    reads = tuple(dict.fromkeys((*more.pop("reads", ()), *stars, *named)))
    return Node("model", name, columns, rows, reads, **more)


def snapshot(name: str, *columns: str, **more: Any) -> Node:
    """A snapshot."""
    return replace(model(name, *columns, **more), kind="snapshot", materialized="snapshot")


def seed(name: str, *columns: str, checksum: str = "1", **more: Any) -> Node:
    """A seed with a header; `rows` is its content, where that is known."""
    return Node("seed", name, columns, materialized="seed", definition={"checksum": {"checksum": checksum}}, **more)


def source(name: str, *columns: str, **more: Any) -> Node:
    """A source."""
    return Node("source", name, columns, open=True, materialized=None, **more)


def other(kind: str, name: str, *reads: str, owner: str | None = None, **definition: Any) -> Node:
    """A node without columns."""
    content = {} if owner is None else {"owner": owner}
    return Node(kind, name, reads=reads, definition=definition, content=content, materialized=None, traced=False)


def generic(test: str, on: str, column: str | None = None, *more_reads: str, **arguments: Any) -> Node:
    """A generic test."""
    attached: dict[str, Any] = {"test_name": test, "attached_node": f"model.shop.{on}", "column": column, "arguments": arguments}
    return other("test", f"{test}_{on}_{column}", on, *more_reads, **attached)


@dataclass(frozen=True)
class Project:
    """A side with everything that the store has of it."""

    side: ImpactSide
    versions: Mapping[str, ImpactVersion]
    codes: Mapping[str, str | None]


def project(*nodes: Node, columns: bool = True) -> Project:
    """The lineage of these nodes, each after those that it reads; without its columns unless these are known."""
    by_name = {node.name: node for node in nodes}
    spelled: dict[str, list[str]] = {}
    versions: dict[str, ImpactVersion] = {}
    lines: list[tuple[str, str, bytes]] = []
    for node in nodes:
        content = _content(node, by_name, spelled)
        versions[node.unique_id] = _version(node, content if columns and node.traced else None, by_name)
        if node.traced:
            lines.append((node.unique_id, node.status, orjson.dumps(content)))
    ordered = sorted(nodes, key=lambda node: node.unique_id)
    graph = Graph(
        [GraphNode(node.unique_id, node.kind, node.name, "shop", versions[node.unique_id].content) for node in ordered],
        [sorted(by_name[name].unique_id for name in node.reads if name in by_name) for node in ordered],
    )
    return Project(
        ImpactSide(graph, column_graph(graph, lines) if columns else None), versions, {node.unique_id: _code(node) for node in nodes}
    )


def compare(base: Project | Sequence[Node], head: Project | Sequence[Node]) -> Impact:
    """The impact, as the store has it computed: of the nodes that differ."""
    old = base if isinstance(base, Project) else project(*base)
    new = head if isinstance(head, Project) else project(*head)
    pairs = []
    for unique_id in sorted(old.versions.keys() | new.versions.keys()):
        before, after = old.versions.get(unique_id), new.versions.get(unique_id)
        if before != after:
            same = before is not None and after is not None and _traced(before) == _traced(after)
            pairs.append(ImpactPair(_without(before) if same else before, _without(after) if same else after, same_columns=same))
    codes = {unique_id: (old.codes.get(unique_id), new.codes.get(unique_id)) for unique_id in {**old.versions, **new.versions}}
    return impact(old.side, new.side, pairs, codes, {unique_id: version.definition for unique_id, version in new.versions.items()})


def changed(found: Impact, *, inherited: bool = False) -> set[str]:
    """Changes as `stg: removed amount` or `stg: rows`, with a question mark if they are possible."""
    return {_change(one) for one in found.changes if one.inherited == inherited}


def reached(found: Impact) -> dict[str, str]:
    """Reached nodes by name, as `column 2: total` or `model 1`."""
    return {one.unique_id.split(".")[-1]: _reached(one) for one in found.reached}


def broken(found: Impact) -> set[str]:
    """Breaks as `orders: column_removed stg.amount`, with a question mark if they are possible."""
    return {_broken(one) for one in found.breaks}


def is_silent(found: Impact) -> bool:
    """Whether there is nothing to say."""
    return not (found.changes or found.reached or found.breaks)


def _change(one: Change) -> str:
    columns = [f"{old}→{new}" for old, new in zip(one.columns, one.new_columns, strict=True)] if one.new_columns else list(one.columns)
    text = f"{one.unique_id.split('.')[-1]}: {one.change_class} {','.join(columns)}".rstrip()
    return text if one.certain else f"{text}?"


def _reached(one: Reached) -> str:
    return f"{one.by} {one.distance}{': ' + ','.join(one.columns) if one.columns else ''}"


def _broken(one: Break) -> str:
    cause = ".".join(filter(None, ((one.cause or "").split(".")[-1], one.column)))
    text = f"{one.unique_id.split('.')[-1]}: {one.kind} {cause}".rstrip()
    return text if one.certain else f"{text}?"


def _without(version: ImpactVersion | None) -> ImpactVersion | None:
    if version is None:
        return None
    return ImpactVersion(version.unique_id, version.content, version.upstream, version.definition, version.sql_hash)


def _traced(version: ImpactVersion) -> Any:
    return version.status, version.columns, version.code_hash


def _version(node: Node, traced: Mapping[str, Any] | None, by_name: Mapping[str, Node]) -> ImpactVersion:
    content = {
        "unique_id": node.unique_id,
        "resource_type": node.kind,
        "name": node.name,
        "package_name": "shop",
        "materialized": node.materialized,
        "columns": [{"name": name, "data_type": kind} for name, kind in node.yaml.items()],
        **node.content,
    }
    raw = node.text if node.raw is None else node.raw
    table = {"database": "db", "schema": "prod", "alias": node.name} if node.traced else {}
    config = {"materialized": node.materialized, **node.definition.get("config", {})}
    definition = {"contract": {"enforced": False}, "raw_code": raw, **table, **node.definition, "config": config}
    code = _code(node)
    return ImpactVersion(
        node.unique_id,
        orjson.dumps(content),
        sorted(by_name[name].unique_id for name in node.reads if name in by_name),
        orjson.dumps(definition),
        _hash(raw) if node.kind in {"model", "snapshot"} else _hash(""),
        None if traced is None else node.status,
        None if traced is None else orjson.dumps(traced),
        None if traced is None or code is None else _hash(code),
    )


def _code(node: Node) -> str | None:
    """The compiled code; of what cannot be rendered there is none."""
    is_compiled = node.kind in {"model", "snapshot"} and node.status != "unknown"
    return (node.text if node.code is None else node.code) if is_compiled else None


def _content(node: Node, by_name: Mapping[str, Node], spelled: dict[str, list[str]]) -> dict[str, Any]:
    columns: list[list[str | None]] = []
    edges: list[list[Any]] = []
    expressions: list[tuple[str, str | None, str | None]] = []
    for text in node.columns:
        if text.startswith("*"):
            expressions += [(name, None, f"{text[1:]}.{name}") for name in spelled.get(text[1:], [])]
        else:
            found = COLUMN.match(text)
            assert found is not None, text
            own = f"{node.reads[0]}.{found[1]}" if node.reads else None
            expressions.append((found[1], found[2], found[3] or own))
    for name, kind, expression in expressions:
        places = PLACE.findall(expression or "")
        exists = [one for one in places if one[0] in by_name]
        subtype = (
            "IDENTITY" if expression and PLACE.fullmatch(expression) else "AGGREGATION" if "(" in (expression or "") else "TRANSFORMATION"
        )
        edges += [[by_name[node_name].unique_id, column, name, subtype, True] for node_name, column in exists]
        is_made = node.kind in {"model", "snapshot"}
        columns.append([name, kind, _digest(node, "value", expression or name) if is_made else None])
    edges += [[by_name[up].unique_id, column, None, "FILTER", True] for up, column in PLACE.findall(node.rows) if up in by_name]
    spelled[node.name] = [str(name) for name, *_ in columns]
    is_made = node.kind in {"model", "snapshot"}
    return {
        "columns": columns,
        "open": node.open,
        "edges": edges,
        "hard_coded": node.hard_coded,
        "missing": node.missing,
        "uneven": node.uneven,
        "rendered": node.rendered if is_made else None,
        "sql": _sql_digest(node, by_name) if is_made else None,
        "rows": _digest(node, "rows", node.rows) if is_made or node.rows else None,
    }


def _sql_digest(node: Node, by_name: Mapping[str, Node]) -> str | None:
    """Of a query that hands everything on, it is the engine's."""
    if node.digests == "" and node.columns == (f"*{'.'.join(node.reads)}",) and not node.rows:
        table = f"'{by_name[node.reads[0]].unique_id}"
        text = f"!sql2\0{table}\0{table}"
        return "1" + hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return _digest(node, "sql", node.text)


def _digest(node: Node, what: str, text: str) -> str | None:
    return (
        None
        if node.digests is None or node.status == "unknown"
        else f"{node.digests}1{hashlib.blake2b(f'{what} {text}'.encode(), digest_size=6).hexdigest()}"
    )


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()

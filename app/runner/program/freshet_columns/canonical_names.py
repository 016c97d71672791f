"""Names in canonical expressions: columns, stars, subqueries and tables."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns import digests
from freshet_columns.canonical import LOOSE, WRITTEN, Writer, generic, in_list, writes, writes_all
from freshet_columns.date_units import UNITS


@writes(exp.Column)
def _column(writer: Writer, node: Any) -> None:
    scope = writer.scope
    args = node.args
    first = args.get("catalog") or args.get("db") or args.get("table") or args["this"]
    if scope is None or not isinstance(first, exp.Identifier):
        _star_of(writer, node)
        return
    if isinstance(node.this, exp.Star):
        _star_of(writer, node)
        return
    known = scope.resolved.get(id(first))
    if writer.names == WRITTEN:
        _named(writer, node)
    elif known is None:
        _unvisited(writer, node, first)
    elif known[1] is None:
        _named(writer, node)
    elif known[1].digest is None:
        writer.unknown()
    else:
        writer.looks |= known[1].looks
        writer.out.append(known[1].digest)


def _unvisited(writer: Writer, node: Any, first: Any) -> None:
    if writer.names == LOOSE or (first is node.this and first.name.lower() in UNITS):
        _named(writer, node)
    else:
        writer.unknown()


def _named(writer: Writer, node: Any) -> None:
    """A name that is no column, such as `current_date`: the table in front of it is named by its place."""
    parts = [part for part in node.parts if isinstance(part, exp.Identifier)]
    texts = ["`" + digests.text(writer.folding.of(part)) for part in parts]
    if writer.scope is not None and len(parts) > 1:
        place = writer.scope.place(writer.folding.of(parts[0]))
        texts[:1] = [place] if place is not None else texts[:1]
    writer.out += [f"Name{len(texts)}", *texts]


def _star_of(writer: Writer, node: Any) -> None:
    """`t.*`: the list of columns of a table."""
    scope, table = writer.scope, node.args.get("table")
    source = scope.source(scope.run.folding.of(table)) if scope is not None and isinstance(table, exp.Identifier) else None
    if source is not None:
        writer.out += ["Star1", source.columns_digest()]
    else:
        generic(writer, node)


@writes(exp.Star)
def _star(writer: Writer, node: Any) -> None:
    """`count(*)` counts rows, and all of them are known by other digests; in another function, it is all columns."""
    if writer.scope is not None and not isinstance(node.parent, exp.Count):
        writer.out += [f"Star{len(writer.scope.sources)}", *(source.columns_digest() for source in writer.scope.sources)]
    generic(writer, node)


@writes(exp.Struct)
def _struct(writer: Writer, node: Any) -> None:
    """The fields of a struct have names, those of columns if nothing else is said."""
    names = [writer.folding.key(item.name, False) if isinstance(item, (exp.Column, exp.Dot)) else "" for item in node.expressions]  # noqa: FBT003
    if any(names):
        writer.out += [f"Names{len(names)}", *map(digests.text, names)]
    generic(writer, node)


@writes(exp.Columns)
def _columns(writer: Writer, node: Any) -> None:
    matched = writer.scope.matched if writer.scope is not None else None
    if matched is None or matched.digest is None:
        generic(writer, node)
        writer.unknown()
    else:
        writer.out.append(matched.digest)


@writes_all(exp.Query)
def _query(writer: Writer, node: Any) -> None:
    if writer.scope is None:
        generic(writer, node)
        return
    relation = writer.scope.subqueries.get(id(node))
    if relation is None:
        writer.unknown()
    else:
        inner = node.unnest() if isinstance(node, exp.Subquery) else node
        writer.out.append(writer.scope.run.whole_digest(relation, named=bool(inner.args.get("kind") or inner.args.get("for_"))))


@writes(exp.Exists)
def _exists(writer: Writer, node: Any) -> None:
    relation = writer.scope.subqueries.get(id(node.this)) if writer.scope is not None else None
    if relation is None or writer.scope is None:
        generic(writer, node)
    else:
        writer.out += ["Exists1", writer.scope.run.origin(relation).rows]


@writes(exp.In)
def _in(writer: Writer, node: Any) -> None:
    """`a in (1, 2)`, or `a in t`, where `t` is a table."""
    table = node.args.get("field")
    relation = writer.scope.subqueries.get(id(table)) if writer.scope is not None and table is not None else None
    if relation is None or writer.scope is None:
        in_list(writer, node)
    else:
        writer.out += ["InTable2", writer.scope.run.whole_digest(relation)]
        writer.stack.append(node.this)


@writes(exp.Table)
def _table(writer: Writer, node: Any) -> None:
    """A table as an argument of a function: its name says nothing of a CTE."""
    scope = writer.scope
    relation = scope.environment.ctes.get(scope.run.folding.of(node.this)) if scope is not None and node.name and not node.db else None
    if relation is not None and scope is not None:
        writer.out.append(scope.run.whole_digest(relation))
        return
    generic(writer, node)


@writes(exp.Parameter)
def _parameter(writer: Writer, node: Any) -> None:
    known = writer.scope.resolved.get(id(node)) if writer.scope is not None else None
    if known is not None and known[1] is not None and known[1].digest is not None:
        writer.out.append(known[1].digest)
    else:
        generic(writer, node)


@writes(exp.Dot)
def _dot(writer: Writer, node: Any) -> None:
    """`a.b.f()` has names where there may be a column."""
    first = node.this
    while isinstance(first, exp.Dot):
        first = first.this
    known = writer.scope.resolved.get(id(first)) if writer.scope is not None and isinstance(first, exp.Identifier) else None
    if known is None or known[1] is None or known[1].digest is None or not isinstance(node.expression, exp.Func):
        generic(writer, node)
        return
    writer.looks |= known[1].looks
    writer.out += ["Method2", known[1].digest]
    writer.stack.append(node.expression)

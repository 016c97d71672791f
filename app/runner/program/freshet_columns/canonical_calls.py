"""Functions in canonical expressions: what they look at besides their row, and whether they make several rows of one."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns import digests
from freshet_columns.canonical import AGGREGATE, MAYBE_AGGREGATE, ORDER, WINDOW, Writer, generic, writes, writes_all
from freshet_columns.expressions import definitions

_NAMES = "Sum Count CountIf Min Max Avg Median Stddev StddevPop StddevSamp Variance VariancePop LogicalOr LogicalAnd ApproxDistinct"
UNORDERED = tuple(getattr(exp, name) for name in _NAMES.split() if hasattr(exp, name))
"""Aggregates that give the same whatever the order of rows."""


@writes_all(exp.AggFunc)
def _aggregate(writer: Writer, node: Any) -> None:
    if id(node) not in writer.windowed:
        writer.looks |= AGGREGATE if isinstance(node, UNORDERED) else AGGREGATE | ORDER
    generic(writer, node)


@writes(exp.Count)
def _count(writer: Writer, node: Any) -> None:
    """`count(1)` counts rows, like `count(*)`."""
    what = node.this
    if node.expressions or not isinstance(what, (exp.Literal, exp.Star)) or any(what.args.get(name) for name in ("except_", "replace")):
        _aggregate(writer, node)
        return
    if id(node) not in writer.windowed:
        writer.looks |= AGGREGATE
    writer.out.append("CountRows")


@writes(exp.Anonymous)
def _anonymous(writer: Writer, node: Any) -> None:
    """A function that sqlglot does not know: it may be an aggregate."""
    name = str(node.name)
    if id(node) not in writer.windowed:
        writer.looks |= MAYBE_AGGREGATE | ORDER
    dialect = writer.scope.run.facts.dialect if writer.scope is not None else ""
    sensitive = dialect == "clickhouse" or (dialect == "bigquery" and isinstance(node.parent, exp.Dot))
    writer.expands = writer.expands or name.lower() in EXPANDING
    writer.out.append(f"{digests.text(name if sensitive else name.lower())}({len(node.expressions)}")
    writer.stack += reversed(node.expressions)


EXPANDING = frozenset(
    """
    unnest explode explode_outer posexplode posexplode_outer inline inline_outer stack json_tuple arrayjoin flatten generate_subscripts
    json_array_elements json_array_elements_text jsonb_array_elements jsonb_array_elements_text json_each json_each_text jsonb_each
    jsonb_each_text json_object_keys jsonb_object_keys jsonb_path_query regexp_split_to_table regexp_matches string_to_table
    json_populate_recordset jsonb_populate_recordset json_to_recordset jsonb_to_recordset split_to_table generate_series
    """.split()  # noqa: SIM905
)
"""Functions that make several rows of one where a value is expected, unless sqlglot knows them."""


@writes(exp.Explode, exp.ExplodeOuter, exp.Posexplode, exp.PosexplodeOuter, exp.Inline, exp.Unnest, exp.ExplodingGenerateSeries)
def _expanding(writer: Writer, node: Any) -> None:
    writer.expands = True
    generic(writer, node)


@writes(exp.GenerateSeries)
def _series(writer: Writer, node: Any) -> None:
    """A list in some dialects, rows in others."""
    dialect = writer.scope.run.facts.dialect if writer.scope is not None else ""
    writer.expands = writer.expands or dialect in ("postgres", "redshift")
    generic(writer, node)


_WRAPPERS = (exp.IgnoreNulls, exp.RespectNulls, exp.Filter, exp.WithinGroup, exp.Order)


@writes(exp.Window)
def _window(writer: Writer, node: Any) -> None:
    """A named window is written as if it stood here."""
    writer.looks |= WINDOW
    function = node.this
    while isinstance(function, _WRAPPERS) and function.this is not None:
        function = function.this
    writer.windowed.append(id(function))
    parts: list[Any] = [node.this]
    counts = []
    windows = definitions(node, writer.scope) if writer.scope is not None else [node]
    for name in ("partition_by", "order", "spec"):
        found = [item for window in windows for item in _listed(window.args.get(name))]
        counts.append(len(found))
        parts += found
    rest = [name for name, value in node.args.items() if value and name not in _OF_WINDOW]
    parts += [item for name in rest for item in _listed(node.args[name])]
    if not counts[1] and not isinstance(function, UNORDERED):
        writer.looks |= ORDER
    writer.out.append(f"Window{counts}{rest}")
    writer.stack += reversed(parts)


_OF_WINDOW = frozenset(("this", "partition_by", "order", "spec", "alias"))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []

"""The lines of the columns document: one node each, as JSON. `app/lineage/columns` is the reader. Independent of dbt."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from freshet_columns import Analysis, Column, Edge, Star

try:
    import orjson
except ImportError:  # it comes with some adapters only
    orjson = None

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = 1
EXACT, APPROXIMATE, UNKNOWN = "exact", "approximate", "unknown"
MAX_DOCUMENT, MAX_LINE = 256 << 20, 32 << 20
MAX_REASON, MAX_NAME, MAX_COLUMNS, MAX_EDGES, MAX_HARD_CODED, MAX_MISSING = 500, 1000, 10_000, 200_000, 1000, 1000
MAX_CODE = 16 << 20
KEPT = ("ordered", "used", "demands", "rest", "shown", "doubts")
"""Of an analysis, what only the next job reads."""
NEW, REUSED = b'"reused":false', b'"reused":true'


def line(unique_id: str, found: Analysis, facts: dict, cache: dict) -> bytes:
    """Encode a node. `facts`: `compiled_code`, `compiled_reason`, `rendered`. The result ends without a line break."""
    found = _limited(found)
    code = facts.get("compiled_code")
    if code is not None and len(code) > MAX_CODE:
        facts = {**facts, "compiled_code": None, "compiled_reason": "The compiled SQL is too long to be kept."}
    record = {
        "unique_id": unique_id,
        "reused": False,
        "status": found.status,
        "reason": found.reason,
        "columns": found.columns,
        "open": found.open,
        "edges": found.edges,
        "hard_coded": found.hard_coded,
        "compiled_code": facts.get("compiled_code"),
        "compiled_reason": facts.get("compiled_reason"),
        "rendered": facts.get("rendered"),
        "sql": found.sql,
        "rows": found.rows,
        "missing": found.missing,
        "uneven": found.uneven,
        "cache": {**cache, **{name: getattr(found, name) for name in KEPT}},
    }
    text = encoded(record)
    if len(text) > MAX_LINE:
        reason = "What is known about the columns is too big."
        return line(
            unique_id,
            Analysis(UNKNOWN, reason, open=True, ordered=found.ordered, hard_coded=found.hard_coded, used=found.used),
            {},
            {},
        )
    return text


def analysis(record: dict) -> Analysis:
    """The analysis in a decoded line."""
    cache = record["cache"]
    return Analysis(
        status=record["status"],
        reason=record["reason"],
        columns=tuple(Column(*column) for column in record["columns"]),
        open=record["open"],
        ordered=cache["ordered"],
        edges=tuple(Edge(*edge) for edge in record["edges"]),
        hard_coded=tuple(record["hard_coded"]),
        used=tuple(cache["used"]),
        demands=_tuples(cache["demands"]),
        rest=tuple(tuple(Star(unique_id, tuple(excluded), *certain) for unique_id, excluded, *certain in group) for group in cache["rest"]),
        shown=_tuples(cache["shown"]),
        doubts=_tuples(cache["doubts"]),
        sql=record["sql"],
        rows=record["rows"],
        missing=tuple(record["missing"]),
        uneven=record["uneven"],
    )


def _tuples(lists: dict) -> dict:
    return {unique_id: tuple(names) for unique_id, names in lists.items()}


def encoded(value: Any) -> bytes:
    """Encode as JSON. Characters that UTF-8 does not have are replaced."""
    if orjson is not None:
        try:
            return orjson.dumps(_plain(value))
        except TypeError:  # half of a surrogate pair
            pass
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def decoded(text: bytes) -> Any:
    """Decode JSON. Raises ValueError."""
    return orjson.loads(text) if orjson is not None else json.loads(text)


def lines(document: bytes) -> Iterator[tuple[int, int]]:
    """The start and end of each complete line."""
    start = 0
    while True:
        end = document.find(b"\n", start)
        if end < 0:
            return
        yield start, end
        start = end + 1


def _plain(value: Any) -> Any:
    """Named tuples as lists: orjson does not know them."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) if isinstance(each, (list, tuple, dict)) else each for each in value]
    return value


def _limited(found: Analysis) -> Analysis:
    """Within the limits that the reader checks too."""
    reason = found.reason[:MAX_REASON] if found.reason else None
    found = found._replace(
        reason=reason,
        hard_coded=tuple(name[:MAX_NAME] for name in found.hard_coded[:MAX_HARD_CODED]),
        missing=tuple(name for name in found.missing if len(name) <= MAX_NAME)[:MAX_MISSING],
    )
    if any(len(column.type or "") > MAX_NAME for column in found.columns):
        found = found._replace(columns=tuple(_without_long_type(column) for column in found.columns))
    if len(found.columns) <= MAX_COLUMNS and len(found.edges) <= MAX_EDGES and not _has_long_names(found):
        return found
    reason = f"It has more than {MAX_COLUMNS:,} columns, {MAX_EDGES:,} references to columns, or too long names: the others are left out."
    kept = tuple(column for column in found.columns if len(column.name) <= MAX_NAME)[:MAX_COLUMNS]
    edges = _among(found.edges, {column.name for column in kept})
    return found._replace(status=_at_most(APPROXIMATE, found.status), reason=reason, columns=kept, open=True, edges=edges)


def _without_long_type(column: Column) -> Column:
    return column if len(column.type or "") <= MAX_NAME else column._replace(type=None)


def _at_most(status: str, known: str) -> str:
    return status if known == EXACT else known


def _among(edges: tuple, names: set) -> tuple:
    """The edges to these columns and to rows; none at all if they are too many, so that none of a column is missing."""
    found = tuple(edge for edge in edges if len(edge.upstream_column) <= MAX_NAME and (edge.column is None or edge.column in names))
    return found if len(found) <= MAX_EDGES else ()


def _has_long_names(found: Analysis) -> bool:
    names = any(len(column.name) > MAX_NAME for column in found.columns)
    return names or any(len(edge.upstream_column) > MAX_NAME or len(edge.column or "") > MAX_NAME for edge in found.edges)

"""The columns of a lineage in the result of its extraction, and in a summary: how many models are exact, and why others are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from app.core.plurals import count
from app.lineage.column_document import StorableColumns
from app.reports.markdown import code, folded, prose

MAX_REASON = 300
MAX_NAME = 100
OTHERS = ("approximate", "unknown")


def ready(columns: StorableColumns) -> dict[str, Any]:
    """As it is stored with the result."""
    overview: dict[str, Any] = msgspec.to_builtins(columns.overview)
    counts = {"counts": dict(columns.counts), "edges": columns.edge_count, "reused": columns.reused_count}
    return {"state": "ready", "engine": columns.engine, **counts, **overview}


def failed(reason: str) -> dict[str, Any]:
    """The same, where there are no columns; `reason`: full sentences."""
    return {"state": "failed", "reason": reason}


def blocks(result: Mapping[str, Any]) -> Iterator[str]:
    """Blocks of Markdown about the result of an extraction; none if nobody asked for columns."""
    columns = result.get("columns")
    if columns is None:
        return
    yield sentence(result)
    if columns["state"] == "ready":
        yield _not_exact(columns)
        yield _hard_coded(columns)


def sentence(result: Mapping[str, Any]) -> str:
    """One line of Markdown: "Column lineage: 598 of 610 models exact, 12 approximate."."""
    columns = result["columns"]
    if columns["state"] != "ready":
        return f"Column lineage: none. {prose(columns['reason'])}"
    found = line(result)
    return f"Column lineage: {found}" if found else ""


def line(result: Mapping[str, Any]) -> str:
    """How many models are exact: "598 of 610 models exact, 12 approximate."; empty if there are no columns, or no models."""
    columns = result.get("columns") or {"state": None}
    if columns["state"] != "ready":
        return ""
    counts = columns["counts"]
    total = sum(counts.values())
    noun = "models and snapshots" if result["counts"].get("snapshot") else "models" if total != 1 else "model"
    if counts["exact"] == total:
        return f"{'all ' if total > 1 else ''}{total:,} {noun} exact." if total else ""
    rest = [f"{counts[status]:,} {status}" for status in OTHERS if counts[status]]
    return f"{counts['exact']:,} of {total:,} {noun} exact, {', '.join(rest)}."


def _not_exact(columns: Mapping[str, Any]) -> str:
    groups: Sequence[Mapping[str, Any]] = columns["not_exact"]
    lines = [f"- {one['count']:,} {one['status']}{_reason(one['reason'])} ({_names(one)})" for one in groups]
    if (rest := columns["reasons"] - len(groups)) > 0:
        lines.append(f"- {count(rest, 'more reason')}")
    number = sum(columns["counts"][status] for status in OTHERS)
    return folded(f"Why {number:,} {'is' if number == 1 else 'are'} not exact", ["\n".join(lines)])


def _hard_coded(columns: Mapping[str, Any]) -> str:
    tables: Sequence[Mapping[str, Any]] = columns["hard_coded"]
    lines = [f"- {code(one['name'], MAX_NAME)} in {_names(one)}" for one in tables]
    if (rest := columns["tables"] - len(tables)) > 0:
        lines.append(f"- {count(rest, 'more table')}")
    return folded(f"{count(columns['tables'], 'table')} that the SQL names and dbt does not know", ["\n".join(lines)])


def _reason(reason: str) -> str:
    cut = reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON].rstrip()} …"
    return f": {prose(cut.rstrip('.'))}" if reason else ""


def _names(one: Mapping[str, Any]) -> str:
    """The nodes, by their names without type and package: "`orders`, `customers` and 3 more"."""
    names = [code(unique_id.split(".", 2)[-1], MAX_NAME) for unique_id in one["unique_ids"]]
    rest = one["count"] - len(names)
    return f"{', '.join(names)}{f' and {rest:,} more' if rest else ''}"

"""Takes placeholders out of what a container found out about columns: no user reads a name that the project does not have.

The container's own document keeps them, because a later job finds tables in its SQL by these names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from app.core.models.warehouse import TOKEN, is_known
from app.lineage.relations import readable, readable_sql, readable_table

if TYPE_CHECKING:
    from app.lineage.column_document import ColumnsLine, FoundColumn

LEFT_OUT = (
    "Databases and schemas whose names the repository does not have are left out of the SQL. "
    "Other texts that it does not have are shown as `\N{HORIZONTAL ELLIPSIS}`."
)
NAMELESS = "Columns whose names the repository does not have are left out."
HIDDEN = "`\N{HORIZONTAL ELLIPSIS}` stands for a value that the repository does not have."
MAX_REASON = 500
_TOKEN = TOKEN.encode()


def has_placeholders(line: bytes) -> bool:
    """Whether there is one in a line of the document."""
    return _TOKEN in line or _TOKEN in line.lower()


def without_placeholders(found: ColumnsLine) -> ColumnsLine:
    """The line of a node with real names only."""
    columns = tuple(_typed(column) for column in found.columns if is_known(column.name))
    edges = tuple(edge for edge in found.edges if is_known(edge.upstream_column) and is_known(edge.column or ""))
    whole = len(columns) == len(found.columns) and len(edges) == len(found.edges)
    return replace(
        found,
        status="approximate" if found.status == "exact" and not whole else found.status,
        reason=_reason(found.reason, None if whole else NAMELESS),
        columns=columns,
        open=found.open or not whole,
        edges=edges,
        hard_coded=_real(found.hard_coded),
        compiled_code=found.compiled_code and readable_sql(found.compiled_code),
        compiled_reason=_compiled_reason(found),
        missing=tuple(name for name in found.missing if is_known(name)),
    )


def _typed(column: FoundColumn) -> FoundColumn:
    return column if is_known(column.type or "") else replace(column, type=None)


def _reason(*parts: str | None) -> str | None:
    said = [part for part in parts if part]
    if any(not is_known(part) for part in said):
        said = [f"{readable(part).rstrip('.')}." for part in said] + [HIDDEN]
    return " ".join(said)[:MAX_REASON] or None


def _real(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(real for real in map(readable_table, names) if real is not None))


def _compiled_reason(found: ColumnsLine) -> str | None:
    if found.compiled_code is not None and not is_known(found.compiled_code):
        return LEFT_OUT
    return _reason(found.compiled_reason)

"""Turns what the engine found in a node's SQL into what is said about the node. Independent of dbt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import freshet_columns
from freshet_columns import Analysis, Column, Edge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freshet_render_notes import Notes

EXACT, APPROXIMATE, UNKNOWN = "exact", "approximate", "unknown"
FULL, PLAIN = "full", "without_execute"
PYTHON = "It is a Python model: only the columns in YAML are known."
NO_CODE = "It is defined in another project: only the columns in YAML are known."
NO_WAREHOUSE = "Freshet has no warehouse, so what the SQL makes of the answer is missing."
NO_VALUE = "which has no value."
SETTABLE = "Set it in `.github/freshet.yml` to see what the SQL makes of it."
JINJA = re.compile(r"\{#.*?#\}|\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
SNAPSHOT = ("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to")
"""https://docs.getdbt.com/docs/build/snapshots#snapshot-meta-fields"""
DELETED = "dbt_is_deleted"


class Rendered(NamedTuple):
    """How a node was rendered, as it is kept for the next job."""

    how: str
    reasons: tuple = ()
    """What was invented, in sentences."""
    types: tuple = ()
    """Types that stand for unknown ones."""
    failed: str | None = None
    """Why it could not be rendered in full."""


def rendered(how: str, notes: Notes, failed: str | None) -> Rendered:
    """Summarise a rendering."""
    return Rendered(how, tuple(notes.reasons), tuple(sorted(notes.types)), failed)


def judged(found: Analysis, how: Rendered, answered: Iterable[str] = ()) -> Analysis:
    """The engine's findings, with what rendering without a warehouse means for them.

    `answered`: the texts that make something of answers, if some are missing: the SQL alone does not show that they have changed.
    """
    if how.types:
        columns = tuple(one._replace(type=None) if (one.type or "").lower() in how.types else one for one in found.columns)
        found = found._replace(columns=columns)
    if found.status == UNKNOWN:
        return found._replace(reason=_joined(found.reason, *how.reasons, _failed(how)), open=True, ordered=False)
    if how.how == PLAIN or how.reasons:
        said = (*how.reasons, _remedy(how)) if how.reasons else ()
        reason = _joined(*said, _failed(how), found.reason)
        # A column may come from an answer that is missing, and one that is read may not be read then.
        rest = tuple(tuple(star._replace(certain=False) for star in group) for group in found.rest)
        found = found._replace(status=APPROXIMATE, reason=reason, open=True, ordered=False, rest=rest, shown={}, missing=(), uneven=False)
        return freshet_columns.doubted(found, *answered)
    return found


def jinja(code: str) -> list:
    """The Jinja of a node, without comments, and with one space where there are more.

    >>> jinja("select {{ x( 1,  2) }} {# no #} from {{ this }}")
    ['{{ x( 1, 2) }}', '{{ this }}']
    """
    return [" ".join(found.split()) for found in JINJA.findall(code) if not found.startswith("{#")]


def unknown(reason: str, columns: tuple) -> Analysis:
    """Nothing but the documented columns."""
    return Analysis(status=UNKNOWN, reason=reason, columns=columns, open=True, ordered=False, edges=(), hard_coded=(), used=(), demands={})


def contracted(unique_id: str, found: Analysis, contract: tuple) -> Analysis:
    """With the columns of a contract (empty: there is none), which the node asks of itself: they may come through a star."""
    if not contract:
        return found
    known = {column.name.lower() for column in found.columns}
    missing = tuple(column.name for column in contract if column.name.lower() not in known)
    return found._replace(open=False, demands={**found.demands, unique_id: missing} if missing else found.demands)


def snapshot(found: Analysis, config: Any) -> Analysis:
    """The snapshot's table: its SQL's columns, and those that dbt adds."""
    names = getattr(config, "snapshot_meta_column_names", None)
    own = [getattr(names, name, None) or name for name in SNAPSHOT]
    if _option(config, "hard_deletes") == "new_record":
        own.append(getattr(names, DELETED, None) or DELETED)
    taken = {column.name.lower() for column in found.columns}
    added = tuple(Column(name, None) for name in own if name.lower() not in taken)
    return found._replace(columns=found.columns + added, edges=found.edges + _snapshot_edges(found, config, own))


def _option(config: Any, name: str) -> Any:
    """A setting, which dbt may not know by name: it keeps such ones apart."""
    return getattr(config, name, None) or (getattr(config, "_extra", None) or {}).get(name)


def _snapshot_edges(found: Analysis, config: Any, own: list) -> tuple:
    """The time of a version comes from the column that dbt compares, its key from the unique key too."""
    updated = str(getattr(config, "updated_at", None) or "").lower()
    key = getattr(config, "unique_key", None)
    keys = {str(name).lower() for name in (key if isinstance(key, (list, tuple)) else [key])}
    scd_id, updated_at, valid_from, valid_to = own[:4]
    targets = {updated: (scd_id, updated_at, valid_from, valid_to)} if updated else {}
    edges = []
    for edge in found.edges:
        name = (edge.column or "").lower()
        made = targets.get(name, (scd_id,) if name in keys else ())
        edges += [Edge(edge.upstream, edge.upstream_column, target, "TRANSFORMATION", edge.certain) for target in made]
    return tuple(dict.fromkeys(edges))


def _remedy(how: Rendered) -> str:
    return SETTABLE if all(reason.endswith(NO_VALUE) for reason in how.reasons) else NO_WAREHOUSE


def _failed(how: Rendered) -> str | None:
    return None if how.failed is None else f"dbt could not render it in full without a warehouse: {how.failed}"


def _joined(*parts: str | None) -> str:
    said = [part for part in dict.fromkeys(parts) if part]
    text = " ".join([_ended(part) for part in said[:-1]] + said[-1:])
    return text if text.startswith("dbt") else text[:1].upper() + text[1:]


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith(".") else f"{sentence}."

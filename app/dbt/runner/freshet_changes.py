"""Which changes to a repository's files concern nothing but the files themselves. Knows nothing of dbt but what it calls its files.

dbt's partial parsing parses a changed file again, and what it knows to depend on it. What it does not know of is left out here: a model
that comes may be one that others could not find before or found in a package, a macro may be called by a name that is put together,
and what YAML says of a name may stand in another file than the name. Those changes want a full parse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ALONE = ("model", "analysis", "singular_test", "seed", "snapshot")
"""dbt's kinds of files that make nodes of their own: https://github.com/dbt-labs/dbt-core/blob/main/core/dbt/contracts/files.py"""
SCHEMA = "schema"
PATCHES = ("models", "seeds", "snapshots", "analyses")
"""Sections of a schema file that speak of nodes of other files."""
ENTANGLED = ("versions", "relation", "overrides", "access", "group", "latest_version", "deprecation_date")
"""Keys by which an entry makes nodes, or changes what others may refer to."""

Digests = dict  # path in the repository → digest


def changed(before: Digests, now: Digests) -> list | None:
    """Return the paths of the files that changed, None when one came or went."""
    return [path for path in now if before[path] != now[path]] if before.keys() == now.keys() else None


def in_the_way(paths: list, kinds: dict, texts: dict, load: Callable) -> str | None:
    """Return the first of the changed files that wants a full parse, None when there is none.

    `kinds`: path → what dbt takes the file for. `texts`: path → the text of a schema file before and now. `load` reads YAML.
    """
    for path in paths:
        kind = kinds.get(path)
        if kind not in ALONE and (kind != SCHEMA or not _within_entries(*(load(text) for text in texts[path]))):
            return path
    return None


def _within_entries(before: object, now: object) -> bool:
    """Tell whether two contents of a schema file have the same entries, and differ in nothing that others refer to."""
    if not isinstance(before, dict) or not isinstance(now, dict) or before.keys() != now.keys():
        return False
    return all(before[key] == now[key] or _same_entries(key, before[key], now[key]) for key in before)


def _same_entries(section: str, before: object, now: object) -> bool:
    old, new = _by_name(before), _by_name(now)
    if old is None or new is None or list(old) != list(new):
        return False
    pairs = [(old[name], new[name]) for name in old if old[name] != new[name]]
    if any(key in entry for pair in pairs for entry in pair for key in ENTANGLED):
        return False
    if section in PATCHES:
        return True
    return section == "sources" and all(_same_source(*pair) for pair in pairs)


def _same_source(before: dict, now: dict) -> bool:
    tables = [_by_name(entry.get("tables")) for entry in (before, now)]
    return None not in tables and list(tables[0]) == list(tables[1])


def _by_name(entries: object) -> dict | None:
    """Return a section's entries by name; None when they are not a list of entries with names of their own."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in entries):
        return None
    found = {entry["name"]: entry for entry in entries}
    return found if len(found) == len(entries) else None

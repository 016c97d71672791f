"""Decides which changes of files are safe for partial parsing. Independent of dbt, except for its names for kinds of files.

dbt's partial parsing parses changed files again, and those that it knows to depend on them. It misses some dependencies: a new model may be
one that others did not find before or found in a package, a macro may be called by a computed name, and YAML about a name may be in another
file. Such changes need a full parse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ALONE = ("model", "analysis", "singular_test", "seed", "snapshot")
"""dbt's kinds of files that define nodes of their own: https://github.com/dbt-labs/dbt-core/blob/main/core/dbt/contracts/files.py"""
SCHEMA = "schema"
PATCHES = ("models", "seeds", "snapshots", "analyses")
"""Sections of a schema file that describe nodes from other files."""
ENTANGLED = ("versions", "relation", "overrides", "access", "group", "latest_version", "deprecation_date")
"""Keys with which an entry defines nodes, or changes what others can refer to."""

Digests = dict  # path in the repository → digest


def changed(before: Digests, now: Digests) -> list | None:
    """Return the paths of changed files; None if files were added or removed."""
    return [path for path in now if before[path] != now[path]] if before.keys() == now.keys() else None


def needing_full_parse(paths: list, kinds: dict, texts: dict, load: Callable) -> str | None:
    """Return the first of the changed files that needs a full parse, if any.

    `kinds`: path → dbt's kind of the file. `texts`: path → the old and the new text of a schema file. `load` parses YAML.
    """
    for path in paths:
        kind = kinds.get(path)
        if kind not in ALONE and (kind != SCHEMA or not _within_entries(*(load(text) for text in texts[path]))):
            return path
    return None


def _within_entries(before: object, now: object) -> bool:
    """Whether two contents of a schema file have the same entries, and differ in nothing that others refer to."""
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
    """A section's entries by name; None if they are not a list of entries with unique names."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in entries):
        return None
    found = {entry["name"]: entry for entry in entries}
    return found if len(found) == len(entries) else None

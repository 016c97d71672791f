"""Names of tables: dbt quotes them for the warehouse, data catalogs do not."""

from __future__ import annotations

import re

_PART = re.compile(r'"((?:[^"]|"")+)"|`([^`]+)`|\[([^\]]+)\]|([^."`\[\]\s]+)')


def unquoted(relation_name: str) -> str:
    """`database.schema.table` without quotes; unchanged if it has another form."""
    return ".".join(parts_of(relation_name)) or relation_name


def parts_of(relation_name: str) -> list[str]:
    """The parts without quotes; empty if the name has another form."""
    return [text for text, _ in quoted_parts(relation_name)]


def quoted_parts(relation_name: str) -> list[tuple[str, bool]]:
    """The parts without quotes, and whether they had any; empty if the name has another form."""
    parts, place = list[tuple[str, bool]](), 0
    while match := _PART.match(relation_name, place):
        quoted, backquoted, bracketed, bare = match.groups()
        parts.append((bare, False) if bare else (quoted.replace('""', '"') if quoted else backquoted or bracketed, True))
        place = match.end()
        if place == len(relation_name):
            return parts
        if relation_name[place] != ".":
            break
        place += 1
    return []

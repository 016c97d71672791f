"""Names of tables as dbt writes them, quoted for the warehouse, and as catalogues of data know them."""

from __future__ import annotations

import re

_PART = re.compile(r'"((?:[^"]|"")+)"|`([^`]+)`|\[([^\]]+)\]|([^."`\[\]\s]+)')


def plain(relation_name: str) -> str:
    """Return `database.schema.table` without quotes; what is not made like that stays as it is."""
    parts, place = [], 0
    while match := _PART.match(relation_name, place):
        quoted, backquoted, bracketed, bare = match.groups()
        parts.append(quoted.replace('""', '"') if quoted else backquoted or bracketed or bare)
        place = match.end()
        if place == len(relation_name):
            return ".".join(parts)
        if relation_name[place] != ".":
            break
        place += 1
    return relation_name

"""The tables of a project: which node a name in SQL means, and which columns it is known to have."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

from freshet_columns import Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freshet_columns import Analysis

PART = re.compile(r'"((?:[^"]|"")*)"|`([^`]*)`|\[([^\]]*)\]|\'([^\']*)\'|([^."`\[\]\']+)')
IN_WAREHOUSE = ("model", "seed", "snapshot", "source")
"""Resource types that SQL can read, the preferred ones first: a source may be another name of a model's table."""
EPHEMERAL = "__dbt__cte__"
"""dbt's prefix for an ephemeral model's CTE: https://github.com/dbt-labs/dbt-adapters/blob/main/dbt-adapters/src/dbt/adapters/base/relation.py"""
NOT_YET = "not yet"
MAX_HEADER_BYTES = 1 << 20
SEED_RULES = "1"
"""What digests of files begin with: those by other rules say nothing about each other."""
MAX_SEED_BYTES = 64 << 20
MAX_HEADER_NAMES = 10_001
"""One more than a document keeps of a table, so that it says that some are left out."""

Parts = tuple  # names, the database first


class Catalog:
    """The tables known so far. It is filled in the order of the graph, and asked by the engine and by macros."""

    def __init__(self, nodes: Iterable[Any], database: str | None, schema: str | None) -> None:
        """`database`, `schema`: the target's, for names without them."""
        self.tables = {}  # type: dict[str, Table]
        self.hits = {}  # type: dict[str, str]
        """unique_id → digest, of the tables that the current node's SQL has named."""
        self.misses = []  # type: list[Parts]
        self._digests = {}  # type: dict[str, str]
        self._names = {}  # type: dict[Parts, list[tuple[Parts, str]]]
        self._ctes = {}  # type: dict[str, list[str]]
        self._near = frozenset()  # type: frozenset[str]
        self._hidden = frozenset()  # type: frozenset[str]
        self._default = (_lower(database), _lower(schema))
        for node in sorted(nodes, key=lambda node: (IN_WAREHOUSE.index(_kind(node)), node.unique_id)):
            self._index(node)

    def begin(self, node: Any, hidden: frozenset = frozenset()) -> None:
        """Prefer the tables that this node depends on, and forget which ones were named. `hidden`: tables that it does not know yet."""
        self._near, self._hidden = frozenset(node.depends_on.nodes), hidden
        self.hits, self.misses = {}, []

    def add(self, table: Table) -> None:
        """Make a table known."""
        self.tables[table.unique_id] = table

    def table(self, parts: tuple) -> Table | None:
        """The table of a name in SQL, of `(name, quoted)` parts, the database first; None if it is not the project's."""
        names = tuple(name for name, _ in parts)
        return self._found(self.find(names), names)

    def ephemeral(self, cte_name: str) -> Table | None:
        """The ephemeral model behind a CTE that dbt has inserted."""
        return self._found(self.behind_cte(cte_name), (cte_name,))

    def behind_cte(self, cte_name: str) -> str | None:
        """The unique_id of the ephemeral model behind a CTE."""
        return self._nearest(self._ctes.get(cte_name.lower(), []))

    def find(self, names: Parts) -> str | None:
        """The unique_id for a name; None if it is not the project's."""
        found = self._names.get(tuple(name.lower() for name in names), [])
        exact = [unique_id for written, unique_id in found if written == names]
        return self._nearest(exact if len(found) > 1 and exact else [unique_id for _, unique_id in found])

    def digest(self, unique_id: str) -> str:
        """A hash of what is known about a table."""
        if unique_id not in self.tables:
            return NOT_YET
        if unique_id not in self._digests:
            self._digests[unique_id] = hashlib.blake2b(repr(self.tables[unique_id]).encode("utf-8", "replace"), digest_size=9).hexdigest()
        return self._digests[unique_id]

    def has_schema(self, schema: str) -> bool:
        """Whether one of the project's tables is in this schema."""
        return any(len(names) > 1 and names[-2] == schema.lower() for names in self._names)

    def _nearest(self, found: list) -> str | None:
        return next((unique_id for unique_id in found if unique_id in self._near), found[0] if found else None)

    def _found(self, unique_id: str | None, names: Parts) -> Table | None:
        if unique_id is None:
            self.misses.append(names)
            return None
        self.hits[unique_id] = self.digest(unique_id)
        # A table of itself, or in a circle: its columns may be anything.
        known = None if unique_id in self._hidden else self.tables.get(unique_id)
        return known or Table(unique_id, (), open=True, ordered=False)

    def _index(self, node: Any) -> None:
        if is_ephemeral(node):
            for name in {node.name, identifier(node)}:
                self._ctes.setdefault((EPHEMERAL + name).lower(), []).append(node.unique_id)
            return
        attributes = tuple(str(part) for part in (node.database, node.schema, identifier(node)) if part)
        for parts in dict.fromkeys((split(node.relation_name or ""), attributes)):
            for names in self._shortened(parts):
                entries = self._names.setdefault(tuple(name.lower() for name in names), [])
                if (names, node.unique_id) not in entries:
                    entries.append((names, node.unique_id))

    def _shortened(self, parts: Parts) -> list:
        """The names with which a table can be called: as written, and without what the target says anyway."""
        found = [parts] if parts else []
        lower = tuple(part.lower() for part in parts)
        if len(parts) == 3 and lower[0] == self._default[0]:  # noqa: PLR2004
            found.append(parts[1:])
        if len(parts) > 1 and lower[-2] == self._default[1] and lower[:-2] in ((), self._default[:1]):
            found.append(parts[-1:])
        return found


def split(name: str) -> Parts:
    """Split a rendered name into its parts, without quotation marks.

    >>> split('"a"."b.c".d'), split("`p`.`d`")
    (('a', 'b.c', 'd'), ('p', 'd'))
    """
    return tuple(next(part for part in found if part).replace('""', '"') for found in PART.findall(name) if any(found))


def identifier(node: Any) -> str:
    """The name of a node's table."""
    return str(getattr(node, "identifier", None) or getattr(node, "alias", None) or node.name)


def is_ephemeral(node: Any) -> bool:
    """Whether a node is no table, but part of its readers' SQL."""
    return _kind(node) == "model" and node.config.materialized == "ephemeral"


def documented(node: Any) -> tuple:
    """The columns from YAML."""
    return tuple(Column(column.name, column.data_type or None) for column in node.columns.values())


def contract(node: Any) -> tuple:
    """The columns that dbt makes sure a model has, and no others; empty if there is no contract."""
    enforced = getattr(getattr(node.config, "contract", None), "enforced", False)
    return documented(node) if enforced else ()


def source_table(node: Any) -> Table:
    """A source: YAML seldom names all columns."""
    return Table(node.unique_id, documented(node), open=True, ordered=False)


def model_table(node: Any, found: Analysis) -> Table:
    """A model or snapshot, with the columns of its SQL and those of its contract: not what they are made of, which readers do not see."""
    known = {column.name.lower() for column in found.columns}
    more = tuple(column for column in contract(node) if column.name.lower() not in known)
    columns = tuple(Column(column.name, column.type) for column in found.columns)
    return Table(node.unique_id, columns + more, found.open, found.ordered and not more, _lacks(found))


def _lacks(found: Analysis) -> tuple:
    """The keys of columns that none of a model's stars provides. The status does not matter: evidence changes it after readers looked."""
    excluded = [set(star.excluded) for group in found.rest for star in group]
    return tuple(sorted(set.intersection(*excluded))) if excluded else ()


def seed_table(node: Any, project_root: str) -> Table:
    """A seed: the columns of its header; those from YAML if it cannot be read."""
    names = _header(_path(node, project_root), node.config)
    if not names:
        return Table(node.unique_id, documented(node), open=True, ordered=False)
    types = {name.lower(): kind for name, kind in (getattr(node.config, "column_types", None) or {}).items()}
    return Table(node.unique_id, tuple(Column(name, types.get(name.lower())) for name in names), open=False, ordered=True)


def seed_digest(node: Any, project_root: str) -> str | None:
    """A digest of a seed's file, the same whatever its lines end with. dbt's checksum is not, and says nothing of big files."""
    try:
        with open(_path(node, project_root), "rb") as file:
            content = file.read(MAX_SEED_BYTES + 1)
    except OSError:
        return None
    if len(content) > MAX_SEED_BYTES:
        return None
    parts = content.split(b'"')
    # Line breaks in quotes are data.
    parts[::2] = [part.replace(b"\r\n", b"\n") for part in parts[::2]]
    parts[-1] = parts[-1].removesuffix(b"\n")
    return SEED_RULES + hashlib.blake2b(b'"'.join(parts), digest_size=8).hexdigest()


def _path(node: Any, project_root: str) -> str:
    return os.path.join(getattr(node, "root_path", None) or project_root, node.original_file_path)


def _header(path: str, config: Any) -> list:
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
            text = file.readline(MAX_HEADER_BYTES)
        [names] = csv.reader([text], delimiter=getattr(config, "delimiter", None) or ",")
    except (OSError, ValueError, TypeError, csv.Error):
        return []
    return _distinct([name.strip() for name in names[:MAX_HEADER_NAMES]]) if any(map(str.strip, names)) else []


def _distinct(names: list) -> list:
    """The names that dbt gives the columns: a letter if there is none, and a number if it was there before.

    >>> _distinct(["id", "", "name", "name"])
    ['id', 'b', 'name', 'name_2']
    """
    found, last = {}, {}  # type: dict[str, None], dict[str, int]
    for place, name in enumerate(names):
        own = one = name or ascii_lowercase[place % 26] * (place // 26 + 1)
        while one in found:
            last[own] = last.get(own, 1) + 1
            one = f"{own}_{last[own]}"
        found[one] = None
    return list(found)


def _kind(node: Any) -> str:
    return str(getattr(node.resource_type, "value", node.resource_type))


def _lower(text: str | None) -> str:
    return (text or "").lower()

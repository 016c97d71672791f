"""The relations of a project in DuckDB, whose cells are changed as those of the oracle's tables are."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb

from tests.accuracy.oracle import Oracle, different
from tests.accuracy.project_reading import ReadProject
from tests.accuracy.project_rows import Content
from tests.accuracy.truth import Leaf

CLOCK = re.compile(r"\b(?:current_timestamp|localtimestamp|now\s*\(\s*\))(?:\s*\(\s*\))?", re.IGNORECASE)
TODAY = re.compile(r"\bcurrent_date\b(?:\s*\(\s*\))?", re.IGNORECASE)
MAX_ROWS = 400


class Warehouse(Oracle):
    """A project whose sources and seeds have `contents`; its models are tables, or views of what is below them.

    `refused`: models that DuckDB does not run, and those that read them, with the reason.
    """

    soon_s = 1.0

    def __init__(self, project: ReadProject, contents: Mapping[str, Content], *, views: bool = False, max_rows: int = MAX_ROWS) -> None:
        self.relations = {name: node.relation for name, node in project.nodes.items()}
        self.columns, self.rows = {}, {}
        self.refused: dict[str, str] = {}
        self.max_rows = max_rows
        self.database = duckdb.connect()
        self.database.execute("set threads = 1")
        for database, schema in {relation[:2] for relation in self.relations.values()}:
            self.database.execute(f"""attach if not exists ':memory:' as "{database}" """)
            self.database.execute(f'create schema if not exists "{database}"."{schema}"')
        for name, node in project.nodes.items():
            if name in contents:
                self._load(name, contents[name])
            elif node.sql is not None and not node.is_ephemeral:
                self._create(name, still(node.sql), "view" if views else "table")

    def quoted(self, name: str) -> str:
        """The relation of a node, for SQL."""
        return self._name(name)

    def _name(self, table: str) -> str:
        return ".".join(f'"{part}"' for part in self.relations[table])

    def _load(self, name: str, content: Content) -> None:
        listed = ", ".join(f'"{column}" {kind}' for column, kind in content.kinds.items())
        self.database.execute(f"create table {self._name(name)} ({listed})")
        self.columns[name] = content.kinds
        self._fill(name, content.rows)
        self.rows[name] = self.database.execute(f"select * from {self._name(name)} order by rowid").fetchall()

    def _create(self, name: str, sql: str, kind: str) -> None:
        try:
            self.database.execute(f"create {kind} {self._name(name)} as {sql}")
            found = self.database.execute(f"select * from {self._name(name)}")
        except duckdb.Error as error:
            self.refused[name] = str(error).partition("\n")[0]
            return
        self.columns[name] = {column[0].lower(): str(column[1]) for column in found.description or []}
        self.rows[name] = found.fetchall()

    def content(self, name: str, rows: int, seed: int = 1) -> Content:
        """Some rows of a relation."""
        every = self.rows[name]
        chosen = sorted(random.Random(seed).sample(range(len(every)), min(rows, len(every))))
        return Content(self.columns[name], [tuple(every[number]) for number in chosen])

    def _changes(self, tables: Sequence[str], tries: int, r: random.Random) -> Iterator[tuple[Leaf, int, Any]]:
        """In turn another row's value, NULL and a new value, in `tries` rows."""
        for table in tables:
            content = self.rows[table]
            for position, name in enumerate(self.columns[table]):
                known = sorted({row[position] for row in content if row[position] is not None}, key=repr)
                for turn, number in enumerate(r.sample(range(len(content)), min(tries, len(content)))):
                    old = content[number][position]
                    choices = [[value for value in known if value != old], [None], [different(known, r)]]
                    value = r.choice(choices[turn % 3] or [None])
                    if value != old:
                        yield (table, name), number, value


def still(sql: str) -> str:
    """SQL whose clock stands still."""
    return TODAY.sub("date '2025-06-01'", CLOCK.sub("timestamp '2025-06-01 12:00:00'", sql))

"""The columns document of one project while it is made: lines from an earlier one, and new lines.

A file of new lines grows with every node, so that the next process can go on if this one is killed.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import freshet_column_memory
import freshet_column_records as records
import freshet_columns
import sqlglot
from freshet_column_catalog import is_ephemeral
from freshet_columns import Column

if TYPE_CHECKING:
    from freshet_column_child import Task
    from freshet_column_memory import Remembered
    from freshet_columns import Analysis, Table

TOO_BIG = "What is known about the columns of all nodes together is too big."


class NodeLines:
    """The document."""

    def __init__(self, task: Task, dialect: str, macros: dict) -> None:
        """`macros`: unique_id → digest."""
        self._task = task
        self._identity = {
            "version": records.VERSION,
            "dialect": dialect or None,
            "engine": f"sqlglot {sqlglot.__version__}",
            "dbt_version": _dbt_version(),
            "rules": freshet_columns.VERSION,
        }
        self.memory = self._read_memory()
        self._numbers = {unique_id: number for number, (unique_id, _) in enumerate(self.memory.macros)}
        self._macros = macros
        for unique_id in macros:
            self._numbers.setdefault(unique_id, len(self._numbers))
        self._names = {number: unique_id for unique_id, number in self._numbers.items()}
        self._lines = {}  # type: dict[str, bytes]
        self._tables = {}  # type: dict[str, Table]
        self._contents = {}  # type: dict[str, str | None]
        self._dialect = dialect
        self._found = {}  # type: dict[str, Analysis]
        self._reused = set()  # type: set[str]
        self._carried_before = set()  # type: set[str]
        """Those whose line has columns that later nodes asked for, in the earlier document."""
        self._codes = {}  # type: dict[str, str]
        self._work = open(task.work, "ab")  # noqa: SIM115 - it stays open until the process ends
        self._read_work()

    def number_of(self, macro: str) -> int:
        """The number that stands for a macro in lines."""
        return self._numbers[macro]

    def macro_of(self, number: int) -> str:
        """The unique_id of a macro that a number in lines stands for."""
        return self._names[number]

    def finished(self, unique_id: str) -> Analysis | None:
        """What an earlier process of this job has found."""
        return self._found.get(unique_id)

    def found(self, unique_id: str) -> Analysis:
        """What was found about a node that was added."""
        return self._found[unique_id]

    def record(self, unique_id: str) -> dict:
        """The decoded line of a node."""
        return records.decoded(self._lines[unique_id])

    def ephemerals(self, nodes: dict, node: Any) -> dict:
        """The digests of the SQL of ephemeral models that becomes part of the node's, by unique_id."""
        parents = [unique_id for unique_id in node.depends_on.nodes if unique_id in nodes and is_ephemeral(nodes[unique_id])]
        return {unique_id: self._codes.get(unique_id, "") for unique_id in sorted(parents)}

    def add_table(self, table: Table, content: str | None = None) -> None:
        """Add a source or seed; `content`: the digest of its file."""
        self._tables[table.unique_id], self._contents[table.unique_id] = table, content
        # Its place: it is encoded at the end.
        self._lines[table.unique_id] = b""

    def add(self, unique_id: str, found: Analysis, facts: dict, cache: dict) -> Analysis:
        """Add a node that was looked at, perhaps again."""
        self._reused.discard(unique_id)
        self._carried_before.discard(unique_id)
        cache = {key: value for key, value in cache.items() if key != "own"}
        line = records.line(unique_id, found, facts, cache)
        self._work.write(line + b"\n")
        self._work.flush()
        self._keep(unique_id, found, line)
        self._codes[unique_id] = _digest(facts.get("compiled_code"))
        return found

    def reuse(self, unique_id: str, remembered: Remembered) -> Analysis:
        """Add a node as it was."""
        found = remembered.analysis()
        self._keep(unique_id, found, remembered.line)
        self._reused.add(unique_id)
        if remembered.cache.get("own") is not None:
            self._carried_before.add(unique_id)
        self._codes[unique_id] = _digest(remembered.record["compiled_code"])
        return found

    def carry(self, *, without: bool) -> None:
        """Give tables the columns that later nodes ask for, unless that is left out."""
        if without:
            return
        unknown = {key: freshet_columns.Table(key, found.columns) for key, found in self._found.items() if found.status == records.UNKNOWN}
        carried = freshet_columns.carry_demand(self._found, {**self._tables, **unknown}, self._dialect)
        self._tables = {unique_id: carried.tables[unique_id] for unique_id in self._tables}
        for unique_id, found in carried.analyses.items():
            more = found._replace(columns=carried.tables[unique_id].columns) if unique_id in unknown else found
            self._carry(unique_id, more)

    def _carry(self, unique_id: str, found: Analysis) -> None:
        own = self._found[unique_id]
        is_same = found.columns == own.columns and found.edges == own.edges
        if is_same and unique_id not in self._carried_before:
            return
        record = records.decoded(self._lines[unique_id])
        if found.columns == tuple(Column(*column) for column in record["columns"]) and len(found.edges) == len(record["edges"]):
            return
        cache = {**record["cache"], "own": None if is_same else [len(own.columns), len(own.edges)]}
        self._lines[unique_id] = records.line(unique_id, found, record, cache)

    def write(self) -> None:
        """Write the document. Raises ValueError if it is too big."""
        macros = [[unique_id, self._macros.get(unique_id, "")] for unique_id in self._numbers]
        head = records.encoded({**self._identity, "cache": {"macros": macros}})
        for unique_id, table in self._tables.items():
            self._lines[unique_id] = _table_line(table, self._contents[unique_id])
        size = len(head) + sum(len(line) + 1 for line in self._lines.values())
        if size > records.MAX_DOCUMENT:
            raise ValueError(TOO_BIG)
        with open(self._task.document, "wb") as file:
            file.write(head + b"\n")
            for unique_id, line in self._lines.items():
                marks = (records.NEW, records.REUSED) if unique_id in self._reused else (records.REUSED, records.NEW)
                file.write(line.replace(*marks, 1) + b"\n")

    def _keep(self, unique_id: str, found: Analysis, line: bytes) -> None:
        self._lines[unique_id] = line
        self._found[unique_id] = found

    def _read_memory(self) -> freshet_column_memory.Memory:
        try:
            with open(self._task.previous, "rb") as file:
                return freshet_column_memory.Memory(file.read(), self._identity)
        except Exception:  # noqa: BLE001 - it is untrusted: anything may be wrong with it
            return freshet_column_memory.Memory(b"", {})

    def _read_work(self) -> None:
        with open(self._task.work, "rb") as file:
            text = file.read()
        for start, end in records.lines(text):
            with suppress(Exception):
                record = records.decoded(text[start:end])
                self._keep(record["unique_id"], records.analysis(record), text[start:end])
                self._codes[record["unique_id"]] = _digest(record["compiled_code"])


def _table_line(table: Table, content: str | None) -> bytes:
    found = freshet_columns.Analysis(records.EXACT, None, table.columns, open=table.open, ordered=table.ordered, rows=content)
    return records.line(table.unique_id, found, {}, {})


def _dbt_version() -> str:
    from dbt.version import __version__  # noqa: PLC0415

    return str(__version__)


def _digest(code: str | None) -> str:
    return "" if code is None else hashlib.blake2b(code.encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()

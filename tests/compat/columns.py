"""How much column lineage finds in a project: counts from a columns document, and the tables of `docs/compatibility.md` that show them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.compat.watched import DOCUMENT, USAGE

COUNTED = ("model", "snapshot")
TARGETS = (("answered", 1.0), ("rendered in full", 0.99), ("exact", 0.90))
KINDS = (
    ("a Python model", r"It is a Python model"),
    ("dbt could not render it without a warehouse", r"dbt could not render it without"),
    ("the SQL is of another dialect than the adapter's", r"it was read as"),
    ("a part of the SQL could not be parsed", r"this part is left out"),
    (
        "the SQL is none, because a macro builds it from rows of the warehouse",
        r"(could not be parsed|is empty).* (reads rows from|lists tables of)",
    ),
    ("the SQL could not be parsed, or is empty", r"could not be parsed|is empty"),
    ("a macro refuses what `dbt run` does without a warehouse", r"is rendered as for `dbt compile`"),
    ("a macro lists tables of the warehouse", r"lists tables of"),
    ("a macro reads rows from the warehouse", r"reads rows from|asks whether|asks for a list"),
    ("a macro asks for columns of a table of which not all are known", r"asks for the columns of"),
    ("a macro decides by the type of a column, which is not known", r"decides by the type"),
    ("a macro decides by a variable without a value", r"decides by"),
    ("a column may belong to several tables of which not all columns are known", r"may belong to"),
    ("a column that the SQL names does not exist upstream", r"was not found"),
    ("DISTINCT, EXCEPT or INTERSECT over columns that are not all known", r"compares all columns"),
    ("a set operation over stars, the order of whose columns is not known", r"set operation"),
    ("a name that several tables have", r"is ambiguous"),
)
"""What a reason says → how it is counted; the first that matches."""


@dataclass
class Counted:
    """Of one project. `nodes`: its models and snapshots, by the manifest."""

    nodes: int
    dialect: str = ""
    statuses: Counter[str] = field(default_factory=Counter)
    renderings: Counter[str | None] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    python: int = 0
    edges: int = 0
    hard_coded: int = 0
    """Names of tables that the SQL reads and dbt's graph does not have."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    error: str | None = None
    again: bool = False
    """Whether these are models of another row: they count once."""

    def add(self, other: Counted) -> None:
        """Count another project too."""
        self.statuses.update(other.statuses)
        self.renderings.update(other.renderings)
        self.reasons.update(other.reasons)
        for name in ("nodes", "python", "edges", "hard_coded", "seconds", "cpu_seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.peak_memory_bytes = max(self.peak_memory_bytes, other.peak_memory_bytes)

    def share(self, name: str) -> float:
        """The share of a target of `TARGETS`, as a number from 0 to 1; of SQL models only where it is about rendering."""
        if name == "rendered in full":
            return self.renderings["full"] / max(1, self.nodes - self.python)
        return (self.statuses.total() if name == "answered" else self.statuses[name]) / max(1, self.nodes)


def count(directory: Path, unique_ids: Iterable[str]) -> Counted:
    """Count what `watched` has kept in a directory. `unique_ids`: all nodes of the graph."""
    counted = Counted(sum(unique_id.split(".")[0] in COUNTED for unique_id in unique_ids))
    usage = json.loads((directory / USAGE).read_bytes()) if (directory / USAGE).exists() else {"error": "no answer"}
    counted.error = usage.get("error")
    if counted.error is not None:
        return counted
    for name, value in usage.items():
        setattr(counted, name, value or 0)
    head, *lines = (json.loads(line) for line in (directory / DOCUMENT).read_bytes().splitlines())
    counted.dialect = head["dialect"] or ""
    hard_coded: set[str] = set()
    for line in _counted(lines):
        _count_node(counted, line)
        hard_coded.update(line["hard_coded"])
    counted.hard_coded = len(hard_coded)
    return counted


def _counted(lines: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (line for line in lines if line["unique_id"].split(".")[0] in COUNTED)


def _count_node(counted: Counted, line: dict[str, Any]) -> None:
    counted.statuses[line["status"]] += 1
    counted.edges += len(line["edges"])
    kind = None if line["status"] == "exact" else kind_of(line["reason"] or "")
    if kind == KINDS[0][0]:
        counted.python += 1
    else:
        counted.renderings[line["rendered"]] += 1
    if kind is not None:
        counted.reasons[f"{line['status']}: {kind}"] += 1


def kind_of(reason: str) -> str:
    """How a reason is counted.

    >>> kind_of("Column `a` was not found in `b`")
    'a column that the SQL names does not exist upstream'
    """
    return next((kind for kind, pattern in KINDS if re.search(pattern, reason)), "another reason")


def page(rows: Sequence[tuple[str, Counted]]) -> str:
    """The section of `docs/compatibility.md`, in Markdown. Each row: a project's name and its counts."""
    total = _total(counted for _, counted in rows)
    head = ["project", "dialect", "models", "answered", "rendered in full", "exact", "approximate", "unknown", "edges", "not in the graph"]
    cells = [[*head, "CPU of the stage", "memory"], ["---"] * (len(head) + 2), *(_row(*row) for row in rows), _row("**all**", total)]
    reasons = [["models", "why not exact"], ["---"] * 2, *([f"{number:,}", kind] for kind, number in total.reasons.most_common())]
    targets = ", ".join(_verdict(total, name, target) for name, target in TARGETS)
    return f"Over all {total.nodes:,} models and snapshots: {targets}.\n\n{_table(cells)}\n\n{_table(reasons)}"


def _verdict(total: Counted, name: str, target: float) -> str:
    share = total.share(name)
    return f"{name} {share:.2%} (target {target:.0%}: {'met' if share >= target else '**missed**'})"


def missed(rows: Iterable[Counted]) -> list[str]:
    """The targets that are missed over all projects."""
    total = _total(rows)
    return [f"{name}: {total.share(name):.2%} of {target:.0%}" for name, target in TARGETS if total.share(name) < target]


def _total(rows: Iterable[Counted]) -> Counted:
    total = Counted(0)
    for counted in rows:
        if not counted.again:
            total.add(counted)
    return total


def _row(name: str, counted: Counted) -> list[str]:
    if counted.error is not None:
        return [name, "", f"{counted.nodes:,}", f"**none**: {counted.error}", *[""] * 8]
    name += "<br>not in the sum" if counted.again else ""
    shares = [f"{counted.share(target):.1%}" for target, _ in TARGETS]
    statuses = [f"{counted.statuses[status]:,}" for status in ("approximate", "unknown")]
    usage = [f"{counted.cpu_seconds:.1f} s", f"{counted.peak_memory_bytes / 2**20:.0f} MiB"]
    return [name, counted.dialect, f"{counted.nodes:,}", *shares, *statuses, f"{counted.edges:,}", f"{counted.hard_coded:,}", *usage]


def _table(cells: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)

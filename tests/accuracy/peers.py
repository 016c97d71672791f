"""Part (d): other readers of lineage on the same queries. Those that cannot be installed are said to be missing, not left out."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.accuracy import page
from tests.accuracy.constructed import truth_of
from tests.accuracy.engine import claims
from tests.accuracy.generator import Generated
from tests.accuracy.hand import hand_set
from tests.accuracy.scores import Tally, is_rows, is_value, percent
from tests.accuracy.world import TABLES

HERE = Path(__file__).parent
HOME = HERE.parents[1] / ".cache" / "peers"
READERS = ("sqlglot", "sqllineage", "dbt-colibri", "DataHub")
TIME_S = 1800
Ends = set[tuple[str, ...]]


@dataclass
class Standing:
    """How a reader did; `failed` queries count as missed. `missing`: why it could not be asked."""

    name: str
    tally: Tally = field(default_factory=Tally)
    failed: int = 0
    queries: int = 0
    missing: str = ""


@dataclass(frozen=True)
class Question:
    """A query, its value edges, and all other dependences (of columns and of rows), which readers may count as value edges."""

    sql: str
    dialect: str
    columns: tuple[str, ...]
    values: frozenset[tuple[str, ...]]
    allowed: frozenset[tuple[str, ...]]


def questions(generated: Sequence[Generated]) -> dict[str, list[Question]]:
    """The hand set and generated queries."""
    written = [_question(case.sql, "duckdb", case.columns, case.edges) for case in hand_set()]
    return {"hand set": written, "generated": [_question(one.sql, one.dialect, one.columns, truth_of(one)) for one in generated]}


def _question(sql: str, dialect: str, columns: tuple[str, ...], edges: Any) -> Question:
    per_column = [edge for edge in edges if not is_rows(edge)]
    values = frozenset(_ends(edge) for edge in per_column if is_value(edge))
    of_rows = {(edge.upstream, edge.upstream_column, name.lower()) for edge in edges if is_rows(edge) for name in columns}
    return Question(sql, dialect, columns, values, frozenset(_ends(edge) for edge in per_column) | of_rows)


def _ends(edge: Any) -> tuple[str, ...]:
    return edge.upstream, edge.upstream_column, str(edge.column)


def standings(asked: Sequence[Question]) -> list[Standing]:
    """Freshet first, then the others."""
    ours: list[Any] = [
        [_ends(edge) for edge in claims(one.sql, one.dialect).edges if is_value(edge) and not is_rows(edge)] for one in asked
    ]
    problem = _installed()
    return [judged("Freshet", asked, ours), *(_standing(name, asked, problem) for name in READERS)]


def _standing(name: str, asked: Sequence[Question], problem: str) -> Standing:
    if problem and name != "sqlglot":
        return Standing(name, missing=problem)
    python = sys.executable if name == "sqlglot" else str(HOME / "bin" / "python")
    queries = [{"sql": one.sql, "dialect": one.dialect, "columns": one.columns} for one in asked]
    kinds = {
        table: {column: "int" if kind == "int" else "varchar" for column, kind in columns.items()} for table, columns in TABLES.items()
    }
    text = json.dumps({"tables": kinds, "queries": queries})
    command = [python, str(HERE / "peer_reader.py"), name]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=TIME_S)
        return judged(name, asked, json.loads(done.stdout))
    except (subprocess.SubprocessError, ValueError) as error:
        return Standing(name, missing=f"it could not be run ({error})")


def judged(name: str, asked: Sequence[Question], answers: Sequence[Any]) -> Standing:
    """Count right, wrong and missed value edges; a dependence of another kind is neither right nor wrong."""
    standing = Standing(name, queries=len(asked))
    for question, answer in zip(asked, answers, strict=True):
        standing.failed += isinstance(answer, str)
        found: Ends = set() if isinstance(answer, str) else {tuple(edge) for edge in answer}
        standing.tally.add(set(question.values), found - (question.allowed - question.values))
    return standing


def _installed() -> str:
    """Make the environment of the others; the reason why there is none."""
    stamp, wanted = HOME / "installed.txt", (HERE / "peers.txt").read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return ""
    try:
        venv.create(HOME, clear=True, with_pip=True)
        command = [
            str(HOME / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
            str(HERE / "peers.txt"),
        ]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIME_S)
    except (subprocess.SubprocessError, OSError) as error:
        return f"it could not be installed ({type(error).__name__})"
    stamp.write_text(wanted)
    return ""


def versions() -> dict[str, str]:
    """The versions in `peers.txt`."""
    lines = [line.partition("==") for line in (HERE / "peers.txt").read_text().splitlines() if not line.startswith("#")]
    return {name.partition("[")[0]: version for name, _, version in lines}


def section(found: dict[str, list[Standing]]) -> str:
    """The part of the page."""
    pinned = versions()
    names = {"sqllineage": f"sqllineage {pinned['sqllineage']}", "dbt-colibri": f"dbt-colibri {pinned['dbt-colibri']}"}
    names |= {"DataHub": f"DataHub {pinned['acryl-datahub']} (`sqlglot_lineage`)", "sqlglot": "sqlglot (`lineage`), our version"}
    rows = [[names.get(one.name, one.name), asked, *_cells(one)] for asked, standings_ in found.items() for one in standings_]
    head = ["reader", "queries", "number", "value edges: precision", "recall", "queries without an answer"]
    return f"### Other readers, on the same queries\n\n{page.table(head, rows)}"


def _cells(one: Standing) -> list[str]:
    if one.missing:
        return [f"**not measured**: {one.missing}", "", "", ""]
    return [f"{one.queries:,}", percent(one.tally.precision), percent(one.tally.recall), str(one.failed)]

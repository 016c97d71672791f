"""What `docs/accuracy.md` says: numbers between two marks, the rest of the page stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.accuracy.constructed import Compared
from tests.accuracy.digests import Judged
from tests.accuracy.observed import Watch
from tests.accuracy.projects import WatchedProject
from tests.accuracy.scores import CLASSES, Board, Tally, percent

PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"
BEGIN, END = "<!-- numbers: make accuracy -->", "<!-- end of the numbers -->"
NAMES = {"tsql": "T-SQL", "duckdb": "DuckDB", "snowflake": "Snowflake", "bigquery": "BigQuery", "postgres": "PostgreSQL"}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def constructed(found: Compared) -> str:
    """The part about generated queries."""
    boards = found.boards
    every = boards["all"]
    head = ["", "edges", "precision", "recall"]
    classes = [[name, *_tally(every.tallies[name])] for name in CLASSES]
    sure = ["marked exact and certain", f"{every.sure.right + every.sure.wrong:,}", percent(every.sure.precision), ""]
    dialects = [_dialect(name, board) for name, board in boards.items() if name != "all"]
    opened = found.opened
    return "\n\n".join(
        [
            (
                f"### Generated queries\n\n{every.queries:,} queries of {len(found.operators)} operators; "
                f"{every.statuses['exact']:,} exact, {every.columns_differ} with other columns than the query has."
            ),
            table(head, [*classes, sure]),
            table(["dialect", "queries", "value edges: precision", "recall", "row-set edges: precision", "recall"], dialects),
            (
                f"The same queries with tables of which only the first column is known: {opened.statuses['exact']:,} exact, of the edges "
                f"marked exact and certain {percent(opened.sure.precision)} are right; value edges {_both(opened.tallies['value edges'])}, "
                f"row-set edges {_both(opened.tallies['row-set edges'])} (precision, recall; what stands behind a star is not known here)."
            ),
        ]
    )


def _tally(tally: Tally) -> list[str]:
    return [f"{tally.right + tally.missed:,}", percent(tally.precision), percent(tally.recall)]


def _both(tally: Tally) -> str:
    return f"{percent(tally.precision)} and {percent(tally.recall)}"


def _dialect(name: str, board: Board) -> list[str]:
    values, rows = board.tallies["value edges"], board.tallies["row-set edges"]
    shares = [percent(share) for share in (values.precision, values.recall, rows.precision, rows.recall)]
    return [NAMES.get(name, name.capitalize()), f"{board.queries:,}", *shares]


def observed(parts: dict[str, Watch]) -> str:
    """The part about what DuckDB showed."""
    head = ["queries", "", "row-set dependences seen", "covered", "value dependences seen", "covered", "edges claimed", "seen"]
    rows = [[name, f"{watch.queries - watch.left_out}", *_watched(watch)] for name, watch in parts.items()]
    left_out = sum(watch.left_out for watch in parts.values())
    said = f"{left_out} queries were left out: they make too many rows to be run hundreds of times.\n\n" if left_out else ""
    return f"### Watched in DuckDB\n\n{said}{table(head, rows)}"


def projects(found: Sequence[WatchedProject]) -> str:
    """The part about whole projects."""
    head = ["project", "models", "", "row-set dependences seen", "covered", "value dependences seen", "covered", "edges claimed", "seen"]
    rows = [[one.name, f"{one.models}", name, *_watched(watch)] for one in found for name, watch in one.parts.items()]
    rows += [[one.name, "", f"not measured: {one.missing}", *[""] * 6] for one in found if one.missing]
    left_out = [f"- {one.name}: {text}" for one in found for text in one.left_out]
    said = "\n\nModels that were left out:\n\n" + "\n".join(left_out) if left_out else ""
    return f"### Whole projects, watched in DuckDB\n\n{table(head, rows)}{said}"


def _watched(watch: Watch) -> list[str]:
    return [
        f"{watch.rows:,}",
        _share(watch.rows_covered, watch.rows),
        f"{watch.values:,}",
        _share(watch.values_covered, watch.values),
        f"{watch.claimed:,}",
        _share(watch.confirmed, watch.claimed),
    ]


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else "–"


def texts(pairs: dict[str, tuple[int, int]]) -> str:
    """The part about changes of the text; for each the number of queries, and of those whose edges changed."""
    rows = [[name, f"{count:,}", str(differ)] for name, (count, differ) in pairs.items()]
    return f"### Changes that change nothing\n\n{table(['change', 'queries', 'other edges'], rows)}"


def digests(pairs: dict[str, tuple[int, int]], judged: Judged) -> str:
    """The part about digests: changes of the text, and changes of the meaning."""
    rows = [[name, f"{count:,}", str(differ)] for name, (count, differ) in pairs.items()]
    told = [[name, f"{count:,}", str(judged.silent[name])] for name, count in judged.changed.most_common()]
    return "\n\n".join(
        [
            "### Digests\n\nWhere only the text of a query changes, its digests have to stay:",
            table(["change", "queries", "other digests"], rows),
            (
                "Where a query is changed, digests have to differ, unless the change is in something that nothing reads. DuckDB runs both: "
                f"of {judged.partly:,} changes that left the digest of the rows alone, it ran {judged.confirmed + len(judged.wrong):,}; "
                f"{len(judged.wrong)} of them have another result in a column with the same digest."
            ),
            table(["change", "queries", "no digest differs"], told),
        ]
    )


def write(parts: Sequence[str]) -> None:
    """Put the numbers into the page."""
    head, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n" + "\n\n".join(parts) + f"\n{END}{rest.partition(END)[2]}")

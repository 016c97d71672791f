"""Part (a): the engine's claims about generated queries, compared with what the construction knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.accuracy.engine import KNOWN, OPEN, Claims, claims
from tests.accuracy.generator import DIALECTS, Generated
from tests.accuracy.scores import Board
from tests.accuracy.truth import Edge


@dataclass
class Compared:
    """Scores by dialect and over all; `wrong_by`: queries with any difference, by their last operator; `examples` of them."""

    boards: dict[str, Board] = field(default_factory=lambda: {name: Board() for name in (*DIALECTS, "all")})
    opened: Board = field(default_factory=Board)
    operators: Counter[str] = field(default_factory=Counter)
    wrong_by: Counter[str] = field(default_factory=Counter)
    examples: dict[str, tuple[Generated, Claims]] = field(default_factory=dict)


def truth_of(query: Generated) -> frozenset[Edge]:
    """The edges, with names in lower case."""
    return frozenset(edge._replace(column=None if edge.column is None else edge.column.lower()) for edge in query.edges)


def compare(queries: Iterable[Generated]) -> Compared:
    """Count all queries, once with all columns of the tables known and once with hardly any."""
    result = Compared()
    for query in queries:
        result.operators.update(query.operators)
        truth, found = truth_of(query), claims(query.sql, query.dialect, KNOWN)
        for name in (query.dialect, "all"):
            _count(result.boards[name], query, truth, found)
        if truth != found.edges or found.status != "exact":
            _remember(result, query, found)
        _count(result.opened, query, truth, claims(query.sql, query.dialect, OPEN))
    return result


def _count(board: Board, query: Generated, truth: frozenset[Edge], found: Claims) -> None:
    board.add(truth, found.edges)
    board.sure.add(set(truth), set(found.certain))
    board.statuses[found.status] += 1
    board.columns_differ += found.columns != tuple(name.lower() for name in query.columns)


def _remember(result: Compared, query: Generated, found: Claims) -> None:
    """Keep the shortest example of each operator."""
    name = query.operators[-1]
    result.wrong_by[name] += 1
    known = result.examples.get(name)
    if known is None or len(query.sql) < len(known[0].sql):
        result.examples[name] = (query, found)

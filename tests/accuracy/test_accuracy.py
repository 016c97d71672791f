"""A share of `make accuracy` for every run of the tests: generated queries, the hand set in DuckDB, and changes that change nothing."""

from __future__ import annotations

import pytest

from tests.accuracy import constructed, digests, generator, observed
from tests.accuracy.engine import OPEN, claims
from tests.accuracy.hand import Written, hand_set
from tests.accuracy.metamorphic import mutations
from tests.accuracy.operators import ALL
from tests.accuracy.row_matching import compared

QUERIES = 120
WATCHED = 3
"""Each third query of the hand set is watched here, all of them in `make accuracy`."""
HAND_SET = hand_set()


def test_generated_queries_have_the_edges_they_were_made_with() -> None:
    compared = constructed.compare(generator.queries(QUERIES, seed=7))
    assert len(ALL) >= 40
    assert {name: (query.sql, found.reason) for name, (query, found) in compared.examples.items()} == {}
    assert compared.opened.sure.precision >= 0.995


@pytest.mark.parametrize("case", HAND_SET, ids=[case.name for case in HAND_SET])
def test_a_query_of_the_hand_set_has_the_edges_written_beside_it(case: Written) -> None:
    found = claims(case.sql, "duckdb")
    assert found.columns == tuple(name.lower() for name in case.columns)
    assert not found.edges ^ case.edges


def test_duckdb_shows_no_dependence_that_has_no_edge() -> None:
    asked = [observed.Asked(case.name, case.sql, case.edges) for case in HAND_SET[::WATCHED]]
    seen = observed.watch(asked, observed.oracles(1), tries=2)
    assert (seen.faults, seen.left_out) == ([], 0)
    assert seen.confirmed > 0.7 * seen.claimed


BEFORE = [(1, 1, "a", 5), (1, 2, "b", 6), (2, 1, "c", 7), (2, 2, "c", 7)]
ROWS = {
    "one of a pair of columns that identify rows": ([(1, 1, "a", 5), (1, 3, "b", 6), (2, 1, "c", 7), (2, 2, "c", 7)], {1}, False),
    "a value, in another order": ([(2, 1, "c", 7), (1, 1, "a", 9), (1, 2, "b", 6), (2, 2, "c", 7)], {3}, False),
    "a row that went": (BEFORE[1:], set(), True),
}


@pytest.mark.parametrize("name", ROWS)
def test_columns_that_changed_are_found_without_a_key(name: str) -> None:
    after, *expected = ROWS[name]
    assert [*compared(BEFORE, after)] == expected


@pytest.mark.parametrize("number", range(18))
def test_changes_of_the_text_alone_change_no_edge(number: int) -> None:
    query = generator.query(number, generator.DIALECTS[number % len(generator.DIALECTS)])
    known = claims(query.sql, query.dialect).edges
    for name, text in mutations(query.sql, query.dialect).items():
        assert claims(text, query.dialect).edges == known, (name, text)


@pytest.mark.parametrize("number", range(3))
def test_changes_of_the_text_alone_change_no_digest(number: int) -> None:
    counts = digests.rewritten(generator.queries(12, seed=20 + number))
    assert sum(count for count, _ in counts.values()) > 60
    assert {name: differ for name, (_, differ) in counts.items() if differ} == {}


@pytest.mark.parametrize("number", range(2))
def test_what_digests_say_is_equal_is_equal_in_duckdb(number: int) -> None:
    made = [generator.query(40_000_000 + 8 * number + place, "duckdb") for place in range(8)]
    judged = digests.judged(made, digests.databases(1))
    assert judged.wrong == []
    assert judged.confirmed > 10
    assert sum(judged.silent.values()) < 0.15 * sum(judged.changed.values())


def test_sources_of_which_little_is_known_change_nothing_about_digests() -> None:
    for one in generator.queries(12, seed=30):
        text = mutations(one.sql, one.dialect)["formatting and comments"]
        assert digests.digests(text, one.dialect, OPEN) == digests.digests(one.sql, one.dialect, OPEN)

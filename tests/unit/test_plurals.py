"""Numbers before nouns."""

from __future__ import annotations

import pytest

from app.core.plurals import count, plural
from app.lineage.resource_types import RESOURCE_TYPES


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "model", "0 models"),
        (1, "edge", "1 edge"),
        (2, "analysis", "2 analyses"),
        (1, "analysis", "1 analysis"),
        (5, "saved query", "5 saved queries"),
        (1, "saved query", "1 saved query"),
        (17, "model", "17 models"),
        (1_000_000, "node", "1,000,000 nodes"),
        (3, "repository", "3 repositories"),
        (3, "day", "3 days"),
        (2, "branch", "2 branches"),
        (2, "address", "2 addresses"),
        (-1, "edge", "-1 edges"),
    ],
)
def test_a_number_before_a_noun(number: int, noun: str, text: str) -> None:
    assert count(number, noun) == text


def test_every_resource_type_has_its_plural() -> None:
    assert [plural(row.label) for row in RESOURCE_TYPES] == [
        *("models", "seeds", "snapshots", "analyses", "tests", "unit tests", "sources", "exposures", "metrics"),
        *("semantic models", "saved queries", "functions", "operations"),
    ]

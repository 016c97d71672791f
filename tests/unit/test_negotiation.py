"""Content negotiation by `Accept`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.http.negotiation import preferred

OFFERED = ["application/json", "text/csv", "text/vnd.graphviz", "application/vnd.openlineage+json"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV; charset=utf-8", "text/csv"),
        ("text/*", "text/csv"),
        ("text/*, text/csv;q=0.5", "text/vnd.graphviz"),
        ("text/csv;q=0.5, application/json;q=0.4", "text/csv"),
        ("text/csv, application/json", "application/json"),
        ("text/csv ; q=0.501,application/json; Q=0.5", "text/csv"),
        ("*/*;q=0.1, text/vnd.graphviz;q=0.2", "text/vnd.graphviz"),
        ("*/*, application/json;q=0", "text/csv"),
        ("application/json;q=0", None),
        ("image/png", None),
        ("image/png, */*;q=0.001", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ('text/csv;header="a,b;q=0", application/json;q=0.5', "text/csv"),
        ("text/csv;q=2", None),
        ("text/csv;q=high, application/json;q=0.1", "application/json"),
        ("text", None),
        (",,,", None),
        ("*/csv", None),
        ("application/vnd.openlineage+json", "application/vnd.openlineage+json"),
    ],
)
def test_the_most_specific_range_sets_the_weight_and_the_highest_weight_wins(accept: str, expected: str | None) -> None:
    assert preferred(accept, OFFERED) == expected


@given(st.text(alphabet='texcsv/*;q=01.5, "\\\t\xff', max_size=60))
def test_any_header_is_accepted(accept: str) -> None:
    assert preferred(accept, OFFERED) in (*OFFERED, None)

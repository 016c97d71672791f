from __future__ import annotations

import time

import pytest

from app.reports.impact_lines import line_of_change, line_of_column


@pytest.mark.parametrize(
    ("code", "column", "line"),
    [
        ("select\n  a.amount\nfrom x", "amount", 2),
        ("select\n  AMOUNT", "amount", 2),
        ("select amount_eur,\n amount", "amount", 2),
        ("select $amount, amount$ from x", "amount", None),
        ("-- amount\n/* amount\n amount */ select\n{# amount #} amount", "amount", 4),
        ("select '--', amount", "amount", None),
        ("/* never closed\namount", "amount", 2),
        ("select {{ dbt_utils.star(ref('x')) }}", "amount", None),
        ("select `a b`\nfrom x", "a b", 1),
        ("select a.b(c", "b(c", 1),
        ("", "amount", None),
    ],
)
def test_the_first_line_that_names_a_column_outside_of_comments(code: str, column: str, line: int | None) -> None:
    assert line_of_column(code, column) == line


@pytest.mark.parametrize(
    ("base", "head", "line"),
    [
        ("select\n  id,\n  amount,\n  tax\nfrom x", "select\n  id,\n  tax\nfrom x", 3),
        ("select\n  id,\n  amount\nfrom x", "select\n  id\nfrom x", 2),
        ("select amount", "select tax", 1),
        ("select\n  amount\nfrom x", "with new as (select 1)\n\nselect\n  tax\nfrom x", 4),
        ("with a as (\n  select amount from b\n)\nselect amount\nfrom a", "with a as (\n  select amount from b\n)\nselect tax\nfrom a", 4),
        ("select\n  id,\n  amount", "select\n  id,", 2),
        ("select amount", "select amount", None),
        ("select id", "select tax", None),
    ],
)
def test_the_line_at_which_a_column_went(base: str, head: str, line: int | None) -> None:
    assert line_of_change(base, head, "amount") == line


@pytest.mark.growth
@pytest.mark.parametrize("text", ["/*", "{#", "--", "amount", "/* */", "{# #}", "\n", "amount\n", " ", "("])
def test_long_code_of_strangers_takes_linear_time(text: str) -> None:
    code = text * (400_000 // len(text))
    start = time.process_time()
    line_of_column(code, "nowhere")
    line_of_change(code, "", "amount")
    assert time.process_time() - start < 5

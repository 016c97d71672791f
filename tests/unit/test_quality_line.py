"""The line of a check run about quality."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.core.models.quality import DIMENSIONS, RULES
from app.reports import check_run
from app.reports.quality_line import line
from tests.unit.test_check_run import succeeded

CHECKS = (Path(__file__).parents[2] / "docs/checks.md").read_text()
EXAMPLE = {
    "score": 71.2,
    "shown": True,
    "base": "1a2b3c4",
    "base_score": 69.0,
    "dimensions": {"tests": {"more": 0, "fewer": 4, "exposures": 0}, "column_descriptions": {"more": 2, "fewer": 0, "exposures": 3}},
    "findings": {"source_fanout": 1},
}


def said(*, followed: bool = False, **quality: Any) -> str:
    extraction = succeeded(None)
    return line(replace(extraction, followed=followed, result={**extraction.result, "quality": {**EXAMPLE, **quality}}))


def test_the_example_of_the_page_is_what_is_said() -> None:
    assert f"> {said()}\n" in CHECKS
    extraction = succeeded(None)
    body = check_run.check_run(replace(extraction, result={**extraction.result, "quality": EXAMPLE}), "u")
    assert f"\n\n{said()}\n\n" in body["output"]["summary"]


@pytest.mark.parametrize(
    ("quality", "words"),
    [
        ({"dimensions": {}, "findings": {"unused_models": -1}}, "Quality 71 (+2): 1 fewer model that nothing reads."),
        ({"base_score": 71.0, "dimensions": {}}, "Quality 71 (+0.2): 1 more source that several models read."),
        ({"base_score": 80.0, "dimensions": {}}, "Quality 71 (\N{MINUS SIGN}9): 1 more source that several models read."),
        ({"base_score": None, "dimensions": {}}, "Quality 71: 1 more source that several models read."),
        ({"score": None, "dimensions": {}}, "Quality: 1 more source that several models read."),
        (
            {"dimensions": {"keys": {"more": 1, "fewer": 1, "exposures": 1}}, "findings": {}},
            "Quality 71 (+2): 1 more node without a tested key that 1 exposure depends on, 1 fewer node without a tested key.",
        ),
        (
            {"findings": {"source_fanout": 1, "folder_cycles": -2}},
            f"{said().removesuffix('.')}, and 1 more change.",
        ),
    ],
)
def test_what_is_worse_comes_first_and_the_rest_is_counted(quality: dict[str, Any], words: str) -> None:
    assert said(**quality) == words


def test_nothing_is_said_where_there_is_nothing_to_say() -> None:
    unchanged: dict[str, Any] = {"dimensions": {}, "findings": {}}
    assert said(**unchanged) == ""
    assert said(**unchanged, followed=True) == "Quality 71 (+2)."
    assert said(**unchanged, followed=True, score=0.0) == "", "a project that has nothing of it"
    assert said(**unchanged, followed=True, score=None) == ""
    assert said(shown=False) == ""
    assert line(succeeded(None)) == "", "an extraction of an earlier release"
    assert said(dimensions={"beauty": {"more": 1, "fewer": 0, "exposures": 0}}, findings={"new_rule": 1}) == "", "of a later release"


def test_each_dimension_and_each_rule_has_words() -> None:
    every = {name: {"more": 2, "fewer": 1, "exposures": 0} for name in DIMENSIONS}
    assert said(dimensions=every, findings=dict.fromkeys(RULES, 1)).endswith("more changes.")

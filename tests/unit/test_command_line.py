"""Advice for every place: what a check run says, and what the command line says, where nobody pushes and no check run exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.errors import FreshetError
from app.project.runner_images import BUILDABLE, RequestedVersion, RunnerImage, choose_image
from app.reports import results
from app.reports.command_line import PHRASES, for_command_line
from tests import source

APP = Path(__file__).parents[2] / "app"
ROOMS = ("project", "packages", "pipeline", "runner", "reports", "core/errors.py")
ONLY_FOR_CHECK_RUNS = re.compile(
    r"\b[Rr]e-run|un the extraction again|push again|this check\b|[Tt]he operator\b|App's installation|on the repositories|see dbt's log",
    re.ASCII,
)
SERVICE_ONLY = {
    "pipeline/worker.py",  # internal errors of the service
    "pipeline/decoding/pool.py",  # the command line decodes in its own process
    "reports/command_line.py",
    "reports/summary.py",  # cancelled extractions
}


def advice() -> Iterator[tuple[str, str]]:
    """Every text of the code that only makes sense where there are check runs."""
    for room in ROOMS:
        for path in [APP / room] if room.endswith(".py") else sorted((APP / room).rglob("*.py")):
            place = str(path.relative_to(APP))
            if place in SERVICE_ONLY or "program" in path.parts:
                continue
            yield from ((place, text) for _, text in source.texts(path) if ONLY_FOR_CHECK_RUNS.search(text))


@pytest.mark.parametrize(("place", "text"), sorted(set(advice())))
def test_the_command_line_names_no_check_run_and_no_operator(place: str, text: str) -> None:
    adapted = for_command_line(text)
    assert not ONLY_FOR_CHECK_RUNS.search(adapted), f"{place}: {adapted}"


def test_every_phrase_is_still_said() -> None:
    said = "\n".join(text for _, text in advice())
    assert [phrase for phrase, _ in PHRASES if phrase not in said] == []


VERSIONS = {
    "in dbt_project.yml": "`require-dbt-version` in `dbt_project.yml`",
    "in the settings": "`dbt_version` in `.github/freshet.yml`",
}
AVAILABLE = {
    "none": [],
    "one": [RunnerImage("dbt-runner:latest", "1", "1.11.16", frozenset({"duckdb"}))],
}


@pytest.mark.parametrize("on_command_line", [False, True])
@pytest.mark.parametrize("available", AVAILABLE)
@pytest.mark.parametrize("evidence", VERSIONS)
@pytest.mark.parametrize("required", ["1.4", "3.0", "1.6"])
def test_advice_about_versions_can_be_followed(required: str, evidence: str, available: str, on_command_line: bool) -> None:  # noqa: FBT001 - a parameter
    with pytest.raises(FreshetError) as caught:
        choose_image(AVAILABLE[available], RequestedVersion((required,), None, VERSIONS[evidence]), "duckdb", "octo/shop")
    problem = results.problem(caught.value, on_command_line=on_command_line)
    offered = re.findall(r"(?:--dbt |dbt_version: \")(\d+)\.(\d+)", problem.next_step)
    assert offered
    assert all((int(major), int(minor)) in BUILDABLE for major, minor in offered), problem.next_step
    if required == "1.6":
        assert problem.conclusion == "neutral", "a button helps once the image is built"
        assert ("operator" in problem.next_step) != on_command_line
    else:
        assert problem.conclusion == "failure", "no button helps"
        assert ("in `.github/freshet.yml`" in problem.next_step) == (evidence == "in dbt_project.yml")

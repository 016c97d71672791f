"""The sample project's edges, as a container finds them, against what DuckDB shows when cells change: a share of `make accuracy`."""

from __future__ import annotations

import aiodocker

from tests.accuracy import projects
from tests.accuracy.project_files import SAMPLE_PROJECT


async def test_edges_of_the_sample_project_cover_all_that_duckdb_shows(docker: aiodocker.Docker) -> None:
    found = await projects.watch_project(SAMPLE_PROJECT, tries=3, sizes=(40,))
    assert found.missing == ""
    assert [text.partition(":")[0] for text in found.left_out] == ["days"], "a calendar that reads nothing"
    for watch in found.parts.values():
        assert watch.faults == []
        assert watch.queries == found.models - 1
        assert watch.rows > 10
        assert watch.confirmed > 0.8 * watch.claimed

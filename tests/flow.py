"""An extraction up to dbt: which files are fetched and passed to the container, without a database and an engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.core.models.extractions import Stage
from app.core.models.github import Repository
from app.pipeline.ports import Sources
from app.pipeline.refresh import CarriedLineage, Commit, Tools, refresh
from app.project.layout import ProjectLayout
from app.project.runner_images import RunnerImage
from app.store.lineages import KnownInput

IMAGE = RunnerImage("runner", "sha256:1", "1.11.0", frozenset({"duckdb", "trino"}))


class _Progress:
    """Every input is known, so an extraction ends before dbt."""

    async def enter(self, stage: Stage) -> None: ...

    async def choose_project_dir(self, projects: Sequence[str]) -> str | None:
        return projects[0]

    async def find_known_input(self, input_hash: bytes) -> KnownInput:
        return KnownInput(0, input_hash.hex(), {})

    def record(self, **facts: Any) -> None: ...

    def annotate(self, annotations: Any) -> None: ...


class _Runner:
    """Has an image."""

    async def images(self) -> Sequence[RunnerImage]:
        return [IMAGE]

    async def identify(self, request: Any) -> str:
        del request
        return ""


async def laid_out(sources: Sources, repository: Repository, sha: str) -> tuple[ProjectLayout, str]:
    """What dbt would read, and its input hash in hexadecimal digits."""
    nothing: Any = _Runner()
    progress: Any = _Progress()
    done = await refresh(Commit("1", repository, sha), Tools(sources, nothing, nothing, nothing), progress)
    assert isinstance(done, CarriedLineage)
    return done.layout, done.earlier.sha

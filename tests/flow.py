"""An extraction up to dbt: what is fetched of a commit and what would go into the container, without a database and without an engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.images import RunnerImage
from app.inference.project import Layout
from app.jobs import Repository, Stage
from app.ports import Sources
from app.records import KnownInput
from app.refresh import Carried, Commit, Tools, refresh

IMAGE = RunnerImage("runner", "sha256:1", "1.11.0", frozenset({"duckdb", "trino"}))


class _Ledger:
    """One whose every input is known: an extraction ends before dbt."""

    async def enter(self, stage: Stage) -> None: ...

    async def locate(self, projects: Sequence[str]) -> str | None:
        return projects[0]

    async def known(self, input_hash: bytes) -> KnownInput:
        return KnownInput(0, input_hash.hex(), {})

    def learn(self, **facts: Any) -> None: ...


class _Runner:
    """One that has an image."""

    async def images(self) -> Sequence[RunnerImage]:
        return [IMAGE]


async def laid_out(sources: Sources, repository: Repository, sha: str) -> tuple[Layout, str]:
    """Return what dbt would get, and the hash of it in hexadecimal digits."""
    nothing: Any = _Runner()
    ledger: Any = _Ledger()
    done = await refresh(Commit("1", repository, sha), Tools(sources, nothing, nothing, nothing), ledger)
    assert isinstance(done, Carried)
    return done.layout, done.known.sha

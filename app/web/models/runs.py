"""What an extraction went through, as it is shown: stages, tries, settings, cost, and what came of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal, Self

from pydantic import Field

from app.jobs import Facts, Outcome, Problem, Stage, StageTime
from app.web.models.common import Model, Time


class StageView(Model):
    """One stage of an extraction."""

    stage: Stage
    state: Literal["running", "done"]
    started_at: Time
    finished_at: Time | None
    seconds: float | None

    @classmethod
    def of(cls, stage: StageTime) -> Self:
        """Show a stage."""
        state: Literal["running", "done"] = "running" if stage.ended_at is None else "done"
        return cls(stage=stage.stage, state=state, started_at=stage.started_at, finished_at=stage.ended_at, seconds=stage.seconds)


class TryView(Model):
    """One time that an extraction was begun."""

    number: int
    began_at: Time
    ended_at: Time | None
    outcome: Annotated[
        Outcome | None,
        Field(
            description="Null while it runs. `retried`: what stopped it may pass; `handed_back`: the service stopped, and it does not "
            "count; `lost`: the service died, or the database was away"
        ),
    ]
    stage: Annotated[Stage | None, Field(description="Where it ended, if not well")]
    title: str | None
    message: Annotated[str | None, Field(description="Why it did not end well")]
    next_due_at: Annotated[Time | None, Field(description="When the next one may begin")]


class LeftOutView(Model):
    """A directory with a `dbt_project.yml` that is no project of its own."""

    directory: str
    reason: Annotated[str, Field(description="To be read after the directory")]


class SettingsView(Model):
    """What the project was extracted with, most of it inferred: null where the extraction did not come to it."""

    project_dir: str | None
    profile: str | None
    target: str | None
    adapter_type: Annotated[str | None, Field(description="The project's own adapter, or the one that stood in for it")]
    evidence: Annotated[str | None, Field(description="Where adapter and target were read off")]
    image: Annotated[str | None, Field(description="The runner image")]
    dbt_version: str | None
    left_out: list[LeftOutView]


class PlaceholderView(Model):
    """A value that was invented, since nobody gives one: https://docs.getdbt.com/reference/dbt-jinja-functions/env_var."""

    kind: Literal["env_var", "var"]
    name: str
    value: str
    path: str | None
    line: int | None


class CostView(Model):
    """What an extraction took, of its last try: null where it is not known, or the extraction did not come to it."""

    dbt_seconds: Annotated[float | None, Field(description="From dbt's job to its end; null when the lineage was carried forward")]
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    fetched_bytes: Annotated[int | None, Field(description="Received from git for it, packed; 0 when the commit was there")]
    packages_bytes: Annotated[int | None, Field(description="Of the packages that dbt was given, as an archive")]
    manifest_bytes: int | None

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Show what is known."""
        usage = facts.usage
        return cls(
            dbt_seconds=usage.seconds if usage else None,
            cpu_seconds=usage.cpu_seconds if usage else None,
            peak_memory_bytes=usage.peak_memory_bytes if usage else None,
            fetched_bytes=facts.fetched_bytes,
            packages_bytes=facts.packages_bytes,
            manifest_bytes=facts.manifest_bytes,
        )


class RemarkView(Model):
    """What is said of one place, or of the whole; `path` is in the repository."""

    level: Literal["failure", "warning", "notice"]
    title: str
    message: str
    path: str | None
    line: int | None


class ChangeCounts(Model):
    """How many."""

    nodes_added: int
    nodes_removed: int
    nodes_changed: int
    edges_added: int
    edges_removed: int


class ChangeView(Model):
    """What changed against the connection's lineage before. The lists hold the first ones, `counts` all; `…/diff` lists all."""

    nodes_added: list[str]
    nodes_removed: list[str]
    nodes_changed: list[str]
    edges_added: list[tuple[str, str]]
    edges_removed: list[tuple[str, str]]
    counts: ChangeCounts
    total: int


class UsageView(Model):
    """What the container took; empty when dbt did not run."""

    seconds: float | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None


class ResultView(Model):
    """What came of a success."""

    project_dir: str | None = None
    project_name: str | None = None
    dbt_version: str | None = None
    adapter_type: str | None = None
    target: str | None = None
    evidence: str | None = None
    image: str | None = None
    counts: Annotated[dict[str, int], Field(description="Nodes by resource type")] = {}  # noqa: RUF012 - pydantic copies it
    nodes: int | None = None
    edges: int | None = None
    change: Annotated[ChangeView | None, Field(description="Null for the first lineage of a connection")] = None
    carried_from: Annotated[str | None, Field(description="The commit whose lineage still holds: nothing that dbt reads changed")] = None
    notes: Annotated[list[str], Field(description="What was inferred and what was left out, in sentences")] = []  # noqa: RUF012
    placeholders: list[PlaceholderView] = []  # noqa: RUF012
    remarks: list[RemarkView] = []  # noqa: RUF012
    usage: UsageView = UsageView()


class ProblemView(Model):
    """Why an extraction did not succeed."""

    title: str
    message: str
    next_step: str
    output: str
    path: str | None
    line: int | None
    remarks: list[RemarkView]

    @classmethod
    def of(cls, problem: Problem) -> Self:
        """Show a problem."""
        shown = asdict(problem)
        shown.pop("conclusion")
        return cls(**shown)

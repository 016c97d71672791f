"""The parts of an extraction in responses: stages, attempts, settings, cost, result, error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator

from app.core.models.comparisons import BaseKind
from app.core.models.extractions import Facts, Outcome, Problem, Stage, StageTime
from app.core.models.github import Conclusion
from app.web.api.schemas.common import Model, Time
from app.web.api.schemas.lineages import Edge


class StageView(Model):
    """One stage of an extraction."""

    stage: Annotated[Stage, Field(description="Which stage")]
    state: Annotated[Literal["running", "done"], Field(description="`done`: it has ended, well or not")]
    started_at: Annotated[Time, Field(description="When it began")]
    finished_at: Annotated[Time | None, Field(description="When it ended; null while it runs")]
    seconds: Annotated[float | None, Field(description="Duration in seconds; null while it runs")]

    @classmethod
    def of(cls, stage: StageTime) -> Self:
        """From the stored times."""
        state: Literal["running", "done"] = "running" if stage.ended_at is None else "done"
        return cls(stage=stage.stage, state=state, started_at=stage.started_at, finished_at=stage.ended_at, seconds=stage.seconds)


class AttemptView(Model):
    """One attempt at an extraction."""

    number: Annotated[int, Field(description="Counts every attempt from 1, those that were handed back too")]
    began_at: Annotated[Time, Field(description="When it began")]
    ended_at: Annotated[Time | None, Field(description="When it ended; null while it runs")]
    outcome: Annotated[
        Outcome | None,
        Field(
            description="How it ended; null while it runs. `retried`: a temporary problem, so another attempt follows; `handed_back`: the "
            "service was stopped, and the attempt does not count; `lost`: the service crashed or the database was unavailable"
        ),
    ]
    stage: Annotated[Stage | None, Field(description="The stage in which it stopped; null when it succeeded or still runs")]
    title: Annotated[str | None, Field(description="What went wrong, in a few words; null when nothing did, or only `outcome` is known")]
    message: Annotated[str | None, Field(description="What went wrong, in sentences; null like `title`")]
    next_due_at: Annotated[Time | None, Field(description="When the next attempt may begin; null when none follows")]


class LeftOutView(Model):
    """A directory with a `dbt_project.yml` that is not treated as a project."""

    directory: Annotated[str, Field(description="Relative to the root of the repository")]
    reason: Annotated[str, Field(description="Why; completes a sentence that begins with the directory")]


class RunSettingsView(Model):
    """What the project was extracted with, mostly inferred. Null: the extraction did not get that far."""

    project_dir: Annotated[str | None, Field(description="Directory of the project, empty for the repository's root")]
    profile: Annotated[str | None, Field(description="dbt profile that the project names")]
    target: Annotated[str | None, Field(description="dbt target")]
    adapter_type: Annotated[str | None, Field(description="The project's adapter, or the stand-in that was used for it")]
    evidence: Annotated[str | None, Field(description="The file, and what in it, from which adapter and target were inferred")]
    image: Annotated[str | None, Field(description="Name of the runner image")]
    dbt_version: Annotated[str | None, Field(description="dbt's version in that image")]
    left_out: Annotated[list[LeftOutView], Field(description="Directories that were not treated as projects, by path")]


class PlaceholderView(Model):
    """A value that Freshet used for a variable that has neither a value nor a default.

    https://docs.getdbt.com/reference/dbt-jinja-functions/env_var
    """

    kind: Annotated[Literal["env_var", "var"], Field(description="The dbt function that asked for it")]
    name: Annotated[str, Field(description="Name of the variable")]
    value: Annotated[str, Field(description="The value that was used")]
    path: Annotated[str | None, Field(description="File that asked for it, relative to the repository's root; null: not known")]
    line: Annotated[int | None, Field(description="Line in that file, from 1; null: not known")]


class CostView(Model):
    """What the newest attempt used. Null: not known, or the attempt did not get that far."""

    dbt_seconds: Annotated[float | None, Field(description="Seconds that dbt ran; null when the lineage was carried forward")]
    cpu_seconds: Annotated[float | None, Field(description="CPU seconds of dbt's container")]
    peak_memory_bytes: Annotated[int | None, Field(description="Peak memory of dbt's container")]
    fetched_bytes: Annotated[int | None, Field(description="Packed bytes received from git; 0 when the commit was in the mirror already")]
    packages_bytes: Annotated[int | None, Field(description="Size of the installed dbt packages, as a tar archive")]
    manifest_bytes: Annotated[int | None, Field(description="Size of dbt's `manifest.json`")]

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """From the stored facts."""
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
    """A finding about one place in the repository, or about the project as a whole."""

    level: Annotated[Literal["failure", "warning", "notice"], Field(description="How bad it is, as in GitHub's annotations")]
    title: Annotated[str, Field(description="What it is, in a few words")]
    message: Annotated[str, Field(description="The details; may have several lines")]
    path: Annotated[str | None, Field(description="File, relative to the repository's root; null: it concerns the whole project")]
    line: Annotated[int | None, Field(description="Line in that file, from 1; null: it concerns the whole file")]


class ChangeCounts(Model):
    """The number of differences of each kind."""

    nodes_added: Annotated[int, Field(description="Nodes added")]
    nodes_removed: Annotated[int, Field(description="Nodes removed")]
    nodes_changed: Annotated[int, Field(description="Nodes changed")]
    edges_added: Annotated[int, Field(description="Edges added")]
    edges_removed: Annotated[int, Field(description="Edges removed")]


class ChangeView(Model):
    """Changes since the connection's previous lineage. Lists have at most 50 items, in order of `unique_id`; `…/diff` lists all."""

    nodes_added: Annotated[list[str], Field(description="`unique_id`s of added nodes")]
    nodes_removed: Annotated[list[str], Field(description="`unique_id`s of removed nodes")]
    nodes_changed: Annotated[list[str], Field(description="`unique_id`s of changed nodes")]
    edges_added: Annotated[list[Edge], Field(description="Added edges")]
    edges_removed: Annotated[list[Edge], Field(description="Removed edges")]
    counts: Annotated[ChangeCounts, Field(description="The complete numbers")]
    total: Annotated[int, Field(description="Sum of `counts`")]

    @field_validator("edges_added", "edges_removed", mode="before")
    @classmethod
    def _stored_pairs(cls, edges: Sequence[Any]) -> list[Any]:
        """Edges are stored as pairs."""
        return [{"upstream": edge[0], "downstream": edge[1]} if isinstance(edge, list | tuple) else edge for edge in edges]


class NotExactView(Model):
    """Models and snapshots whose columns are not exact for the same reason."""

    status: Annotated[str, Field(description="`approximate` or `unknown`")]
    reason: Annotated[str, Field(description="Why, in sentences")]
    count: Annotated[int, Field(description="Number of nodes")]
    unique_ids: Annotated[list[str], Field(description="The first 3 of them")]


class HardCodedView(Model):
    """A table that SQL names and dbt's graph does not have."""

    name: Annotated[str, Field(description="As the SQL names it")]
    count: Annotated[int, Field(description="Number of nodes that name it")]
    unique_ids: Annotated[list[str], Field(description="The first 3 of them")]


class ColumnsView(Model):
    """How far the columns of the lineage are known."""

    state: Annotated[Literal["ready", "failed"], Field(description="`failed`: see `reason`")]
    reason: Annotated[str | None, Field(description="Why there are none: what happened and what to do")] = None
    engine: Annotated[str | None, Field(description="The parser and its version")] = None
    counts: Annotated[dict[str, int], Field(description="Models and snapshots by status: `exact`, `approximate`, `unknown`")] = {}  # noqa: RUF012
    edges: Annotated[int | None, Field(description="Number of edges between columns, and to rows")] = None
    reused: Annotated[int | None, Field(description="Nodes whose columns were taken over from the commit before")] = None
    not_exact: Annotated[list[NotExactView], Field(description="The most frequent reasons, at most 10")] = []  # noqa: RUF012
    reasons: Annotated[int, Field(description="Number of reasons")] = 0
    hard_coded: Annotated[list[HardCodedView], Field(description="The most frequent hard-coded tables, at most 10")] = []  # noqa: RUF012
    tables: Annotated[int, Field(description="Number of hard-coded tables")] = 0


class ComparedCommitView(Model):
    """The commit that an extraction's commit was compared with."""

    kind: Annotated[
        BaseKind,
        Field(
            description="`merge_base` with the followed branch or the base of the pull request; `previous_head` of the followed branch; "
            "`nearest`: the nearest earlier commit with a lineage, in place of `wanted_sha`; `none`"
        ),
    ]
    sha: Annotated[str | None, Field(description="The commit; null: none")] = None
    branch: Annotated[str | None, Field(description="The branch that it is a commit of")] = None
    wanted_sha: Annotated[str | None, Field(description="The right commit, if `sha` stands in for it")] = None
    behind_by: Annotated[int | None, Field(description="Commits of `branch` that the compared one lacks; null: not known")] = None
    pull_request: Annotated[int | None, Field(description="Number of the pull request whose base `branch` is")] = None


class ComparisonView(Model):
    """What the commit changes, in numbers. `…/impact` lists everything."""

    state: Annotated[
        Literal["ready", "waiting", "none", "failed", "off"],
        Field(
            description="`waiting`: the commit to compare with is being extracted, and until then the numbers are provisional or missing; "
            "`none`: there is none; `failed`: see `reason`; `off`: the project does not want it"
        ),
    ]
    reason: Annotated[str | None, Field(description="Why there is no comparison, or not with the right commit")] = None
    base: Annotated[ComparedCommitView, Field(description="What it was compared with")]
    conclusion: Annotated[Conclusion | None, Field(description="What the project's settings make of breaks; null: no comparison")] = None
    counts: Annotated[
        dict[str, dict[str, int]],
        Field(
            description="`changes` and `columns` by class, `reached` by resource type, `by` by route, `owners` and `groups` (20 each), "
            "`breaks` by kind, `certain`"
        ),
    ] = {}  # noqa: RUF012 - pydantic copies it


class ResultView(Model):
    """What a successful extraction produced. What it was made with is in `settings`, what it took in `cost`."""

    project_name: Annotated[str | None, Field(description="`name` in `dbt_project.yml`")] = None
    counts: Annotated[dict[str, int], Field(description="Number of nodes by resource type")] = {}  # noqa: RUF012 - pydantic copies it
    nodes: Annotated[int | None, Field(description="Number of nodes")] = None
    edges: Annotated[int | None, Field(description="Number of edges")] = None
    change: Annotated[
        ChangeView | None, Field(description="Changes since the previous lineage; null for the first lineage of a connection")
    ] = None
    carried_from: Annotated[
        str | None,
        Field(description="Commit whose lineage was carried forward, because nothing that dbt reads had changed; null: dbt ran"),
    ] = None
    columns: Annotated[
        ColumnsView | None, Field(description="The columns, once they are known or have failed; null: an early version made this lineage")
    ] = None
    impact: Annotated[ComparisonView | None, Field(description="What the commit changes; null: an early version made this lineage")] = None
    notes: Annotated[list[str], Field(description="What was inferred and what was left out, in sentences")] = []  # noqa: RUF012
    remarks: Annotated[list[RemarkView], Field(description="Findings, place by place")] = []  # noqa: RUF012


class ProblemView(Model):
    """Why an extraction failed."""

    title: Annotated[str, Field(description="What went wrong, in a few words")]
    message: Annotated[str, Field(description="What happened, in sentences")]
    next_step: Annotated[str, Field(description="What to do about it; can be empty")]
    output: Annotated[str, Field(description="dbt's own message, with secrets redacted; empty when the error is not dbt's")]
    path: Annotated[str | None, Field(description="File that dbt named, relative to the repository's root; null: none")]
    line: Annotated[int | None, Field(description="Line in that file, from 1; null: not known")]
    remarks: Annotated[list[RemarkView], Field(description="All findings, place by place")]

    @classmethod
    def of(cls, problem: Problem) -> Self:
        """From the stored problem."""
        shown = asdict(problem)
        shown.pop("conclusion")
        return cls(**shown)

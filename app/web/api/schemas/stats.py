"""Statistics and freshness, in requests and responses."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field

from app.core.models.connections import Connection, State
from app.core.models.extractions import Status
from app.core.models.stats import Cost, FreshnessWindow, Resources, Spread, Stats
from app.pipeline.branch_heads import ObservedHead
from app.web.api.schemas.common import Model, Query, Time, Whole, example

MOST_EXTRACTIONS = 1_000
UNREPORTED = "GitHub has a newer commit that was not reported; Freshet is fetching it now"
NO_BRANCH = "The branch no longer exists on GitHub"
SHA = "6dcb09b5b57875f334f61aebed695e2e4193db5e"


class StatsQuery(Query):
    """How far back to count."""

    last: Annotated[Whole, Field(ge=1, le=MOST_EXTRACTIONS, description="Count this many of the newest extractions")] = MOST_EXTRACTIONS


class ResourcesView(Model):
    """The size of the connection's lineage."""

    sha: Annotated[str, Field(description="Commit of the lineage")]
    extracted_at: Annotated[Time, Field(description="When it was stored")]
    by_type: Annotated[dict[str, int], Field(description="Number of nodes by resource type")]
    nodes: Annotated[int, Field(description="Number of nodes")]
    edges: Annotated[int, Field(description="Number of edges")]

    @classmethod
    def of(cls, resources: Resources) -> Self:
        """From the stored counts."""
        return cls(
            sha=resources.sha,
            extracted_at=resources.extracted_at,
            by_type=dict(resources.counts),
            nodes=resources.nodes,
            edges=resources.edges,
        )


class ExtractionsView(Model):
    """The extractions that were counted."""

    total: Annotated[int, Field(description="Number of extractions, at most `last`")]
    since: Annotated[Time | None, Field(description="When the oldest of them was queued; null: there is none")]
    by_status: Annotated[dict[Status, int], Field(description="Number of extractions by status; statuses without any are absent")]


class StageSpread(Model):
    """How long a stage took in successful extractions, in seconds."""

    stage: Annotated[str, Field(description="Which stage")]
    times: Annotated[int, Field(description="Number of measurements")]
    last: Annotated[float, Field(description="The newest")]
    p50: Annotated[float, Field(description="The median")]
    p95: Annotated[float, Field(description="The 95th percentile")]

    @classmethod
    def of(cls, stage: str, spread: Spread) -> Self:
        """From the stored durations."""
        return cls(stage=stage, times=spread.times, last=spread.last or 0.0, p50=spread.p50 or 0.0, p95=spread.p95 or 0.0)


class CpuView(Model):
    """CPU seconds of dbt's containers in successful extractions. Null: there is no measurement."""

    times: Annotated[int, Field(description="Number of measurements")]
    last: Annotated[float | None, Field(description="The newest")]
    p50: Annotated[float | None, Field(description="The median")]
    p95: Annotated[float | None, Field(description="The 95th percentile")]
    sum: Annotated[float, Field(description="All together")]

    @classmethod
    def of(cls, cost: Cost) -> Self:
        """From the stored measurements."""
        return cls(times=cost.spread.times, last=cost.spread.last, p50=cost.spread.p50, p95=cost.spread.p95, sum=cost.whole)


class MemoryView(Model):
    """Peak memory of dbt's containers in successful extractions, in bytes. Null: there is no measurement."""

    times: Annotated[int, Field(description="Number of measurements")]
    last: Annotated[int | None, Field(description="The newest")]
    p50: Annotated[int | None, Field(description="The median")]
    p95: Annotated[int | None, Field(description="The 95th percentile")]
    max: Annotated[int, Field(description="The largest")]

    @classmethod
    def of(cls, cost: Cost) -> Self:
        """From the stored measurements."""
        last, p50, p95 = (None if part is None else round(part) for part in (cost.spread.last, cost.spread.p50, cost.spread.p95))
        return cls(times=cost.spread.times, last=last, p50=p50, p95=p95, max=round(cost.whole))


class StaleView(Model):
    """How far the lineage is behind the newest known commit."""

    state: Annotated[State, Field(description="As in the connection")]
    stale: Annotated[bool, Field(description="True: the lineage is not that of the newest known commit, and `state` is not `updating`")]
    reason: Annotated[str | None, Field(description="Why it is behind, in a few words; null when it is not")]
    since: Annotated[Time | None, Field(description="Since when it is behind; null when it is not")]
    lag_seconds: Annotated[float, Field(description="Seconds since `since`; 0 when it is not behind")]

    @classmethod
    def of(cls, connection: Connection, now: datetime) -> Self:
        """From the connection as of `now`."""
        return cls(
            state=connection.state(now),
            stale=connection.stale,
            reason=connection.stale_reason,
            since=connection.stale_since,
            lag_seconds=connection.lag_s(now),
        )


class StatsView(Model):
    """Statistics of a connection."""

    model_config = example(
        connection_id="0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
        resources={
            "sha": SHA,
            "extracted_at": "2026-11-02T09:00:09Z",
            "by_type": {"model": 12, "test": 30, "source": 4},
            "nodes": 46,
            "edges": 61,
        },
        extractions={"total": 214, "since": "2026-09-01T07:12:40Z", "by_status": {"succeeded": 200, "failed": 9, "superseded": 5}},
        stages=[{"stage": "parsing", "times": 160, "last": 1.9, "p50": 2.1, "p95": 4.4}],
        cpu_seconds={"times": 160, "last": 1.6, "p50": 1.7, "p95": 3.9, "sum": 301.5},
        peak_memory_bytes={"times": 160, "last": 183500800, "p50": 181403648, "p95": 197132288, "max": 201326592},
        staleness={"state": "current", "stale": False, "reason": None, "since": None, "lag_seconds": 0.0},
    )

    connection_id: Annotated[str, Field(description="UUID of the connection")]
    resources: Annotated[ResourcesView | None, Field(description="Size of the lineage; null while there is none")]
    extractions: Annotated[ExtractionsView, Field(description="How the counted extractions ended")]
    stages: Annotated[list[StageSpread], Field(description="Durations of the stages, in order; stages without measurements are absent")]
    cpu_seconds: Annotated[CpuView, Field(description="CPU time of dbt")]
    peak_memory_bytes: Annotated[MemoryView, Field(description="Peak memory of dbt")]
    staleness: Annotated[StaleView, Field(description="How far the lineage is behind")]

    @classmethod
    def of(cls, connection: Connection, stats: Stats, now: datetime) -> Self:
        """From the stored statistics as of `now`."""
        counts = dict(stats.extractions.counts)
        return cls(
            connection_id=connection.id,
            resources=ResourcesView.of(stats.resources) if stats.resources else None,
            extractions=ExtractionsView(total=sum(counts.values()), since=stats.extractions.since, by_status=counts),
            stages=[StageSpread.of(stage, spread) for stage, spread in stats.stages.items()],
            cpu_seconds=CpuView.of(stats.cpu_seconds),
            peak_memory_bytes=MemoryView.of(stats.peak_memory_bytes),
            staleness=StaleView.of(connection, now),
        )


class HeadView(Model):
    """The newest commit of the followed branch."""

    sha: Annotated[str | None, Field(description="The commit; null: the branch does not exist, or no commit of it is known")]
    asked_at: Annotated[
        Time | None, Field(description="When GitHub returned it, at most seconds ago; null: it is the last commit that a push reported")
    ]
    github_error: Annotated[str | None, Field(description="Why GitHub could not be asked; null: it answered")]


class ExtractedView(Model):
    """The commit of the connection's lineage."""

    sha: Annotated[str, Field(description="The commit")]
    extracted_at: Annotated[Time, Field(description="When its lineage was stored")]


class ObjectiveView(Model):
    """How many pushes of the last days had their lineage in time."""

    days: Annotated[int, Field(description="Length of the period")]
    since: Annotated[Time, Field(description="When counting begins: `days` ago, or later if the branch has too many pushes to count")]
    pushes: Annotated[int, Field(description="`met` + `missed` + `refused`")]
    met: Annotated[int, Field(description="Pushes whose lineage was stored within the objective")]
    missed: Annotated[int, Field(description="Pushes whose lineage was stored later, or not at all")]
    refused: Annotated[int, Field(description="Pushes that dbt could not parse, so no lineage was possible")]
    pending: Annotated[int, Field(description="Pushes without a lineage whose time is not over; not counted in `pushes`")]
    share: Annotated[float | None, Field(description="`met` / (`met` + `missed`); null while both are 0")]

    @classmethod
    def of(cls, answers: FreshnessWindow) -> Self:
        """From the stored counts."""
        return cls(
            days=answers.days,
            since=answers.since,
            pushes=answers.pushes,
            met=answers.met,
            missed=answers.missed,
            refused=answers.refused,
            pending=answers.pending,
            share=answers.share,
        )


OBJECTIVE: dict[str, Any] = {
    "days": 7,
    "since": "2026-10-26T09:00:30Z",
    "pushes": 41,
    "met": 38,
    "missed": 1,
    "refused": 2,
    "pending": 0,
    "share": 0.9743589743589743,
}


class FreshnessView(Model):
    """How far a connection is behind GitHub, and how often it met the objective."""

    model_config = example(
        connection_id="0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
        branch="main",
        head={"sha": SHA, "asked_at": "2026-11-02T09:00:30Z", "github_error": None},
        extracted={"sha": SHA, "extracted_at": "2026-11-02T09:00:09Z"},
        current=True,
        stale_reason=None,
        lag_seconds=0.0,
        objective_seconds=60.0,
        objectives=[OBJECTIVE],
    )

    connection_id: Annotated[str, Field(description="UUID of the connection")]
    branch: Annotated[str | None, Field(description="The followed branch; null while GitHub has not reported the default branch")]
    head: Annotated[HeadView, Field(description="The branch's newest commit on GitHub")]
    extracted: Annotated[ExtractedView | None, Field(description="The commit of the lineage; null while there is no lineage")]
    current: Annotated[bool, Field(description="True: the lineage is that of `head`")]
    stale_reason: Annotated[str | None, Field(description="Why it is not, in a few words; null when `current`")]
    lag_seconds: Annotated[
        float | None, Field(description="For how many seconds it has not been; 0 when `current`, null when that is not known yet")
    ]
    objective_seconds: Annotated[float, Field(description="How soon a push should have its lineage (`FRESHET_FRESHNESS_OBJECTIVE`)")]
    objectives: Annotated[list[ObjectiveView], Field(description="How often that was met in the last 7 and 30 days")]


def freshness(
    connection: Connection, head: ObservedHead | None, answers: list[FreshnessWindow], objective_s: float, now: datetime
) -> FreshnessView:
    """Compare a connection with GitHub's `head`; without an answer from GitHub, with the last commit that a push reported."""
    answered = head is not None and head.error is None
    sha = head.sha if head is not None and answered else connection.head_sha
    known = sha == connection.head_sha
    current = sha is not None and sha == connection.lineage_sha
    return FreshnessView(
        connection_id=connection.id,
        branch=connection.followed_branch,
        head=HeadView(
            sha=sha,
            asked_at=head.asked_at if head is not None and answered else None,
            github_error=head.error.user_text if head is not None and head.error is not None else None,
        ),
        extracted=_extracted(connection),
        current=current,
        stale_reason=None if current else connection.stale_reason if known else UNREPORTED if sha else NO_BRANCH,
        lag_seconds=0.0 if current else connection.lag_s(now) if known and connection.behind else None,
        objective_seconds=objective_s,
        objectives=[ObjectiveView.of(one) for one in answers],
    )


def _extracted(connection: Connection) -> ExtractedView | None:
    if connection.lineage_sha is None or connection.extracted_at is None:
        return None
    return ExtractedView(sha=connection.lineage_sha, extracted_at=connection.extracted_at)

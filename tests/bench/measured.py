"""What the simulation of `scaling` counts with. Every number is measured, and says by what.

The machine had two cores, which were busy with other work, so processor time was measured and not how long something took.
"""

from __future__ import annotations

MIX = {"nothing": 0.643, "small": 0.290, "project": 0.035, "macro": 0.023, "package": 0.008}
"""Kinds of pushes: `python -m tests.bench.mix`, the last 500 commits of cal-itp/data-infra, mitodl/ol-data-platform and both projects of
mattermost/mattermost-data-warehouse. Most change nothing that dbt reads, because these repositories hold more than a dbt project."""

MODELS = (1, 1, 4, 4, 5, 8, 13, 15, 29, 30, 34, 36, 48, 51, 115, 147, 233, 252, 610, 669, 669)
"""Models of a project: those of `docs/compatibility.md`."""

SIZES = (200, 1000)
CPU_S = {
    "first": (3.4, 13.2),
    "small": (0.66, 1.98),
    "macro": (1.4, 6.4),
    "project": (1.4, 5.8),
    "package": (1.5, 6.0),
    "nothing": (0.09, 0.11),
}
"""Seconds of a core for a push, the service and dbt together, at each of `SIZES`: `python -m tests.bench.footprint`. `project` and
`package` with 1,000 models: that of `macro`, in the ratio of `docs/internals/performance.md`."""

OVERHEAD_S = 0.15
"""Waiting in a push that changes nothing: its 0.25 s without its processor time. GitHub is a double on the same machine."""

SPREAD = 0.25
"""Of the time of one kind of push, as the standard deviation of its logarithm: between rounds in `docs/internals/performance.md`."""

WARMING_S = 2.0
"""Of a core, to get a container ready: it starts, and imports and warms up dbt."""

COLD_S = 1.8
"""More for a push that finds no warm container: `footprint` with and without `--warm 0`."""

CLAIM_S = 1 / 85
"""Under the lock, for a claim and the end of an extraction: 60 to 110 a second with the embedded PostgreSQL on two busy cores."""

EMPTY_CLAIM_S = 1 / 225
"""For a claim that finds nothing: 150 to 300 a second there."""

STATE_BYTES = 4_360
"""Of a parse state and a columns document, for each model: 872 KB for 200."""

STATE_MODELS = (2 << 30) // STATE_BYTES // 2
"""Models of the projects that a host remembers, each with the state of its followed branch and of another one."""

RUNNING_MIB, WARM_MIB, SERVICE_MIB = 311, 175, 146
"""Memory of a container that runs (1,000 models with columns), of a warm one, and of the process."""

WRITES_AN_HOUR = 500
"""Check runs that GitHub lets an installation create or change."""

STATEMENTS = {"nothing": 104, "other": 164}
"""Of PostgreSQL, for a push that changes nothing and for another one, `BEGIN` and `COMMIT` included: `footprint`, as the following."""

EMPTY_CLAIM_STATEMENTS = 4
IDLE_STATEMENTS_S = 3.1
"""A second, of a process without any push."""

STORED = {
    "extractions": (1, {"nothing": 2_731, "other": 3_413}),
    "check_runs": (1, {"nothing": 250, "other": 250}),
    "lineages": (1, {"nothing": 4_096, "other": 3_413}),
    "nodes": (0.4, {"nothing": 0, "other": 2_048}),
    "node_columns": (0.4, {"nothing": 0, "other": 1_365}),
    "logs": (0.4, {"nothing": 0, "other": 600}),
    "manifests": (0.4, {"nothing": 0, "other": 169_984}),
}
"""Rows of a push, and bytes with indexes that stay, with 200 models. Check runs and logs were too small to be seen in twelve pushes: from
`history`, and from the contents of a log."""


def seconds(kind: str, models: int) -> float:
    """How long a push takes on one core; small projects take at least a third of one with 200 models."""
    small, large = CPU_S[kind]
    return OVERHEAD_S + max(small + (large - small) * (models - SIZES[0]) / (SIZES[1] - SIZES[0]), small / 3)


def of_mix(nothing: float, other: float) -> float:
    """The mean over `MIX`."""
    return MIX["nothing"] * nothing + (1 - MIX["nothing"]) * other

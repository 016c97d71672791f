"""One series: after each edit, the job with the state that the service would have, beside a full parse of the same files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Literal, Protocol, Self

from app.pipeline.ports import DbtJob, StateScope
from tests.integration.runner_images import named
from tests.series.comparing import differences, in_another_order
from tests.series.containers import Answer, Container, Tree, packed
from tests.series.project import Texts

Outcome = Literal["partial", "full", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("partial", "full", "failed")
REASON = re.compile(r"Freshet: full parse, because (.*)|Freshet: (parsing again in full.*)")
"""In dbt's log."""
KEPT = re.compile(r"Freshet: parsed [\d,]+ nodes, and [\d,]*[1-9][\d,]* were as in the last parse")
PATH = re.compile(r"\S*\w\.(?:sql|py|ya?ml|md|csv|txt|lock|json)\b")
SCOPE = StateScope(1, 2, "series", own="main", followed="main", fresh=False)
START, SEVERAL, REPAIR, REVERT = "(start)", "(several edits)", "(repair)", "(revert)"
REPAIRS, REVERTS, OTHER_STATES = 0.75, 0.04, 0.08
"""How often a failed step is followed by its repair, files are those of an earlier step, the state is an older one (of a branch)."""
REMEMBERED = 8


@dataclass(frozen=True)
class Files:
    """What one step parses."""

    files: Texts
    package: Texts

    def tree(self) -> Tree:
        return packed(self.files, self.package)


class Editable(Protocol):
    """A project that edits change in place."""

    package: Texts

    def copied(self) -> Self:
        """The same, apart from later edits."""

    def files(self) -> Texts:
        """The files of the repository by path."""


Edit = Callable[[Any, Random, int], Sequence[tuple[str, str]]]
"""Edits a project with the number of a step: the kinds of edits, and what each did."""


@dataclass(frozen=True)
class Step:
    """One edit, with the step whose state its job was given; None: it was given none."""

    number: int
    kind: str
    said: str
    files: Files
    state_of: int | None


@dataclass(frozen=True)
class Difference:
    """A step whose two results differ. `path`: the steps that led to its state, itself the last."""

    seed: int
    path: Sequence[Step]
    found: list[str]

    @property
    def step(self) -> Step:
        return self.path[-1]


@dataclass
class Counts:
    """What came of the steps, by kind of edit."""

    outcomes: dict[str, Counter[Outcome]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    other_order: Counter[str] = field(default_factory=Counter)
    """By section of the manifest."""
    other_warnings: int = 0
    differences: int = 0

    def note(self, kind: str, full: Answer, incremental: Answer) -> None:
        """Count one step."""
        outcome = outcome_of(incremental)
        self.outcomes.setdefault(kind, Counter())[outcome] += 1
        if outcome == "full":
            self.reasons[reason(incremental.log)] += 1
        if full.result is not None and full.ok and incremental.result is not None and incremental.ok:
            self.other_order.update(in_another_order(full, incremental))
            self.other_warnings += full.result.warnings != incremental.result.warnings

    def add(self, other: Counts) -> None:
        """Count the steps of another series too."""
        for kind, outcomes in other.outcomes.items():
            self.outcomes.setdefault(kind, Counter()).update(outcomes)
        self.reasons.update(other.reasons)
        self.other_order.update(other.other_order)
        self.other_warnings += other.other_warnings
        self.differences += other.differences

    @property
    def total(self) -> Counter[Outcome]:
        found: Counter[Outcome] = Counter()
        for outcomes in self.outcomes.values():
            found.update(outcomes)
        return found


def outcome_of(answer: Answer) -> Outcome:
    """How a job ended."""
    if answer.result is None or not answer.ok:
        return "failed"
    return "partial" if answer.result.partial else "full"


def reason(log: str) -> str:
    """Why dbt parsed everything, as the log says it, with kinds of files instead of their names."""
    found = [first or second for first, second in REASON.findall(log)]
    if found:
        return PATH.sub(_kind, found[-1])
    return "fewer nodes were kept than parsed again" if KEPT.search(log) else "the parses before left no state"


def _kind(path: re.Match[str]) -> str:
    name = path[0].rsplit("/", 1)[-1]
    place = "macros/" if "macros/" in path[0] and name.endswith(".sql") else "dbt_packages/" if "dbt_packages/" in path[0] else ""
    return name if name == "dbt_project.yml" else f"{place}*.{name.rpartition('.')[2]}"


@dataclass
class Pair:
    """The containers of a series: `reference` parses in full."""

    ours: Container
    reference: Container
    job: DbtJob
    """Of each step; it leaves a state."""

    async def both(self, files: Files, state: bytes | None) -> tuple[Answer, Answer]:
        """Parse in full, and with a state."""
        tree = files.tree()
        return await self.reference.parse(replace(self.job, state=None), tree), await self.ours.parse(self.job, tree, state)


def generated_job(minor: int) -> DbtJob:
    """The job for generated projects and a minor version of dbt."""
    return DbtJob(
        extraction_id="series",
        label="series",
        project_dir="",
        profile="shop",
        target="dev",
        adapter_type="duckdb",
        image=named(f"dbt-runner:1.{minor}", f"1.{minor}"),
        state=SCOPE,
    )


async def series(pair: Pair, start: Editable, edit: Edit, seed: int, count: int, found: Callable[[Difference], object]) -> Counts:
    """Run a series of `count` steps; `found` is called with each difference, after which the series goes on without a state."""
    random, project, counts = Random(seed), start, Counts()
    steps: list[Step] = []
    states: dict[int, bytes] = {}
    projects: list[Editable] = []
    good, failed, latest = project, False, None
    for number in range(count):
        kind, said = (START, "") if not number else ("", "")
        if failed and random.random() < REPAIRS:
            project, kind = good.copied(), REPAIR
        elif number and random.random() < REVERTS:
            project, kind = random.choice(projects[-REMEMBERED:]).copied(), REVERT
        elif number:
            project = project.copied()
            done = edit(project, random, number)
            kind, said = (done[0][0] if len(done) == 1 else SEVERAL), "; ".join(f"{one}: {what}" for one, what in done)
        state_of = random.choice([*states][-REMEMBERED:]) if states and random.random() < OTHER_STATES else latest
        steps.append(Step(number, kind, said, Files(project.files(), dict(project.package)), state_of))
        projects.append(project)
        full, incremental = await pair.both(steps[-1].files, None if state_of is None else states[state_of])
        counts.note(kind, full, incremental)
        failed = not full.ok
        if not failed:
            good = project
        if wrong := differences(full, incremental):
            counts.differences += 1
            found(Difference(seed, path_to(steps), wrong))
            latest = None
        elif incremental.state:
            states[number], latest = incremental.state, number
        for old in [*states][:-REMEMBERED]:
            if old != latest:
                del states[old]
    return counts


def path_to(steps: Sequence[Step]) -> list[Step]:
    """The last of the steps, after those that led to its state."""
    path = [steps[-1]]
    while (before := path[0].state_of) is not None:
        path.insert(0, steps[before])
    return path

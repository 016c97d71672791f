"""How commits of public projects are parsed, by the container's program alone.

It runs in forks of one warm container, with the state of the commits before, and without. Counted are partial and full parses, those that
are carried over because dbt's input is the same, and why parses were full; each result is compared with that of the full parse. Seconds are
dbt's in a container that has imported it, not those of a push.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.runner import parse_state
from tests.series.comparing import differences, shown
from tests.series.containers import Answer, Container, serving
from tests.series.public import Carried, Parsing, PublicProject, projects
from tests.series.running import outcome_of, reason


@dataclass
class Counted:
    """What came of the commits of one project."""

    name: str
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    wrong: int = 0

    def rows(self) -> list[str]:
        """As Markdown."""
        counted = sum(self.outcomes[name] for name in ("partial", "full", "carried"))
        quick = self.outcomes["partial"] + self.outcomes["carried"]
        cells = [self.name, str(counted), *(str(self.outcomes[name]) for name in ("partial", "full", "carried", "failed", "refused"))]
        return ["| " + " | ".join([*cells, f"{quick / counted:.0%}" if counted else "–", str(self.wrong)]) + " |"]


class Containers:
    """Warm containers by image and adapter."""

    def __init__(self, stack: AsyncExitStack, program: Path) -> None:
        self._stack, self._program = stack, program
        self._open: dict[tuple[str, str], Container] = {}

    async def of(self, parsing: Parsing) -> Container:
        """The one for a job."""
        kind = (parsing.job.image.id, parsing.job.adapter_type)
        if kind not in self._open:
            self._open[kind] = await self._stack.enter_async_context(serving(*kind, self._program))
        return self._open[kind]


async def classify(project: PublicProject, count: int, containers: Containers) -> Counted:
    """Parse commits in their order, each with the state that the service would have, and without."""
    counted, state, key = Counted(project.full_name), b"", ""
    for sha in project.commits(count):
        prepared = await project.prepare(sha)
        if not isinstance(prepared, Parsing):
            outcome = "carried" if isinstance(prepared, Carried) else "refused"
            counted.outcomes[outcome] += 1
            print(f"  {sha[:8]} {outcome} {getattr(prepared, 'reason', '')[:150]}", flush=True)
            continue
        container = await containers.of(prepared)
        if parse_state.key(prepared.job) != key:
            if key:
                print("  the adapter, the image or the names are others now: no state fits", flush=True)
            state, key = b"", parse_state.key(prepared.job)
        full = await container.parse(replace(prepared.job, state=None), prepared.tree)
        ours = await container.parse(prepared.job, prepared.tree, state or None)
        if full.ok:
            project.known.add(prepared.input_hash)
        _count(counted, sha, full, ours, first=not counted.outcomes["first"] and full.ok)
        state = ours.state or state
    return counted


def _count(counted: Counted, sha: str, full: Answer, ours: Answer, *, first: bool) -> None:
    outcome = "first" if first else outcome_of(ours)
    counted.outcomes[outcome] += 1
    why = ""
    if outcome == "full":
        why = reason(ours.log)
        counted.reasons[why] += 1
    wrong = differences(full, ours)
    counted.wrong += bool(wrong)
    seconds = [answer.result.stages.get("parse", 0.0) if answer.result else 0.0 for answer in (full, ours)]
    error = ours.result.error.split("\n")[0] if ours.result and not ours.ok else ""
    print(f"  {sha[:8]} {outcome} {seconds[0]:.1f} → {seconds[1]:.1f} s {why}{error}", flush=True)
    if wrong:
        print(f"WRONG: {counted.name} at {sha}\n{shown(wrong)}", flush=True)


async def quick(names: Sequence[tuple[str, str | None]], count: int, program: Path) -> int:
    """Classify the commits of projects, and print the tables."""
    found = []
    async with AsyncExitStack() as stack:
        for project in await stack.enter_async_context(projects(names)):
            print(f"{project.full_name}, {project.project_dir or 'root'}", flush=True)
            # A container for each project, so that few stand at once.
            async with AsyncExitStack() as own:
                found.append(await classify(project, count, Containers(own, program)))
    print("\n| repository | pushes | partial | full | carried | failed | refused | partial or carried | wrong |\n|---|" + "---|" * 8)
    print("\n".join(row for counted in found for row in counted.rows()))
    print("\n| repository | full parses | because |\n|---|---|---|")
    print("\n".join(f"| {one.name} | {number} | {why} |" for one in found for why, number in one.reasons.most_common()))
    return 1 if any(counted.wrong for counted in found) else 0

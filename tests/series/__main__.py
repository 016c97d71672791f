"""`make series`: random series of edits; every result with a state is compared with a full parse. The exit status is 1 if one differs.

    python -m tests.series [--dbt MINOR]... [--seed N] [--series N] [--steps N] [--at-once N] [--program DIR] [--reference DIR]
    python -m tests.series --public OWNER/NAME [...]
    python -m tests.series --again FILE

For each version of dbt, `--series` series of `--steps` steps run, each with a seed of its own, `--at-once` at the same time. The image of a
version is `dbt-runner:1.MINOR`; the program in it is that of this checkout, or that of `--program`, and full parses are made by that of
`--reference`. `--public`: a public project (a bare repository below .cache/compat) instead of generated ones. A difference is shrunk and
written to a file below .cache/series, which `--again` parses again.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from app.pipeline.ports import DbtJob
from tests.series import edits, public, public_edits, shrinking
from tests.series.comparing import shown
from tests.series.containers import PROGRAM, serving, unpacked
from tests.series.project import Project
from tests.series.running import OUTCOMES, Counts, Difference, Edit, Editable, Pair, generated_job, series
from tests.service import ROOT

MINORS = (7, 8, 9, 10, 11)
KEPT = ROOT / ".cache" / "series"
MAX_TOLD = 6000
MAX_SHRUNK = 6
"""Differences of one series that are shrunk: many have one cause."""


async def open_pair(stack: AsyncExitStack, job: DbtJob, program: Path, reference: Path) -> Pair:
    """The containers for a job: one if both programs are the same."""
    ours = await stack.enter_async_context(serving(job.image.name, job.adapter_type, program))
    if reference.resolve() == program.resolve():
        return Pair(ours, ours, job)
    return Pair(ours, await stack.enter_async_context(serving(job.image.name, job.adapter_type, reference)), job)


@dataclass(frozen=True)
class Case:
    """A project to edit."""

    name: str
    job: DbtJob
    start: Editable
    edit: Edit
    seed: int


async def run_one(options: argparse.Namespace, case: Case) -> Counts:
    """Run one series, and print its differences."""
    found: list[Difference] = []
    async with AsyncExitStack() as stack:
        pair = await open_pair(stack, case.job, options.program, options.reference)
        since = time.monotonic()
        counts = await series(pair, case.start, case.edit, case.seed, options.steps, found.append)
        total = ", ".join(f"{counts.total[outcome]} {outcome}" for outcome in OUTCOMES)
        print(f"{case.name}, seed {case.seed}: {total}, {counts.differences} differences, {time.monotonic() - since:.0f} s", flush=True)
        seen: set[str] = set()
        for difference in found:
            sign = difference.step.kind + difference.found[0].split(":")[0].split(".")[0]
            await tell(pair, case, difference, shrink=sign not in seen and len(seen) < options.shrunk)
            seen.add(sign)
    return counts


async def tell(pair: Pair, case: Case, difference: Difference, *, shrink: bool) -> None:
    """Print a difference, and write a series that shows it."""
    trees, wrong = [step.files for step in difference.path], difference.found
    if shrink:
        trees, wrong = await shrinking.Shrinking(pair).shrink(difference)
    step = difference.step
    path = KEPT / f"{case.name.replace('/', '+').replace(' ', '-')}-{difference.seed}-{step.number}.json"
    shrinking.write(path, pair.job, trees)
    where = f"{case.name}, seed {difference.seed}, step {step.number}, {step.kind}: {step.said}"
    print(f"\nDIFFERENCE: {where}\n{shown(difference.found)}")
    print(f"  smallest series that differs: python -m tests.series --again {path.relative_to(ROOT)}\n{shown(wrong)}")
    print(shrinking.told(trees)[:MAX_TOLD], flush=True)


async def again(path: Path, program: Path, reference: Path) -> int:
    """Parse a written series again; return the exit status."""
    job, trees = shrinking.read(path)
    async with AsyncExitStack() as stack:
        wrong = await shrinking.run(await open_pair(stack, job, program, reference), trees)
    print(f"{shrinking.told(trees)}\n{shown(wrong) or 'no difference'}")
    return 1 if wrong else 0


async def run(options: argparse.Namespace) -> int:
    """Run all series; return the exit status."""
    limit, total, since = asyncio.Semaphore(options.at_once), Counts(), time.monotonic()

    async def one(case: Case) -> None:
        async with limit:
            total.add(await run_one(options, case))

    await asyncio.gather(*(one(case) for case in await cases(options)))
    minutes = (time.monotonic() - since) / 60
    print(f"\n{table(total)}\n\n{total.total.total()} steps in {minutes:.0f} minutes, {total.differences} differences")
    order = ", ".join(f"{section} {count}" for section, count in total.other_order.most_common()) or "never"
    print(f"steps with the same entries in another order: {order}; with another number of warnings: {total.other_warnings}")
    return 1 if total.differences else 0


async def cases(options: argparse.Namespace) -> list[Case]:
    """The projects that are asked for, each with several seeds."""
    seeds = [options.seed + number for number in range(options.series)]
    if not options.public:
        minors = options.dbt or MINORS
        return [Case(f"dbt 1.{minor}", generated_job(minor), Project.new(minor), edits.edit, seed) for seed in seeds for minor in minors]
    found = []
    async with public.projects((name, None) for name in options.public) as opened:
        for project in opened:
            prepared = await project.prepare("HEAD")
            assert isinstance(prepared, public.Parsing), prepared
            start = public_edits.PublicFiles.of(prepared.job.project_dir, *unpacked(prepared.tree))
            found += [Case(project.full_name, prepared.job, start, public_edits.edit, seed) for seed in seeds]
    return found


def table(counts: Counts) -> str:
    """What came of each kind of edit where a step had only that, and why parses were full."""
    lines = [f"| edit | {' | '.join(OUTCOMES)} | partial of those that succeed |", "|---|---|---|---|---|"]
    for kind, outcomes in [*sorted(counts.outcomes.items()), ("**all**", counts.total)]:
        succeeded = outcomes["partial"] + outcomes["full"]
        share = f"{outcomes['partial'] / succeeded:.0%}" if succeeded else "–"
        lines.append(f"| {kind} | {' | '.join(str(outcomes[outcome]) for outcome in OUTCOMES)} | {share} |")
    reasons = [f"| {count} | {reason} |" for reason, count in counts.reasons.most_common()]
    return "\n".join([*lines, "", "| full parses | because |", "|---|---|", *reasons])


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.series", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dbt", type=int, action="append", metavar="MINOR", help=f"dbt 1.MINOR; {MINORS} unless given")
    parser.add_argument("--seed", type=int, default=1, help="of the first series; the next ones have the next seeds")
    parser.add_argument("--series", type=int, default=2, metavar="N", help="for each version of dbt")
    parser.add_argument("--steps", type=int, default=200, metavar="N", help="of each series")
    parser.add_argument("--at-once", type=int, default=2, metavar="N")
    parser.add_argument("--shrunk", type=int, default=MAX_SHRUNK, metavar="N", help="how many differences of a series are shrunk")
    parser.add_argument("--program", type=Path, default=PROGRAM, metavar="DIR")
    parser.add_argument("--reference", type=Path, default=None, metavar="DIR")
    parser.add_argument("--public", action="append", metavar="OWNER/NAME")
    parser.add_argument("--again", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    options.reference = options.reference or options.program
    if options.again is not None:
        return asyncio.run(again(options.again, options.program, options.reference))
    return asyncio.run(run(options))


if __name__ == "__main__":
    sys.exit(main())

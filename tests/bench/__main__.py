"""`make bench`: compares Freshet with a simple script, alternating in one run. The ratios matter.

    python -m tests.bench [--models N]... [--case NAME]... [--rounds N] [--write]

The simple script (`naive.py`) is measured from its clone to the last row in PostgreSQL; Freshet from sending the webhook to the completed
check run, which follows the switch of the lineage. A round of one size runs the script once, since it does the same work for every change,
and Freshet with a new repository for each case. Between pushes Freshet is idle for a while, as between most pushes of a day.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from app.store import embedded
from tests.bench import generate, naive, tables
from tests.bench.changes import Changes, change, merge, with_their_own
from tests.bench.generate import Files
from tests.bench.tables import CASES, Pair, Stages
from tests.double import GitHubDouble, Repository
from tests.service import ROOT, Service, serving

IMAGE = os.environ.get("DBT_DOCKER_IMAGE", "dbt-runner:latest")
SIZES = (5, 200, 1000, 3000)
TEN, TEN_MODELS = 10, 200
TIMEOUT_S = 1200.0
REST_S = 120.0
"""The longest wait for a warm container between pushes."""
PAGE = ROOT / "docs/internals/performance.md"


@dataclass
class Bench:
    """A running service, the double of GitHub, and the measurements."""

    github: GitHubDouble
    service: Service
    dsn: str
    scratch: Path
    results: dict[tuple[int, str], list[Pair]] = field(default_factory=dict)

    async def compare(self, models: int, cases: Sequence[str], rounds: int) -> None:
        """Measure one size: in each round the script and every case once, alternating which of them comes first."""
        files = generate.generate(models)
        # On an account without the App: the service is not notified.
        same = await self.github.create_repository(f"elsewhere/p{models}", dict(files), private=False)
        for number in range(rounds):
            theirs = await self._alone(same) if number % 2 == 0 else None
            ours = await self.pushes(f"bench/p{models}-r{number}", files, cases)
            theirs = theirs or await self._alone(same)
            for case in [case for case in ours if case in cases]:
                self._note(models, case, Pair(ours[case][0], theirs[0], ours[case][1], theirs[1]))
            if number == 0:
                await self._check(f"bench/p{models}-r{number}", same)

    async def pushes(self, full_name: str, files: Files, cases: Sequence[str]) -> dict[str, tuple[float, Stages]]:
        """Push a new repository, and change it in each way."""
        repository = await self.github.create_repository(full_name, {}, private=False)
        current, ours = dict(files), {}
        for case in [case for case in CASES if case == "first" or (case in with_their_own(cases) and case != "ten")]:
            changed: Changes = {**current} if case == "first" else change(current, case)
            current = merge(current, changed)
            await self.rest()
            sent_s, ended_s, stages = await self.push(repository, changed)
            ours[case] = (ended_s - sent_s, stages)
        return ours

    async def compare_ten(self, rounds: int) -> None:
        """Measure pushes to ten repositories at the same moment, and ten scripts started at the same time."""
        files = generate.generate(TEN_MODELS)
        repositories = [await self.github.create_repository(f"bench/ten-{number}", {}, private=False) for number in range(TEN)]
        same = [await self.github.create_repository(f"elsewhere/ten-{number}", dict(files), private=False) for number in range(TEN)]
        await asyncio.gather(*(self.push(repository, files) for repository in repositories))
        for number in range(rounds):
            theirs = await self._scripts(same) if number % 2 == 0 else 0.0
            changed = change(files, "sql")
            files = merge(files, changed)
            ends = await asyncio.gather(*(self.push(repository, changed) for repository in repositories))
            ours = max(ended_s for _, ended_s, _ in ends) - min(sent_s for sent_s, _, _ in ends)
            self._note(TEN_MODELS, "ten", Pair(ours, theirs or await self._scripts(same), {}, {}))

    async def _scripts(self, repositories: Sequence[Repository]) -> float:
        await self.rest()
        began = time.perf_counter()
        await asyncio.gather(*(self.script(repository) for repository in repositories))
        return time.perf_counter() - began

    async def _alone(self, repository: Repository) -> tuple[float, Stages]:
        await self.rest()
        return await self.script(repository)

    async def script(self, repository: Repository) -> tuple[float, Stages]:
        """Run the simple script; return its seconds, in total and for each stage."""
        url = f"{self.github.server_url}/{repository.full_name}.git"
        stages = await asyncio.to_thread(naive.run, url, self.dsn, IMAGE, self.scratch)
        return sum(stages.values()), stages

    async def push(self, repository: Repository, files: Mapping[str, str | None]) -> tuple[float, float, Stages]:
        """Push; return when the webhook was sent and the check run completed (monotonic seconds), and Freshet's stages."""
        sha = await self.github.push(repository, dict(files))
        run = await self.github.wait_for_check_run(repository, sha, timeout_s=TIMEOUT_S)
        ended_s = time.monotonic()
        assert run.conclusion == "success", run.summary
        extraction = await self.service.get(f"/extractions/{run.external_id}")
        stages = {stage["stage"]: float(stage["seconds"]) for stage in extraction["stages"]}
        told = next(one for one in reversed(self.github.state.deliveries) if one.event == "push" and one.payload["after"] == sha)
        return told.sent_s, ended_s, stages

    async def rest(self) -> None:
        """Wait until nothing runs and, if there are warm containers, one is ready and none is starting."""
        until, quiet = time.monotonic() + REST_S, 0
        while quiet < 3 and time.monotonic() < until:
            quiet = quiet + 1 if await self._is_at_rest() else 0
            await asyncio.sleep(0.2)
        if quiet < 3:
            print(f"  no warm container was ready after {REST_S:g} s", flush=True)

    async def _is_at_rest(self) -> bool:
        if (await self.service.get("/extractions/active"))["items"]:
            return False
        async with self.service.session.get(f"{self.service.url}/metrics") as response:
            text = await response.text() if response.ok else ""
        warm = dict(re.findall(r'^freshet_warm_containers\{state="(\w+)"\} (\S+)$', text, re.MULTILINE))
        return not warm or (float(warm.get("ready", 0)) > 0 and float(warm.get("warming", 0)) == 0)

    async def _check(self, full_name: str, same: Repository) -> None:
        """Check that both did the same work."""
        connection = await self.service.connection(full_name)
        lineage = await self.service.get(f"/connections/{connection['id']}/lineage")
        theirs = await naive.counts(self.dsn, f"{self.github.server_url}/{same.full_name}.git")
        assert (len(lineage["nodes"]), len(lineage["edges"])) == theirs, theirs

    def _note(self, models: int, case: str, pair: Pair) -> None:
        self.results.setdefault((models, case), []).append(pair)
        print(f"  {models:,} models, {CASES[case]}: naive {pair.naive_s:.2f} s, Freshet {pair.ours_s:.2f} s", flush=True)


async def measure(sizes: Sequence[int], cases: Sequence[str], rounds: int) -> str:
    """Measure everything and return the tables."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshet-bench-")))
        dsn = await stack.enter_async_context(embedded.serve(directory))
        await naive.prepare(dsn)
        github = await stack.enter_async_context(GitHubDouble(rate_limit=1_000_000))
        await github.install("bench")
        service = await stack.enter_async_context(serving(github, directory / "data", DATABASE_URL=dsn))
        bench = Bench(github, service, dsn, directory / "naive")
        if {*cases} != {"ten"}:
            for models in sizes:
                await bench.compare(models, cases, rounds)
        if "ten" in cases:
            await bench.compare_ten(rounds)
    order = {key: bench.results[key] for key in sorted(bench.results, key=lambda key: (key[1] == "ten", key[0], [*CASES].index(key[1])))}
    return f"{tables.ratios(order)}\n\n{tables.stages(order)}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, action="append", help=f"size of the generated project; {SIZES} unless given")
    parser.add_argument("--case", choices=[*CASES], action="append", help="what is pushed (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help=f"write the tables to {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    began = time.monotonic()
    found = asyncio.run(measure(options.models or SIZES, options.case or [*CASES], options.rounds))
    print(f"\n{found}\n\n{(time.monotonic() - began) / 60:.0f} minutes, {options.rounds} rounds")
    if options.write:
        tables.write(PAGE, found)


if __name__ == "__main__":
    main()

"""Real pushes: the last commits of public repositories that touch what dbt reads, pushed one by one, beside the simple script.

    python -m tests.bench.replay OWNER/NAME... N [--every N] [--no-check]
    python -m tests.bench.replay OWNER/NAME... N --quick [--program DIR]

The commits are those of the main branch, by first parents. Freshet is measured from sending the webhook to the completed check run, on a
service that rests before each push, as between most pushes of a day; the script (`naive.py`, with the profile and the values of
variables that its owner would write into it) on every fifth of them, from its clone to the last row. A push is compared with the nearest
run of the script. After each push, outside of what is measured, the service's manifest is compared with that of a full parse.

`--quick` runs the container's program alone, see `classify.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import posixpath
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.runner.profile import stub
from app.store import embedded
from tests.bench import naive
from tests.bench.__main__ import TIMEOUT_S, Bench
from tests.bench.classify import Containers, quick
from tests.compat.__main__ import IMAGES
from tests.double import GitHubDouble, Repository
from tests.series.comparing import differing_manifests, shown
from tests.series.containers import PROGRAM
from tests.series.public import Parsing, PublicProject, projects
from tests.series.running import reason
from tests.service import TOKEN, Service, serving

EVERY = 5
KEPT_S = 10
SETTINGS = ".github/freshet.yml"
"""Says that Freshet has one project to look at, where a repository has several."""
PARSES = re.compile(r'^freshet_parses_total\{kind="partial"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class Push:
    """One push: how it ended, Freshet's seconds, and the script's, if it ran on it."""

    sha: str
    outcome: str
    ours_s: float
    naive_s: float | None = None
    why: str = ""
    wrong: bool = False


@dataclass
class Replayed:
    """The pushes of one repository."""

    name: str
    pushes: list[Push] = field(default_factory=list)

    def ratios(self) -> list[float]:
        """How many times as fast as the nearest run of the script each push was that has a lineage."""
        runs = [(number, push.naive_s) for number, push in enumerate(self.pushes) if push.naive_s is not None]
        counted = [(number, push) for number, push in enumerate(self.pushes) if push.outcome in {"partial", "full", "carried"}]
        return [min(runs, key=lambda run: abs(run[0] - number))[1] / push.ours_s for number, push in counted] if runs else []


@dataclass
class Replay:
    """A running service, and what is beside it."""

    github: GitHubDouble
    service: Service
    bench: Bench
    containers: Containers
    every: int
    checks: bool

    async def run(self, project: PublicProject, count: int) -> Replayed:
        """Push the commits of a project."""
        replayed, before = Replayed(project.full_name), None
        name = project.full_name.replace("/", "-")
        repository = await self.github.create_repository(f"bench/{name}", {}, private=False)
        for number, sha in enumerate(project.commits(count)):
            contents = await asyncio.to_thread(project.contents, sha, before)
            if before is None and (others := _other_projects(project, sha)):
                contents[SETTINGS] = "projects:\n" + "".join(f"  - dir: {directory}\n    ignored: true\n" for directory in others)
            before = sha
            push = await self._push(project, repository, sha, contents, number)
            replayed.pushes.append(push)
            script = "" if push.naive_s is None else f", the script {push.naive_s:.1f} s"
            print(f"  {sha[:8]} {push.outcome} {push.ours_s:.2f} s{script} {push.why}", flush=True)
        return replayed

    async def _push(self, project: PublicProject, repository: Repository, sha: str, contents: dict[str, Any], number: int) -> Push:
        await self.bench.rest()
        partial = await self._partial()
        ours = await self.github.push(repository, contents)
        run = await self.github.wait_for_check_run(repository, ours, timeout_s=TIMEOUT_S)
        ended_s = time.monotonic()
        told = next(one for one in reversed(self.github.state.deliveries) if one.event == "push" and one.payload["after"] == ours)
        extraction = await self.service.get(f"/extractions/{run.external_id}")
        seconds = ended_s - told.sent_s
        if extraction["status"] != "succeeded":
            return Push(sha, "failed", seconds, why=str(run.title))
        outcome = (
            "carried" if (extraction["result"] or {}).get("carried_from") else "partial" if await self._partial() > partial else "full"
        )
        why = reason(await self._raw(f"/extractions/{run.external_id}/logs")) if outcome == "full" else ""
        wrong = self.checks and await self._is_wrong(project, repository, sha, ours)
        measured = outcome != "carried" or number
        naive_s = await self._script(project, repository, extraction, sha) if measured and number % self.every == 0 else None
        return Push(sha, "first" if not number else outcome, seconds, naive_s, why, wrong)

    async def _partial(self) -> float:
        async with self.service.session.get(f"{self.service.url}/metrics") as response:
            found = PARSES.search(await response.text())
        return float(found[1]) if found else 0.0

    async def _manifest(self, path: str, sha: str) -> bytes | None:
        """A manifest, which is stored soon after the check run; None if it is not."""
        for _ in range(KEPT_S):
            kept = await self._raw(path, sha=sha)
            if "metadata" in json.loads(kept):
                return kept.encode()
            await asyncio.sleep(1.0)
        return None

    async def _raw(self, path: str, **params: str) -> str:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self.service.session.get(f"{self.service.url}/api/metadata{path}", headers=headers, params=params) as response:
            return await response.text()

    async def _is_wrong(self, project: PublicProject, repository: Repository, sha: str, ours: str) -> bool:
        """Whether the service's manifest of a commit is not that of a full parse; prints how."""
        connection = await self.service.connection(repository.full_name)
        kept = await self._manifest(f"/connections/{connection['id']}/manifest.json", ours)
        if kept is None:
            print(f"  {sha[:8]} is not compared: its manifest is not kept")
            return False
        prepared = await project.prepare(sha)
        if not isinstance(prepared, Parsing):
            print(f"  {sha[:8]} is not compared: {prepared}")
            return False
        container = await self.containers.of(prepared)
        full = await container.parse(prepared.job, prepared.tree)
        found = differing_manifests(full.manifest, kept) if full.ok else ["a full parse fails"]
        if found:
            print(f"WRONG: {project.full_name} at {sha}\n{shown(found)}", flush=True)
        return bool(found)

    async def _script(self, project: PublicProject, repository: Repository, extraction: Any, sha: str) -> float | None:
        prepared = await project.prepare(sha)
        if not isinstance(prepared, Parsing):
            return None
        job = prepared.job
        invented = {one["name"]: one["value"] for one in extraction["placeholders"] if one["kind"] == "env_var"}
        setting = naive.Setting(
            job.project_dir,
            json.dumps(stub(job.profile, job.target, job.adapter_type)),
            {**invented, **job.environment, "DBT_PACKAGE_HUB_URL": project.hub_url},
            ("--network=host",),
        )
        await self.bench.rest()
        url = f"{self.github.server_url}/{repository.full_name}.git"
        try:
            stages = await asyncio.to_thread(naive.run, url, self.bench.dsn, job.image.name, self.bench.scratch, setting)
        except RuntimeError as error:
            print(f"  {sha[:8]}: the script failed: {str(error)[-300:]}", flush=True)
            return None
        return sum(stages.values())


def _other_projects(project: PublicProject, sha: str) -> list[str]:
    """Directories of other projects of the repository, now or at this commit; the script does not look at them either."""
    listed = "\n".join(project.read("ls-tree", "-r", "--name-only", one) for one in (sha, "HEAD")).splitlines()
    found = {posixpath.dirname(path) or "." for path in listed if posixpath.basename(path) == "dbt_project.yml"}
    return sorted(found - {project.project_dir or "."})


def table(replayed: Sequence[Replayed]) -> str:
    """The results as Markdown: a row for each repository, and one for all."""
    lines = [
        "| repository | pushes | partial | full | carried | partial or carried | ratio, median | p90 | 75 % reach | least | wrong |",
        "|---|" + "---|" * 10,
    ]
    everything = Replayed("**all**", [push for one in replayed for push in one.pushes])
    ratios = {one.name: one.ratios() for one in replayed}
    ratios[everything.name] = [ratio for one in replayed for ratio in ratios[one.name]]
    for one in (*replayed, everything):
        counted = Counter(push.outcome for push in one.pushes)
        total = counted["partial"] + counted["full"] + counted["carried"]
        cells = [one.name, str(total), *(str(counted[outcome]) for outcome in ("partial", "full", "carried"))]
        cells.append(f"{(counted['partial'] + counted['carried']) / total:.0%}" if total else "–")
        found = sorted(ratios[one.name])
        if len(found) > 1:
            tenths = statistics.quantiles(found, n=20, method="inclusive")
            cells += [f"{ratio:.1f}×" for ratio in (statistics.median(found), tenths[17], tenths[4], found[0])]
        else:
            cells += ["–"] * 4
        lines.append("| " + " | ".join([*cells, str(sum(push.wrong for push in one.pushes))]) + " |")
    reasons = Counter(push.why for push in everything.pushes if push.outcome == "full")
    return "\n".join([*lines, "", "| full parses | because |", "|---|---|", *(f"| {n} | {why} |" for why, n in reasons.most_common())])


async def replay(names: Sequence[tuple[str, str | None]], count: int, every: int, *, checks: bool) -> int:
    """Push the commits of projects to one service, and print the table; the exit status is 1 if a lineage is wrong."""
    replayed: list[Replayed] = []
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshet-bench-")))
        found = await stack.enter_async_context(projects(names))
        dsn = await stack.enter_async_context(embedded.serve(directory))
        await naive.prepare(dsn)
        github = await stack.enter_async_context(GitHubDouble(rate_limit=1_000_000))
        await github.install("bench")
        hub_url = found[0].hub_url
        serve = serving(github, directory / "data", DATABASE_URL=dsn, DBT_PACKAGE_HUB_URL=hub_url, DBT_DOCKER_IMAGES=IMAGES)
        service = await stack.enter_async_context(serve)
        bench = Bench(github, service, dsn, directory / "naive")
        for project in found:
            print(f"{project.full_name}, {project.project_dir or 'root'}", flush=True)
            async with AsyncExitStack() as own:
                replayed.append(await Replay(github, service, bench, Containers(own, PROGRAM), every, checks).run(project, count))
            print(f"\n{table(replayed)}\n", flush=True)
    return 1 if any(push.wrong for one in replayed for push in one.pushes) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.replay", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("repository", metavar="OWNER/NAME", nargs="+", help="a bare repository below .cache/compat")
    parser.add_argument("count", metavar="N", type=int, help="how many commits")
    parser.add_argument("--every", type=int, default=EVERY, metavar="N", help="run the script on every Nth push")
    parser.add_argument("--no-check", action="store_true", help="do not compare with full parses")
    parser.add_argument("--quick", action="store_true", help="without a service")
    parser.add_argument("--directory", metavar="DIR", help="with --quick: the project, if it is not the one that Freshet chooses")
    parser.add_argument("--program", type=Path, default=PROGRAM, metavar="DIR", help="with --quick: another program for the containers")
    options = parser.parse_args(arguments)
    names = [(name, options.directory) for name in options.repository]
    if options.quick:
        return asyncio.run(quick(names, options.count, options.program))
    return asyncio.run(replay(names, options.count, options.every, checks=not options.no_check))


if __name__ == "__main__":
    sys.exit(main())

"""`make bench`: Freshet beside the obvious script, interleaved in one run; what counts are the ratios.

    python -m tests.bench [--models N]... [--rounds N]

Freshet is measured from the push to the completed check run; the obvious script (`naive.py`) from its clone to the manifest in
memory, which is less: it tells nobody and stores nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench import generate, naive
from tests.double import GitHubDouble, Repository
from tests.service import Service, serving

IMAGE = os.environ.get("DBT_DOCKER_IMAGE", "dbt-runner:latest")
TIMEOUT_S = 600.0
Stages = dict[str, float]


async def measure(models: int, rounds: int) -> tuple[list[Stages], list[Stages]]:
    """Return the stages of each round, in seconds: ours and the obvious script's, taken in turns."""
    ours: list[Stages] = []
    theirs: list[Stages] = []
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory:
        async with GitHubDouble() as github, serving(github, Path(directory) / "data") as service:
            files = generate.generate(models)
            repository = await github.create_repository("bench/project", {}, private=False)
            await github.install("bench", [repository])
            await _push(github, service, repository, files)
            for number in range(rounds):
                changed = generate.edit(files, "sql", 1)
                files |= changed
                ours.append(await _push(github, service, repository, changed))
                url = f"{github.server_url}/bench/project.git"
                theirs.append(await asyncio.to_thread(naive.run, url, IMAGE, Path(directory) / "naive"))
                print(
                    f"  round {number + 1} of {rounds}: ours {sum(ours[-1].values()):.2f} s, naive {sum(theirs[-1].values()):.2f} s",
                    flush=True,
                )
    return ours, theirs


async def _push(github: GitHubDouble, service: Service, repository: Repository, files: dict[str, str]) -> Stages:
    """Push, wait until the check run is completed, and return our stages; `rest` is all that is in no stage."""
    began = time.perf_counter()
    sha = await github.push(repository, dict(files))
    run = await github.wait_for_check_run(repository, sha, timeout_s=TIMEOUT_S)
    total = time.perf_counter() - began
    assert run.conclusion == "success", run.summary
    extraction = await service.get(f"/extractions/{run.external_id}")
    stages = {stage["stage"]: float(stage["seconds"]) for stage in extraction["stages"]}
    return {**stages, "rest": total - sum(stages.values())}


def table(models: int, ours: Sequence[Stages], theirs: Sequence[Stages]) -> str:
    """Return the medians and the spread as a Markdown table."""
    mine, naively = [sum(stages.values()) for stages in ours], [sum(stages.values()) for stages in theirs]
    ratios = [theirs_s / ours_s for ours_s, theirs_s in zip(mine, naively, strict=True)]
    spread = f"**{statistics.median(ratios):.2f}×** ({min(ratios):.2f}–{max(ratios):.2f})"
    rows = [f"| {models} | {statistics.median(naively):.1f} s | {statistics.median(mine):.1f} s | {spread} |"]
    rows.append("")
    for name, rounds in (("naive", theirs), ("ours", ours)):
        medians = {stage: statistics.median(stages[stage] for stages in rounds) for stage in rounds[0]}
        rows.append(f"{name}: " + ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in medians.items()))
    return "\n".join(rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--models", type=int, action="append", help="size of the generated project; 200 unless given")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for models in options.models or [200]:
        print(f"{models} models, one SQL file changed, {options.rounds} rounds", flush=True)
        ours, theirs = asyncio.run(measure(models, options.rounds))
        print("\n| models | naive | Freshet | ratio of each round, median (spread) |\n|---|---|---|---|")
        print(table(models, ours, theirs), flush=True)


if __name__ == "__main__":
    main()

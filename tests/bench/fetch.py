"""`python -m tests.bench.fetch`: a big repository with a small dbt project, fetched whole and as Freshet does it.

    python -m tests.bench.fetch [--files N] [--rounds N]

From the fetch to the last byte that would go into the container. The repository is packed first, as GitHub's are.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from app.core.models.github import Repository
from app.github.git.mirror import MAX_FETCH_BYTES, WHOLE_BYTES
from app.github.git.source import GitSources
from tests.bench import generate
from tests.double import GitHubDouble, git
from tests.flow import laid_out

FILE_BYTES = 15 << 10
MODELS = 160
DIRECTORY_FILES = 50
WHOLE, OURS = "whole", "Freshet"
WAYS = {WHOLE: MAX_FETCH_BYTES, OURS: WHOLE_BYTES}
Costs = dict[str, dict[str, list["Cost"]]]
"""By what was pushed and by the way it was fetched."""


@dataclass(frozen=True)
class Cost:
    """What one push cost."""

    seconds: float
    fetched_bytes: int


def monorepo(files: int) -> dict[str, str]:
    """The files of a repository: services that compress about like source code, and one dbt project."""
    random = Random(0)  # noqa: S311 - reproducible, not secret
    words = ["".join(random.choices("abcdefghijklmnopqrstuvwxyz_", k=random.randint(2, 12))) for _ in range(5000)]
    text = " ".join(random.choices(words, k=700_000))
    starts = [random.randrange(len(text) - FILE_BYTES) for _ in range(files)]
    others = {f"services/s{n // DIRECTORY_FILES}/m{n}.py": f"# {n}\n{text[start : start + FILE_BYTES]}\n" for n, start in enumerate(starts)}
    return others | {f"analytics/{path}": content for path, content in generate.generate(MODELS).items()}


async def measure(files: int, rounds: int) -> Costs:
    """Measure each push both ways, alternating."""
    costs: Costs = {}
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory:
        async with GitHubDouble() as github:
            content = monorepo(files)
            hosted = await github.create_repository("bench/monorepo", dict(content), private=False)
            await git.run(hosted.directory, "repack", "-a", "-d", "-q", "--write-bitmap-index")
            repository = Repository(hosted.id, hosted.full_name, 0)
            for number in range(rounds):
                sources = {way: _sources(github, Path(directory) / f"{way}-{number}", most) for way, most in WAYS.items()}
                for name, changed in _pushes(content, number).items():
                    sha = await github.push(hosted, dict(changed))
                    for way in sorted(WAYS, reverse=bool(number % 2)):
                        cost = await _cost(github, sources[way], repository, sha)
                        costs.setdefault(name, {}).setdefault(way, []).append(cost)
                        print(f"  {name}, {way}: {cost.seconds:.2f} s, {cost.fetched_bytes / 2**20:.2f} MiB", flush=True)
                for source in sources.values():
                    source.close()
    return costs


def _pushes(content: dict[str, str], number: int) -> dict[str, dict[str, str]]:
    model = next(path for path in content if path.endswith("/stg_0000.sql"))
    others = [path for path in content if path.startswith("services/")]
    others = others[: len(others) // 40]
    return {
        "the first push": {"README.md": f"{number}\n"},
        "one SQL file changed": {model: f"{content[model]}-- {number}\n"},
        f"{len(others)} other files changed": {path: f"{content[path]}# {number}\n" for path in others},
    }


def _sources(github: GitHubDouble, work_dir: Path, whole_bytes: int) -> GitSources:
    async def no_token(_repository: Repository) -> None:
        return None

    return GitSources(github.server_url, work_dir, no_token, environ=os.environ, whole_bytes=whole_bytes)


async def _cost(github: GitHubDouble, sources: GitSources, repository: Repository, sha: str) -> Cost:
    before, began = github.state.git_bytes, time.perf_counter()
    layout, _ = await laid_out(sources, repository, sha)
    async with sources.open(repository, sha) as tree:
        async for _ in tree.members(layout.members):
            pass
    return Cost(time.perf_counter() - began, github.state.git_bytes - before)


def table(costs: Costs) -> str:
    """Return the medians as a Markdown table."""
    lines = ["| push | whole | Freshet | bytes, ratio | time, ratio of each round, median (spread) |", "|---|---|---|---|---|"]
    for name, ways in costs.items():
        times = [whole.seconds / ours.seconds for whole, ours in zip(ways[WHOLE], ways[OURS], strict=True)]
        sizes = [statistics.median(cost.fetched_bytes for cost in ways[way]) for way in WAYS]
        spread = f"{statistics.median(times):.1f}× ({min(times):.1f}–{max(times):.1f})"
        lines.append(f"| {name} | {_cell(ways[WHOLE])} | {_cell(ways[OURS])} | {sizes[0] / sizes[1]:.1f}× | {spread} |")
    return "\n".join(lines)


def _cell(costs: Sequence[Cost]) -> str:
    fetched = statistics.median(cost.fetched_bytes for cost in costs)
    shown = f"{fetched / 2**20:.1f} MiB" if fetched >= 2**20 else f"{fetched / 2**10:.1f} KiB"
    return f"{shown}, {statistics.median(cost.seconds for cost in costs):.2f} s"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fetch", description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(table(asyncio.run(measure(options.files, options.rounds))))


if __name__ == "__main__":
    main()

"""Requests to GitHub for one push, REST and git, with the default setup: `python -m tests.bench.requests`."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections import Counter
from pathlib import Path

from tests.double import GitHubDouble
from tests.service import serving

PROJECT = {
    "dbt_project.yml": "name: tiny\nversion: '1.0'\nprofile: tiny\n",
    "models/a.sql": "select 1 as id",
    "models/b.sql": "select * from {{ ref('a') }}",
}
PUSHES = {
    "the first push": PROJECT,
    "one SQL file changed": {"models/a.sql": "select 2 as id"},
    "nothing that dbt reads changed": {"README.md": "Hello.\n"},
}
SETTLE_S = 2.0
"""Requests that follow a completed check run, or an installation, are counted too."""


async def measure() -> dict[str, Counter[str]]:
    """The requests for each push, by method and kind of path."""
    counted = {}
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory:
        async with GitHubDouble() as github, serving(github, Path(directory)):
            repository = await github.create_repository("octo/bench", {})
            await github.install("octo", [repository])
            await asyncio.sleep(SETTLE_S)
            for name, files in PUSHES.items():
                before = len(github.requests)
                sha = await github.push(repository, files)
                await github.wait_for_check_run(repository, sha, timeout_s=120)
                await asyncio.sleep(SETTLE_S)
                counted[name] = Counter(f"{one.method} {_kind(one.path)}" for one in github.requests[before:])
    return counted


def _kind(path: str) -> str:
    return re.sub(r"[0-9a-f]{40}|\b\d+\b", "N", path)


def main() -> None:
    """Measure and print."""
    print("| push | requests | of these |\n|---|---|---|")
    for name, kinds in asyncio.run(measure()).items():
        print(f"| {name} | {kinds.total()} | {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))} |")


if __name__ == "__main__":
    main()

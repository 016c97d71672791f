"""`python -m tests.bench.requests`: what a push costs GitHub, in HTTP requests of REST and of git, as the double counts them.

The setup is an unchanged default one: one installation, one repository with one dbt project, the service as a process, real dbt.
Counted is from the push until its check run is completed and nothing has been asked for a while. The target is at most 6.
Tokens are kept for about an hour: the last push comes when those of before are no longer used (here they are made for less).
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
from collections import Counter
from pathlib import Path

from app.github import auth
from tests.bench import generate
from tests.double import GitHubDouble, RecordedRequest, Repository
from tests.service import serving

TARGET = 6
TOKEN_S = 45.0
"""How long tokens are used; the pushes but the last take less."""
TIMEOUT_S = 120.0
QUIET_S = 3.0
"""So long without a request, and whatever a push caused is over."""


async def measure(models: int) -> dict[str, Counter[str]]:
    """Return the requests of each push by kind."""
    files = generate.generate(models)
    edited = generate.edit(files, "sql", 1)
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory:
        async with GitHubDouble(token_lifetime_s=int(auth.TOKEN_SPARE_S + TOKEN_S)) as github, serving(github, Path(directory)):
            repository = await github.create_repository("bench/project", {})
            await github.install("bench", [repository])
            await _quiet(github)
            counts["first push"] = await _push(github, repository, files)
            counts["one SQL file"] = await _push(github, repository, edited)
            counts["nothing that dbt reads"] = await _push(github, repository, {"README.md": "# Read by people only\n"})
            await asyncio.sleep(TOKEN_S)
            counts["one SQL file, after an hour"] = await _push(github, repository, generate.edit(files | edited, "sql", 1))
    return counts


async def _push(github: GitHubDouble, repository: Repository, files: dict[str, str]) -> Counter[str]:
    github.requests.clear()
    sha = await github.push(repository, dict(files))
    run = await github.wait_for_check_run(repository, sha, timeout_s=TIMEOUT_S)
    assert run.conclusion == "success", run.summary
    await _quiet(github)
    return Counter(kind(request, repository) for request in github.requests)


async def _quiet(github: GitHubDouble) -> None:
    """Wait until GitHub has not been asked anything for a while."""
    seen = -1
    while seen != len(github.requests):
        seen = len(github.requests)
        await asyncio.sleep(QUIET_S)


def kind(request: RecordedRequest, repository: Repository) -> str:
    """Return the method and the path of a request, with names for what differs from one to the next."""
    path = request.path.removeprefix("/api/v3").replace(repository.full_name, "{repository}")
    path = re.sub(r"\b[0-9a-f]{40}\b", "{sha}", path)
    return f"{request.method} {re.sub(r'/[0-9]+', '/{id}', path)}"


def table(pushes: dict[str, Counter[str]]) -> str:
    """Return the counts as a Markdown table."""
    lines = [f"| request | {' | '.join(pushes)} |", "|---" * (len(pushes) + 1) + "|"]
    names = sorted(set().union(*pushes.values()))
    lines += [f"| `{name}` | {' | '.join(str(counts[name]) for counts in pushes.values())} |" for name in names]
    totals = (f"**{counts.total()}**{'' if counts.total() <= TARGET else ' (over)'}" for counts in pushes.values())
    return "\n".join([*lines, f"| all, at most {TARGET} wanted | {' | '.join(totals)} |"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.requests", description=__doc__)
    parser.add_argument("--models", type=int, default=20, help="size of the generated project")
    print(table(asyncio.run(measure(parser.parse_args().models))))


if __name__ == "__main__":
    main()

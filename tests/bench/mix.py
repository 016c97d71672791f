"""What real pushes change: `python -m tests.bench.mix REPOSITORY.git:PROJECT_DIR... [--commits N]`.

The last commits of the main branch of bare repositories, by first parents, as GitHub pushes them; each counts as the most expensive kind
of change among its files. Only names of files are read.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections import Counter
from collections.abc import Iterable

KINDS = {
    "package": re.compile(r"(packages|dependencies|package-lock)\.yml"),
    "project": re.compile(r"dbt_project\.yml"),
    "macro": re.compile(r"macros/.*\.sql"),
    "small": re.compile(r".*\.(sql|yml|yaml|md|csv|py)"),
}
"""By the path in the project, the most expensive first; all else is nothing that dbt reads."""


def kind_of(paths: Iterable[str], project_dir: str) -> str:
    """The kind of a push that changes these paths."""
    own = [path[len(project_dir) + 1 :] for path in paths if path.startswith(f"{project_dir}/")]
    return next((kind for kind, pattern in KINDS.items() if any(pattern.fullmatch(path) for path in own)), "nothing")


def pushes(repository: str, commits: int) -> list[list[str]]:
    """The changed paths of each commit."""
    command = [
        "git",
        "-C",
        repository,
        "log",
        "--first-parent",
        "-m",
        "--name-only",
        "--no-renames",
        "--format=%x00",
        f"-n{commits}",
        "HEAD",
    ]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [commit.split("\n") for commit in told.split("\0")[1:]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.mix", description=__doc__)
    parser.add_argument("repositories", nargs="+", metavar="REPOSITORY.git:PROJECT_DIR")
    parser.add_argument("--commits", type=int, default=500)
    options = parser.parse_args()
    together: Counter[str] = Counter()
    for one in options.repositories:
        repository, _, directory = one.rpartition(":")
        counted = Counter(kind_of(paths, directory) for paths in pushes(repository, options.commits))
        together += counted
        print(directory, dict(counted.most_common()))
    print("all", {kind: round(count / together.total(), 3) for kind, count in together.most_common()})

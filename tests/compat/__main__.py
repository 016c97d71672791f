"""`make compat`: real public dbt projects through `python -m app extract`; what comes out is the table of `docs/compatibility.md`.

    python -m tests.compat [--repositories DIR] [--only TEXT]... [--write]

`--repositories` has the bare repositories as `OWNER/NAME.git` (default: `.cache/compat`); what is missing there is cloned from GitHub.
Packages come from a stand-in hub over the same repositories. Nothing of the projects is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.compat.hub import GitHub, Hub
from tests.service import clean_environment

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "compatibility.md"
BEGIN, END = "<!-- table: make compat -->", "<!-- end of the table -->"
IMAGES = "dbt-runner:1.10,dbt-runner:1.7"
"""Besides the default one: those that `make images` builds, whatever else the engine has."""
MODEL = re.compile(r"(^|/)models/.*\.(sql|py)$")


@dataclass(frozen=True, slots=True)
class Project:
    """One line of `projects.toml`."""

    repository: str
    commit: str
    directory: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went: the document of `--json`, or what was said instead."""

    project: Project
    document: dict[str, Any] | None
    said: str


def read() -> tuple[list[Project], dict[str, Any]]:
    """Return the projects, and the rest of the list: packages, their old names, versions without a tag."""
    listed = tomllib.loads((HERE / "projects.toml").read_text())
    return [Project(one["repository"], one["commit"], one.get("directory")) for one in listed.pop("project")], listed


def lay_out(github: GitHub, project: Project, place: Path) -> None:
    """Write the files of a project's commit."""
    for path, is_link, content in github.files(project.repository, project.commit):
        file = place / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if is_link:
            file.symlink_to(content.decode())
        else:
            file.write_bytes(content)


async def extract(project: Project, github: GitHub, repositories: Path, hub_url: str) -> Outcome:
    """Run the command as a user would, with github.com answered by the repositories at hand."""
    with tempfile.TemporaryDirectory(prefix="freshet-compat-") as scratch:
        environment = {
            **clean_environment(),
            "FRESHET_DATA_DIR": f"{scratch}/data",
            "DBT_PACKAGE_HUB_URL": hub_url,
            "DBT_DOCKER_IMAGES": IMAGES,
            "GIT_CONFIG_COUNT": "2",
            **{f"GIT_CONFIG_KEY_{number}": f"url.file://{repositories.resolve()}/.insteadOf" for number in range(2)},
            "GIT_CONFIG_VALUE_0": "https://github.com/",
            "GIT_CONFIG_VALUE_1": "git@github.com:",
        }
        found = Path(scratch) / "lineage.json"
        place = Path(scratch) / project.repository.split("/")[1]
        lay_out(github, project, place)
        arguments = ["extract", str(place), "--json", str(found)]
        arguments += ["--project-dir", project.directory] if project.directory else []
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", *arguments),
            cwd=ROOT,
            env={**environment, "COLUMNS": "200"},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        document = json.loads(found.read_bytes()) if process.returncode == 0 else None
    return Outcome(project, document, said.decode(errors="replace"))


def row(outcome: Outcome, model_files: int) -> list[str]:
    """Return the cells of a project's line."""
    project, document = outcome.project, outcome.document
    name = f"[{project.repository}](https://github.com/{project.repository}/tree/{project.commit}) `{project.commit[:7]}`"
    if document is None:
        return [name, project.directory or "", "", "", "", f"**refused**: {_reason(outcome.said)}"]
    models = sum(node["resource_type"] == "model" and node["package_name"] == document["project_name"] for node in document["nodes"])
    counts = f"{models} models ({model_files} files), {len(document['nodes']):,} nodes, {len(document['edges']):,} edges"
    placeholders = len({(found["kind"], found["name"]) for found in document["placeholders"]})
    more = [counts, f"{placeholders} placeholders" if placeholders else "", *(remark["title"] for remark in document["remarks"])]
    adapter = f"{document['adapter_type']}: {document['evidence']}"
    return [
        name,
        document["project_dir"] or ".",
        adapter,
        document["target"],
        document["dbt_version"],
        "; ".join(part for part in more if part),
    ]


def _reason(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return " ".join(lines[-8:]).replace("|", "\\|")[:400]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return Markdown."""
    head = ["project", "directory", "adapter, and what says so", "target", "dbt", "result"]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


async def run(repositories: Path, only: Sequence[str], *, write: bool) -> int:
    """Extract the projects one after the other; return the exit status."""
    github = GitHub(repositories)
    projects, listed = read()
    chosen = [project for project in projects if not only or any(text in f"{project.repository}/{project.directory}" for text in only)]
    rows = []
    async with Hub(github, listed["packages"], listed["redirects"], listed["untagged"]).serve() as hub_url:
        for project in chosen:
            outcome = await extract(project, github, repositories, hub_url)
            files = github.read(project.repository, "ls-tree", "-r", "--name-only", project.commit).decode().splitlines()
            below = (outcome.document or {}).get("project_dir") or project.directory or ""
            rows.append(row(outcome, sum(path.startswith(below) and bool(MODEL.search(path)) for path in files)))
            print(" | ".join(rows[-1]), flush=True)
            if outcome.document is None:
                print(outcome.said, file=sys.stderr, flush=True)
    if write and not only:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{rest.partition(END)[2]}")
    return 0


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.compat", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repositories", type=Path, default=Path(os.environ.get("COMPAT_REPOSITORIES", ROOT / ".cache" / "compat")))
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="projects whose name or directory holds TEXT")
    parser.add_argument("--write", action="store_true", help="put the table into docs/compatibility.md")
    options = parser.parse_args()
    return asyncio.run(run(options.repositories, options.only, write=options.write))


if __name__ == "__main__":
    sys.exit(main())

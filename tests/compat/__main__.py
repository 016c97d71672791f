"""`make compat`: real public dbt projects through `python -m app extract`; what comes out are the tables of `docs/compatibility.md`.

    python -m tests.compat [--repositories DIR] [--only TEXT]... [--keep DIR] [--write]

`--repositories` has the bare repositories as `OWNER/NAME.git` (default: `.cache/compat`); what is missing there is cloned from GitHub.
Packages come from a stand-in hub over the same repositories. Nothing of the projects is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.compat import columns
from tests.compat.columns import Counted
from tests.compat.hub import GitHub, Hub
from tests.compat.watched import DOCUMENT
from tests.service import clean_environment

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "compatibility.md"
BEGIN, END = "<!-- table: make compat -->", "<!-- end of the table -->"
BEGIN_COLUMNS, END_COLUMNS = "<!-- columns: make compat -->", "<!-- end of the columns -->"
IMAGES = "dbt-runner:1.10,dbt-runner:1.7"
"""In addition to the default one, those that `make images` builds; other images of the engine are ignored."""
MODEL = re.compile(r"(^|/)models/.*\.(sql|py)$")


@dataclass(frozen=True, slots=True)
class Project:
    """One line of `projects.toml`."""

    repository: str
    commit: str
    directory: str | None = None
    settings: str | None = None
    """The text of `.github/freshet.yml`, if the project cannot be extracted, or not for the adapter that is wanted, without it."""
    again: bool = False
    """Whether its models are those of another row: they count once."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result: the document of `--json` and what was found about columns, or the error."""

    project: Project
    document: dict[str, Any] | None
    said: str
    columns: Counted


def read() -> tuple[list[Project], dict[str, Any]]:
    """The projects, and the rest of the file: packages, their old names, versions without a tag."""
    listed = tomllib.loads((HERE / "projects.toml").read_text())
    return [Project(**one) for one in listed.pop("project")], listed


def lay_out(github: GitHub, project: Project, place: Path) -> None:
    """Write the files of a project's commit."""
    for path, is_link, content in github.files(project.repository, project.commit):
        file = place / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if is_link:
            file.symlink_to(content.decode())
        else:
            file.write_bytes(content)
    if project.settings is not None:
        (place / ".github").mkdir(exist_ok=True)
        (place / ".github" / "freshet.yml").write_text(project.settings)


def environment(scratch: str, repositories: Path, hub_url: str) -> dict[str, str]:
    """The variables of a command line that works in `scratch`, with local repositories in place of github.com."""
    return {
        **clean_environment(),
        "FRESHET_DATA_DIR": f"{scratch}/data",
        "DBT_PACKAGE_HUB_URL": hub_url,
        "DBT_DOCKER_IMAGES": IMAGES,
        **({"DBT_DOCKER_IMAGE": os.environ["COMPAT_IMAGE"]} if "COMPAT_IMAGE" in os.environ else {}),
        "GIT_CONFIG_COUNT": "2",
        **{f"GIT_CONFIG_KEY_{number}": f"url.file://{repositories.resolve()}/.insteadOf" for number in range(2)},
        "GIT_CONFIG_VALUE_0": "https://github.com/",
        "GIT_CONFIG_VALUE_1": "git@github.com:",
    }


async def extract(project: Project, github: GitHub, repositories: Path, hub_url: str, keep: Path | None) -> Outcome:
    """Run the command as a user would, with local repositories in place of github.com. `keep`: where the columns document goes."""
    with tempfile.TemporaryDirectory(prefix="freshet-compat-") as scratch:
        found = Path(scratch) / "lineage.json"
        place = Path(scratch) / project.repository.split("/")[1]
        lay_out(github, project, place)
        arguments = ["extract", str(place), "--json", str(found)]
        arguments += ["--project-dir", project.directory] if project.directory else []
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.compat.watched", *arguments),
            cwd=ROOT,
            env={**environment(scratch, repositories, hub_url), "COMPAT_COLUMNS": scratch, "COLUMNS": "200"},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        document = json.loads(found.read_bytes()) if process.returncode == 0 else None
        counted = columns.count(Path(scratch), [node["unique_id"] for node in (document or {}).get("nodes", ())])
        if keep is not None and (Path(scratch) / DOCUMENT).exists():
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(scratch) / DOCUMENT, keep / f"{_name(project).replace('/', '+')}.jsonl")
    return Outcome(project, document, said.decode(errors="replace"), counted)


def _name(project: Project) -> str:
    """Short, and different for each row of a project."""
    said = [part for part in (project.directory, (project.settings or "").split("\n")[0]) if part]
    return f"{project.repository} ({', '.join(said)})" if said else project.repository


def row(outcome: Outcome, model_files: int) -> list[str]:
    """The cells of a project's row."""
    project, document = outcome.project, outcome.document
    name = f"[{project.repository}](https://github.com/{project.repository}/tree/{project.commit}) `{project.commit[:7]}`"
    name += "".join(f"<br>with `{line}`" for line in (project.settings or "").splitlines())
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
    lines = [line.strip() for line in said.splitlines() if line.strip()][-8:]
    while lines and not lines[0].endswith((".", ":")):  # what the command does, step by step
        del lines[0]
    return " ".join(lines).replace("|", "\\|")[:400]


def table(rows: Sequence[Sequence[str]]) -> str:
    """The table in Markdown."""
    head = ["project", "directory", "adapter, and what says so", "target", "dbt", "result"]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


async def run(repositories: Path, only: Sequence[str], keep: Path | None, *, write: bool) -> int:
    """Extract the projects one after the other; return the exit status: 1 if a target for columns is missed over all of them."""
    github = GitHub(repositories)
    projects, listed = read()
    chosen = [project for project in projects if not only or any(text in f"{project.repository}/{project.directory}" for text in only)]
    rows, found = [], []
    async with Hub(github, listed["packages"], listed["redirects"], listed["untagged"]).serve() as hub_url:
        for project in chosen:
            outcome = await extract(project, github, repositories, hub_url, keep)
            files = github.read(project.repository, "ls-tree", "-r", "--name-only", project.commit).decode().splitlines()
            below = (outcome.document or {}).get("project_dir") or project.directory or ""
            rows.append(row(outcome, sum(path.startswith(below) and bool(MODEL.search(path)) for path in files)))
            print(" | ".join(rows[-1]), flush=True)
            if outcome.document is None:
                print(outcome.said, file=sys.stderr, flush=True)
            elif outcome.columns.nodes:
                outcome.columns.again = project.again
                found.append((_name(project), outcome.columns))
    print(columns.page(found))
    if write and not only:
        page = _replaced(PAGE.read_text(), BEGIN, table(rows), END)
        PAGE.write_text(_replaced(page, BEGIN_COLUMNS, columns.page(found), END_COLUMNS))
    missed = [] if only else columns.missed(counted for _, counted in found)
    print(*missed, sep="\n", file=sys.stderr)
    return 1 if missed else 0


def _replaced(page: str, begin: str, text: str, end: str) -> str:
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.compat", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repositories", type=Path, default=Path(os.environ.get("COMPAT_REPOSITORIES", ROOT / ".cache" / "compat")))
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="only projects whose name or directory contains TEXT")
    parser.add_argument("--keep", type=Path, help="keep the columns documents in this directory")
    parser.add_argument("--write", action="store_true", help="write the tables to docs/compatibility.md")
    options = parser.parse_args()
    return asyncio.run(run(options.repositories, options.only, options.keep, write=options.write))


if __name__ == "__main__":
    sys.exit(main())

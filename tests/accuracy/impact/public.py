"""Public projects before and after edits: what says nothing may lead to no finding, and an edited macro only to the models that it makes.

Nothing of the projects is kept.
"""

from __future__ import annotations

import asyncio
import pickle
import re
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CalledProcessError

from app.lineage.impact.model import Impact
from tests.accuracy.impact import editing
from tests.accuracy.impact.macro_edits import edited_macros
from tests.accuracy.impact.sides import Side, compare
from tests.accuracy.project_files import REPOSITORIES, unavailable_runner
from tests.compat.__main__ import ROOT, Project, environment, lay_out, read
from tests.compat.hub import GitHub, Hub

DIALECTS = {
    "dbt-labs/jaffle-shop": "snowflake",
    "cal-itp/data-infra": "bigquery",
    "mattermost/mattermost-data-warehouse": "snowflake",
}
"""The projects that are edited, and whose rules of strings and comments their files follow."""
INLINED = re.compile(r"\b__dbt__cte__\w+\s+as\s*\(", re.IGNORECASE)
MACROS = "macros"


@dataclass
class EditedSides:
    """What edits of one project led to. `findings`: of those that say nothing. `named` and `compiled`: models, of edited macros."""

    name: str
    nodes: int = 0
    edits: Counter[str] = field(default_factory=Counter)
    files: int = 0
    findings: list[str] = field(default_factory=list)
    macros: int = 0
    named: set[str] = field(default_factory=set)
    compiled: set[str] = field(default_factory=set)
    missing: str = ""


class FailedError(Exception):
    """A project that could not be extracted; the text says why."""


def measure(names: Iterable[str] = (), seed: int = 1) -> list[EditedSides]:
    """Edit the projects whose names contain one of these texts, or all; one that cannot be read stays, with the reason."""
    listed = [one for one in read()[0] if one.repository in DIALECTS]
    chosen = [one for one in listed if not names or any(text in label(one) for text in names)]
    reason = unavailable_runner()
    if reason is not None:
        return [EditedSides(label(one), missing=reason) for one in chosen]
    return asyncio.run(_measure(chosen, seed))


def label(project: Project) -> str:
    """The name of a project, with its directory."""
    return f"{project.repository} `{project.directory}`" if project.directory else project.repository


async def _measure(projects: Sequence[Project], seed: int) -> list[EditedSides]:
    github, rest = GitHub(REPOSITORIES), read()[1]
    found = []
    async with Hub(github, rest["packages"], rest["redirects"], rest["untagged"]).serve() as hub_url:
        for project in projects:
            with tempfile.TemporaryDirectory(prefix="freshet-edits-") as scratch:
                work = _Work(project, Path(scratch), hub_url)
                try:
                    lay_out(github, project, work.place)
                    found.append(await work.edited(seed))
                except (FailedError, OSError, CalledProcessError) as error:
                    found.append(EditedSides(label(project), missing=str(error)))
    return found


class _Work:
    """A project's files in a directory of their own, which are edited and extracted."""

    def __init__(self, project: Project, scratch: Path, hub_url: str) -> None:
        self._project, self._scratch = project, scratch
        self._environment = environment(str(scratch), REPOSITORIES, hub_url)
        self.place = scratch / project.repository.split("/")[1]

    async def edited(self, seed: int) -> EditedSides:
        """Make both kinds of edits. Raises FailedError."""
        base = await self._extracted()
        directory = self.place / base.project_dir
        files = dict(editing.editable(directory))
        edits = editing.edit(files.items(), DIALECTS[self._project.repository], seed)
        head = await self._with(directory, edits.files)
        _write(directory, {path: files[path] for path in edits.files})
        macros = edited_macros((path, text) for path, text in files.items() if path.startswith(MACROS))
        other = await self._with(directory, macros)
        named = {one.unique_id for one in compare(base, other).changes if not one.inherited}
        return EditedSides(
            label(self._project),
            nodes=len(base.lineage.nodes),
            edits=edits.counts,
            files=len(edits.files),
            findings=findings(compare(base, head), edits),
            macros=len(macros),
            named=named,
            compiled=differing_models(base, other),
        )

    async def _with(self, directory: Path, files: Mapping[str, str]) -> Side:
        _write(directory, files)
        return await self._extracted()

    async def _extracted(self) -> Side:
        file = self._scratch / "side"
        arguments = (str(self.place), self._project.directory or "", str(file))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.accuracy.impact.extracted", *arguments), cwd=ROOT, env=self._environment, stderr=PIPE
        )
        _, said = await process.communicate()
        if process.returncode:
            raise FailedError(said.decode(errors="replace").strip()[-500:])
        found: Side = pickle.loads(file.read_bytes())  # noqa: S301 - our own program wrote it
        return found


def _write(directory: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (directory / path).write_text(text, errors="surrogateescape")


def findings(impact: Impact, edits: editing.EditedProject) -> list[str]:
    """What is said although nothing is: each with the edits of files whose names are those of the node."""
    made = {Path(edit.path).stem: [] for edit in edits.edits}  # type: dict[str, list[str]]
    for edit in edits.edits:
        made[Path(edit.path).stem].append(edit.name)
    said = [(one.unique_id, f"{one.change_class}: {one.reason}") for one in impact.changes]
    said += [(one.unique_id, f"breaks, {one.kind}: {one.reason}") for one in impact.breaks]
    said += [(one.unique_id, f"reached by {one.by}") for one in impact.reached]
    return [f"{name}: {text} (edits: {', '.join(made.get(name.split('.')[2], ()))})" for name, text in said]


def differing_models(base: Side, head: Side) -> set[str]:
    """The nodes whose own compiled SQL is not the same: ephemeral models that are written into it are nodes of their own."""
    names = base.traced.keys() & head.traced.keys()
    return {name for name in names if _own(base.code(name)) != _own(head.code(name))}


def _own(code: str | None) -> str:
    """Compiled SQL without the CTEs that dbt adds for ephemeral models."""
    text = code or ""
    while (found := INLINED.search(text)) is not None:
        depth, end = 1, found.end()
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        text = text[: found.start()] + text[end:]
    return text

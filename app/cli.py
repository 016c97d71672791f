"""The commands that are not the service: the same stages on one project, and a look at what the service needs."""

from __future__ import annotations

import asyncio
import posixpath
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from app import config, parts
from app.checkup import Finding
from app.config import Settings
from app.decoding.inline import Inline
from app.errors import FreshetError
from app.github.local import LocalSource, local_packages, local_source
from app.jobs import Problem, Stage
from app.lineage import Lineage
from app.records import KnownInput
from app.refresh import Commit, Refreshed, Tools, refresh
from app.store import Store, migrate, pool
from app.web.health import outcome
from app.wording import report
from app.wording.markdown import plain
from app.wording.summary import STAGE_WORDS


async def extract(settings: Settings, source: str, project_dir: str | None, json_file: Path | None) -> int:
    """Run the pipeline on a directory or a git URL, show how it goes, and print what was found."""
    console = Console(stderr=True)
    async with _tools(settings, source) as (local, tools):
        commit = Commit("cli", local.repository, local.sha)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            try:
                refreshed = await refresh(commit, tools, _Shown(progress, console, _project_dir(local.directory, project_dir)))
                assert isinstance(refreshed, Refreshed)  # noqa: S101 - nothing is known before
            except FreshetError as error:
                progress.stop()
                _print_problem(console, report.problem(error))
                return 1
    told = await asyncio.to_thread(refreshed.told, None)
    if json_file:
        document = orjson.dumps(_document(local.repository.full_name, local.sha, refreshed, told), option=orjson.OPT_INDENT_2)
        if str(json_file) == "-":
            sys.stdout.buffer.write(document + b"\n")
            return 0
        json_file.write_bytes(document)
    _print_found(Console(), commit.label, refreshed, told)
    return 0


@asynccontextmanager
async def _tools(settings: Settings, source: str) -> AsyncIterator[tuple[LocalSource, Tools]]:
    """Give what the service has, with the user's own git."""
    environ = config.environment()
    packages = local_packages(environ, settings.work_dir, settings.github_server_url, settings.package_hosts)
    async with (
        parts.docker_runner(settings, "cli") as runner,
        local_source(source, environ, settings.work_dir) as local,
        parts.installer(settings, packages, settings.github_server_url) as installer,
    ):
        yield local, Tools(local, runner if settings.dbt_deps_network else installer, runner, Inline())


async def migrate_database(settings: Settings) -> int:
    """Bring the database up to date."""
    async with parts.database(settings) as dsn, pool.connect(dsn) as db:
        applied = await migrate.migrate(db)
    print("\n".join(f"applied {name}" for name in applied) or "The database is up to date.")
    return 0


async def doctor(settings: Settings) -> int:
    """Check each dependency, a line each; 1 when one fails."""
    works = []
    for name, check in (("database", _check_database), ("Docker", _check_docker), ("runner images", _check_images)):
        well, line = await outcome(lambda check=check: check(settings))  # type: ignore[misc]
        works.append(_told(Finding(name, well, line)))
    try:
        async with parts.github(settings) as (*_, setup):
            findings = (await setup.examine()).findings
    except FreshetError as error:
        findings = (Finding.bad("GitHub App", error.user_text),)
    works += [_told(finding) for finding in findings]
    return 0 if all(works) else 1


def _told(finding: Finding) -> bool:
    print(f"{'ok' if finding.well else 'not ok'}: {finding.name}: {finding.text}", flush=True)
    return finding.well


async def _check_database(settings: Settings) -> str:
    async with parts.database(settings) as dsn, pool.connect(dsn) as db:
        return await Store(db).check()


async def _check_docker(settings: Settings) -> str:
    async with parts.docker_runner(settings) as runner:
        return await runner.check()


async def _check_images(settings: Settings) -> str:
    async with parts.docker_runner(settings) as runner:
        return "; ".join(f"{image.name} holds dbt {image.dbt_version}" for image in await runner.images())


def _project_dir(directory: str | None, wanted: str | None) -> str | None:
    """Return the project's place in the repository from that of the path given; None leaves it to be found."""
    if directory is None and wanted is None:
        return None
    joined = posixpath.normpath(posixpath.join(directory or "", wanted or "."))
    return "" if joined == "." else joined


class _Shown:
    """Shows the stages on a console, and knows nothing of earlier extractions (`refresh.Ledger`)."""

    def __init__(self, progress: Progress, console: Console, project_dir: str | None) -> None:
        self._progress = progress
        self._console = console
        self._project_dir = project_dir
        self._task = progress.add_task("Starting", total=None)

    async def enter(self, stage: Stage) -> None:
        self._progress.update(self._task, description=STAGE_WORDS[stage])
        if not self._console.is_terminal:
            self._console.print(STAGE_WORDS[stage])

    async def locate(self, projects: Sequence[str]) -> str | None:
        del projects
        return self._project_dir

    async def known(self, input_hash: bytes) -> KnownInput | None:
        del input_hash
        return None

    def learn(self, **facts: object) -> None:
        del facts

    def hear(self, log: str) -> None:
        del log


def _print_problem(console: Console, found: Problem) -> None:
    """Say why there is no lineage, with every place that is to blame."""

    def say(text: str, style: str = "") -> None:
        console.print(plain(text, lines=True), style=style, highlight=False, markup=False)

    say(found.output.strip() or found.message)
    if found.path:
        say(f"in {_place(found.path, found.line)}", "bold")
    for remark in found.remarks:
        if (remark.path, remark.line, remark.level) != (found.path, found.line, "failure") or not found.output:
            say(f"{_place(remark.path, remark.line)}: {remark.title}: {remark.message}".removeprefix(": "))
    say(f"{found.title}.", "red")
    say(found.next_step)


def _place(path: str | None, line: int | None) -> str:
    return f"{path}{f', line {line}' if line else ''}" if path else ""


def _print_found(console: Console, label: str, refreshed: Refreshed, told: Mapping[str, Any]) -> None:
    found = refreshed.lineage
    title = f"{found.project_name} · {label} · dbt {found.dbt_version} · {found.adapter_type}"
    table = Table("resource", "count", title=Text(plain(title)))
    for kind, count in found.counts().items():
        table.add_row(kind.replace("_", " "), f"{count:,}")
    table.add_row("edges", f"{found.edge_count:,}")
    console.print(table)
    lines = [*told["notes"], *(_placeholder(one) for one in told["placeholders"]), *(_remark(one) for one in told["remarks"])]
    for line in lines:
        console.print(plain(line, lines=True), highlight=False, markup=False)


def _placeholder(one: Mapping[str, Any]) -> str:
    return f"Invented: {one['kind']} {one['name']} = {one['value']!r} ({_place(one['path'], one['line']) or 'place unknown'})"


def _remark(one: Mapping[str, Any]) -> str:
    return f"{_place(one['path'], one['line'])}: {one['title']}: {one['message']}".removeprefix(": ")


def _document(repository: str, sha: str, refreshed: Refreshed, told: Mapping[str, Any]) -> dict[str, object]:
    found = refreshed.lineage
    assert isinstance(found, Lineage)  # noqa: S101 - as `Inline` makes it
    return {
        "repository": repository,
        "project_dir": refreshed.layout.project_dir,
        "project_name": found.project_name,
        "sha": sha,
        "dbt_version": found.dbt_version,
        "adapter_type": found.adapter_type,
        "manifest_schema": found.manifest_schema,
        "target": told["target"],
        "evidence": told["evidence"],
        "notes": told["notes"],
        "placeholders": told["placeholders"],
        "remarks": told["remarks"],
        "nodes": [orjson.Fragment(node.content) for node in found.nodes],
        "edges": [{"upstream": upstream, "downstream": node.unique_id} for node in found.nodes for upstream in node.upstream],
    }

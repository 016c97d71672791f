"""The commands that are not the service: the same stages on one project, and a look at what the service needs."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from app import config, main
from app.checkup import Finding
from app.config import Settings
from app.errors import DbtError, FreshetError
from app.github.local import local_source
from app.jobs import Stage
from app.lineage import Lineage
from app.refresh import Commit, Refreshed, refresh
from app.report import STAGE_WORDS
from app.storage import KnownInput
from app.store import Store, migrate, pool
from app.web.health import outcome


async def extract(settings: Settings, source: str, project_dir: str | None, json_file: Path | None) -> int:
    """Run the pipeline on a directory or a git URL, show how it goes, and print what was found."""
    console = Console(stderr=True)
    async with main.docker_runner(settings, "cli") as runner, local_source(source, config.environment(), settings.work_dir) as local:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            ledger = _Shown(progress, console, _project_dir(local.directory, project_dir))
            try:
                commit = Commit("cli", local.repository, local.sha)
                refreshed = await refresh(commit, local, runner, ledger)
                assert isinstance(refreshed, Refreshed)  # noqa: S101 - nothing is known before
            except DbtError as error:
                progress.stop()
                _print_dbt_error(console, error)
                return 1
            except FreshetError as error:
                progress.stop()
                console.print(error.user_text, style="red", highlight=False, markup=False)
                return 1
    found = refreshed.lineage
    if json_file:
        document = orjson.dumps(_document(local.repository.full_name, local.sha, refreshed), option=orjson.OPT_INDENT_2)
        if str(json_file) == "-":
            sys.stdout.buffer.write(document + b"\n")
            return 0
        json_file.write_bytes(document)
    _print_found(Console(), commit.label, refreshed, found)
    return 0


async def migrate_database(settings: Settings) -> int:
    """Bring the database up to date."""
    async with main.database(settings) as dsn, pool.connect(dsn) as db:
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
        async with main.github(settings) as (*_, setup):
            findings = (await setup.examine()).findings
    except FreshetError as error:
        findings = (Finding.bad("GitHub App", error.user_text),)
    works += [_told(finding) for finding in findings]
    return 0 if all(works) else 1


def _told(finding: Finding) -> bool:
    print(f"{'ok' if finding.well else 'not ok'}: {finding.name}: {finding.text}", flush=True)
    return finding.well


async def _check_database(settings: Settings) -> str:
    async with main.database(settings) as dsn, pool.connect(dsn) as db:
        return await Store(db).check()


async def _check_docker(settings: Settings) -> str:
    async with main.docker_runner(settings) as runner:
        return await runner.check()


async def _check_images(settings: Settings) -> str:
    async with main.docker_runner(settings) as runner:
        return f"{settings.dbt_docker_image} holds the adapters {', '.join(sorted(await runner.adapters())) or '(none)'}"


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


def _print_dbt_error(console: Console, error: DbtError) -> None:
    console.print(error.output.strip(), highlight=False, markup=False)
    if error.place:
        path, line = error.place
        console.print(f"in {path}{f', line {line}' if line else ''}", style="bold", highlight=False, markup=False)
    console.print("dbt could not parse the project.", style="red")


def _print_found(console: Console, label: str, refreshed: Refreshed, found: Lineage) -> None:
    table = Table("resource", "count", title=f"{found.project_name} · {label} · dbt {found.dbt_version} · {found.adapter_type}")
    for kind, count in found.counts().items():
        table.add_row(kind.replace("_", " "), f"{count:,}")
    table.add_row("edges", f"{found.edge_count:,}")
    console.print(table)
    console.print(f"Parsed for {refreshed.adapter_type}: {refreshed.layout.warehouse.evidence}.", highlight=False, markup=False)


def _document(repository: str, sha: str, refreshed: Refreshed) -> dict[str, object]:
    found = refreshed.lineage
    return {
        "repository": repository,
        "project_dir": refreshed.layout.project_dir,
        "project_name": found.project_name,
        "sha": sha,
        "dbt_version": found.dbt_version,
        "adapter_type": found.adapter_type,
        "manifest_schema": found.manifest_schema,
        "nodes": [orjson.Fragment(node.content) for node in found.nodes],
        "edges": [{"upstream": upstream, "downstream": node.unique_id} for node in found.nodes for upstream in node.upstream],
    }

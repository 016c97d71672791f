"""`extract`: runs the stages of the service on one project, without a GitHub App."""

from __future__ import annotations

import argparse
import asyncio
import logging
import posixpath
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app.core import log
from app.core.errors import ConfigurationError, FreshetError, GoneError
from app.core.models.annotations import Annotation
from app.core.models.extractions import Stage
from app.github.git.local import LocalSource, Place, local_packages, local_source, merge_base, parse_place
from app.lineage import node_selectors
from app.pipeline.decoding.inline import Inline
from app.pipeline.ports import Installer, Runner
from app.pipeline.refresh import Commit, NewLineage, Tools, refresh
from app.reports import results
from app.reports.summary import STAGE_WORDS
from app.runner.parse_state import ParseStates
from app.service import components, config
from app.service.commands import Commands, extract_columns, extract_impact, extract_output
from app.service.commands.extract_output import Format
from app.service.commands.extracted import Extracted, Selected
from app.service.config import Settings
from app.store.lineages import KnownInput

PLACE = """a directory: its files as they are now, also those that are not committed; DIRECTORY@SHA or DIRECTORY#BRANCH: a commit of it;
or a git URL, with #BRANCH or @SHA if it is not the default branch"""
SELECT = """only these nodes, in dbt's syntax: orders, +orders, 2+orders+1, tag:finance, path:models/marts;
with --columns also one column with what it is made of: orders.total"""
BASE = """show what changed since REF (a branch, a tag or a commit): what that does to columns and rows, what it reaches and what it
breaks; breaks do not change the exit status"""
COLUMNS = "trace columns too, and show where they come from; with --format also as json, csv or openlineage"
WITH_COLUMNS = frozenset({"summary", "json", "csv", "openlineage"})
"""Formats."""


@dataclass(frozen=True, slots=True)
class ExtractOptions:
    """What the command line asks for."""

    place: str
    project_dir: str | None = None
    base: str | None = None
    select: str | None = None
    output_format: Format = "summary"
    json_file: Path | None = None
    quiet: bool = False
    columns: bool = False

    @property
    def shows_impact(self) -> bool:
        """Whether what changed is printed."""
        return self.base is not None and self.output_format == "summary" and not self.quiet


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """Whether the columns of a commit are traced, and whether they are shown."""

    traced: bool
    shown: bool


def add_parser(commands: Commands) -> None:
    """Declare the command and its arguments."""
    parser = commands.add_parser("extract", help="extract the lineage of one project, without a GitHub App")
    parser.add_argument("place", metavar="PATH_OR_GIT_URL", help=PLACE)
    parser.add_argument("--project-dir", metavar="DIR", help="directory of the dbt project, if the repository has several")
    parser.add_argument("--select", metavar="NODES", nargs="+", action="extend", help=SELECT)
    parser.add_argument("--columns", action="store_true", help=COLUMNS)
    parser.add_argument("--base", metavar="REF", help=BASE)
    names = get_args(Format)
    parser.add_argument("--format", choices=names, default="summary", help="what to print to standard output; default: summary")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the lineage to FILE as JSON; `-` is standard output")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors and what --format or --json asks for")
    parser.set_defaults(command=lambda options, settings: extract(settings, _options(options)))


def _options(parsed: argparse.Namespace) -> ExtractOptions:
    to_stdout = parsed.json is not None and str(parsed.json) == "-"
    if to_stdout and parsed.format not in {"summary", "json"}:
        raise ConfigurationError("reading the options", f"--json - and --format {parsed.format} both write to standard output")
    if parsed.columns and parsed.format not in WITH_COLUMNS:
        raise ConfigurationError("reading the options", f"--format {parsed.format} cannot show --columns: json, csv and openlineage can")
    return ExtractOptions(
        place=parsed.place,
        project_dir=parsed.project_dir,
        base=parsed.base,
        select=" ".join(parsed.select) if parsed.select else None,
        output_format="json" if to_stdout else parsed.format,
        json_file=None if to_stdout else parsed.json,
        quiet=parsed.quiet,
        columns=parsed.columns,
    )


async def extract(settings: Settings, options: ExtractOptions) -> int:
    """Extract the lineage of a directory or a git URL, show the progress, and print it. The exit status is 1 on failure."""
    console = Console(stderr=True, quiet=options.quiet)
    errors = Console(stderr=True)
    # Through the console, so that a line of the log does not end up in the line of the progress.
    log.configure(extract_output.LogStream(errors), level=logging.WARNING, pretty=True)
    place = parse_place(options.place)
    async with _runner(settings) as runner, _source(settings, place) as source:
        if options.base is not None and place.url is None and source.history_dir is None:
            raise GoneError(f"looking up --base {options.base}", f"{source.repository.full_name} is not in a git work tree")
        extractor = _Extractor(settings, runner, console, errors, _project_dir(source.directory, options.project_dir))
        if source.uncommitted:
            extract_output.print_uncommitted(console, source.head_sha, source.uncommitted)
        columns = ColumnUse(traced=options.columns or options.shows_impact, shown=options.columns)
        head = await extractor.extract(source, columns)
        base = None
        if head is not None and options.base is not None:
            base_place = replace(place, ref=await merge_base(source, options.base))
            async with _source(settings, base_place) as earlier:
                base = await extractor.extract(earlier, ColumnUse(traced=options.shows_impact, shown=False))
        if head is None or (options.base is not None and base is None):
            return 1
    try:
        await asyncio.to_thread(_print, options, head, base)
    except node_selectors.SelectorError as error:
        extract_output.print_selector_error(errors, error)
        return 1
    return 1 if extract_columns.print_failure(errors, head) else 0


def _print(options: ExtractOptions, head: Extracted, base: Extracted | None) -> None:
    selection = None if options.select is None else extract_columns.select(head, options.select)
    if options.json_file is not None:
        try:
            options.json_file.write_bytes(extract_output.document(head, "json", selection))
        except OSError as error:
            raise GoneError(f"writing {options.json_file}", error.strerror or str(error), "Give a file that can be written.") from error
    if options.output_format != "summary":
        sys.stdout.buffer.write(extract_output.document(head, options.output_format, selection))
        sys.stdout.buffer.flush()
    elif not options.quiet:
        _print_summary(Console(), head, base, selection)


def _print_summary(console: Console, head: Extracted, base: Extracted | None, selection: Selected | None) -> None:
    extract_output.print_summary(console, head)
    if selection is not None and selection.nodes:
        extract_output.print_nodes(console, head, selection.nodes)
    if base is not None:
        extract_impact.print_impact(console, base, head)
    extract_columns.print_columns(console, head, selection)


@asynccontextmanager
async def _runner(settings: Settings) -> AsyncIterator[Runner]:
    async with components.runner(settings, ParseStates(settings.work_dir), "cli") as runner:
        yield runner


@asynccontextmanager
async def _source(settings: Settings, place: Place) -> AsyncIterator[LocalSource]:
    async with local_source(place, config.environment(), settings.work_dir) as source:
        yield source


def _project_dir(directory: str | None, requested: str | None) -> str | None:
    """The project's path relative to the repository root: `requested` is relative to `directory`. None: discover it."""
    if directory is None and requested is None:
        return None
    joined = posixpath.normpath(posixpath.join(directory or "", requested or "."))
    return "" if joined == "." else joined


class _Extractor:
    """Extracts commits of one project with the tools of the service, but with the user's own git and its credentials."""

    def __init__(self, settings: Settings, runner: Runner, console: Console, errors: Console, project_dir: str | None) -> None:
        self._settings, self._runner, self._console, self._errors = settings, runner, console, errors
        self._project_dir = project_dir

    async def extract(self, source: LocalSource, columns: ColumnUse) -> Extracted | None:
        """The lineage of one commit; None if there is none: why is printed."""
        commit = Commit("cli", source.repository, source.sha, columns=columns.traced)
        settings = self._settings
        packages = local_packages(config.environment(), settings.work_dir, settings.github_server_url, settings.package_hosts)
        async with components.installer(settings, packages, settings.github_server_url) as installer:
            return await self._refresh(source, commit, installer, shows_columns=columns.shown)

    async def _refresh(self, source: LocalSource, commit: Commit, installer: Installer, *, shows_columns: bool) -> Extracted | None:
        runner = self._runner
        tools = Tools(source, runner if self._settings.dbt_deps_network else installer, runner, Inline())
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self._console, disable=not self._console.is_terminal, transient=True) as progress:
            console_progress = _ConsoleProgress(progress, self._console, self._project_dir)
            try:
                refreshed = await refresh(commit, tools, console_progress)
                assert isinstance(refreshed, NewLineage)  # noqa: S101 - `find_known_input` finds nothing, so nothing is carried forward
            except FreshetError as error:
                progress.stop()
                problem = results.problem(error, console_progress.annotations, on_command_line=True)
                extract_output.print_problem(self._errors, problem)
                return None
            traced = await extract_columns.receive(refreshed, tools.decoders, console_progress) if commit.columns else None
            refreshed.parsed.spool.close()
        return Extracted(source, refreshed, await asyncio.to_thread(refreshed.result, None), traced, shows_columns)


class _ConsoleProgress:
    """Shows the stages on a console (implements `refresh.Progress`). There are no earlier extractions to reuse."""

    def __init__(self, progress: Progress, console: Console, project_dir: str | None) -> None:
        self._progress = progress
        self._console = console
        self._project_dir = project_dir
        self._task = progress.add_task("Starting", total=None)
        self.annotations: Sequence[Annotation] = ()

    async def enter(self, stage: Stage) -> None:
        self._progress.update(self._task, description=STAGE_WORDS[stage])
        if not self._console.is_terminal:
            self._console.print(STAGE_WORDS[stage])

    async def choose_project_dir(self, projects: Sequence[str]) -> str | None:
        del projects
        return self._project_dir

    async def find_known_input(self, input_hash: bytes) -> KnownInput | None:
        del input_hash
        return None

    def record(self, **facts: object) -> None:
        del facts

    def record_log(self, log: str) -> None:
        del log

    async def show_log(self, log: str) -> None:
        del log

    def annotate(self, annotations: Sequence[Annotation]) -> None:
        self.annotations = annotations

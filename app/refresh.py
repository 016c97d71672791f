"""The whole path of one extraction, stage by stage: from a commit to its lineage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from app import images, settings
from app.errors import BranchLeftOutError, DbtError, FreshetError
from app.images import RunnerImage
from app.inference import discovery, project
from app.inference.project import UNKNOWN_SIZE, Entry, Layout
from app.jobs import Repository, Stage
from app.lineage import VERSION, Difference, StorableLineage
from app.ports import DbtJob, Decoders, Installer, PackageRequest, PackageTree, Parsed, Runner, Sources, SourceTree, StateScope
from app.records import KnownInput
from app.remarks import Placeholder, Remark
from app.usage import Usage
from app.wording import redact, report
from app.wording.place import failures, place


@dataclass(frozen=True, slots=True)
class Commit:
    """What is to be extracted."""

    extraction_id: str
    repository: Repository
    sha: str
    branch: str | None = None
    """A branch that the repository's settings may leave out; None: nothing leaves this commit out."""
    state: StateScope | None = None
    """As `DbtJob.state`."""

    @property
    def label(self) -> str:
        """For people: `octo/shop at 1a2b3c4`."""
        return f"{self.repository.full_name} at {self.sha[:7]}"


class Ledger(Protocol):
    """What an extraction tells on its way, and what it is told. Each call may raise to stop it."""

    async def enter(self, stage: Stage) -> None:
        """A stage begins."""

    async def locate(self, projects: Sequence[str]) -> str | None:
        """The commit holds these dbt projects (directories, the nearest to the root first): return the one to extract, None for any."""

    async def known(self, input_hash: bytes) -> KnownInput | None:
        """Return a commit of the same project with this very input, whose lineage is known."""

    def learn(self, **facts: Any) -> None:
        """Take what becomes known on the way, by the names of `jobs.Facts`: it is kept however the extraction ends."""

    def hear(self, log: str) -> None:
        """Take what dbt logged, redacted."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What came out of dbt."""

    layout: Layout
    job: DbtJob
    remarks: tuple[Remark, ...]
    """What was chosen otherwise than the project asks for."""
    input_hash: bytes
    parsed: Parsed
    lineage: StorableLineage

    def told(self, change: Difference | None) -> dict[str, Any]:
        """Return what is kept of the success, and shown; `change` as in `report.result`."""
        parsed = self.parsed
        run = report.Run(self.layout, self.job.adapter_type, parsed.image, asdict(parsed.usage), parsed.placeholders, self.remarks)
        return report.result(run, self.lineage, change)

    def close(self) -> None:
        """Give back what the lineage takes besides memory."""
        self.lineage.close()


@dataclass(frozen=True, slots=True)
class Carried:
    """Nothing that dbt reads is other than in a commit that is known."""

    layout: Layout
    known: KnownInput

    def close(self) -> None:
        """Do nothing, as there is nothing."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The outside worlds of an extraction."""

    sources: Sources
    installer: Installer
    runner: Runner
    decoders: Decoders


async def refresh(commit: Commit, tools: Tools, ledger: Ledger) -> Refreshed | Carried:
    """Run all stages but the storing. Raises the errors of the ports, ProjectError and its kinds."""
    await ledger.enter("cloning")
    async with tools.sources.open(commit.repository, commit.sha) as tree:
        try:
            layout = await _lay_out(tree, commit, ledger)
            try:
                return await _refresh(tree, commit, layout, tools, ledger)
            except FreshetError as error:
                error.remarks = (*error.remarks, *report.complaints(layout.settings))
                raise
        finally:
            # Of a big repository, files come as they are read.
            ledger.learn(fetched_bytes=tree.fetched_bytes)


async def _refresh(tree: SourceTree, commit: Commit, layout: Layout, tools: Tools, ledger: Ledger) -> Refreshed | Carried:
    job, remarks = _job(commit, layout, await tools.runner.images())
    ledger.learn(**report.chosen(layout, job.adapter_type, job.image.name, job.image.dbt_version))
    input_hash = project.input_hash(layout, job.adapter_type, job.image.id, VERSION)
    if known := await ledger.known(input_hash):
        await ledger.enter("storing")
        return Carried(layout, known)
    parsed = await _run_dbt(tree, commit, layout, job, tools, ledger)
    try:
        ledger.learn(manifest_bytes=parsed.spool.size_bytes)
        await _told(ledger, job, parsed.log, parsed.usage, parsed.placeholders)
        await ledger.enter("storing")
        lineage = await tools.decoders.lineage(parsed.spool, commit.label, parsed.image)
    finally:
        parsed.spool.close()
    return Refreshed(layout, job, remarks, input_hash, parsed, lineage)


async def _lay_out(tree: SourceTree, commit: Commit, ledger: Ledger) -> Layout:
    texts = await _read(tree, project.config_entries)
    told = await asyncio.to_thread(settings.read, texts.get(settings.PATH))
    if commit.branch is not None and not told.extracts(commit.branch):
        raise BranchLeftOutError(f"extracting {commit.label}", f"`{settings.PATH}` does not list the branch `{commit.branch}`")
    paths = [entry.path for entry in tree.entries]
    found = await asyncio.to_thread(discovery.projects, paths, texts, told)
    project_dir = discovery.choose(found, await ledger.locate(found.projects), commit.label)
    code = await _read(tree, lambda entries: project.code_entries(entries, texts, project_dir, told))
    return await asyncio.to_thread(project.lay_out, tree.entries, {**texts, **code}, project_dir, commit.label, told, found)


async def _read(tree: SourceTree, choose: Callable[[Sequence[Entry]], list[Entry]]) -> dict[str, bytes]:
    """Read what is chosen; of what has no known size, choose once more when it has one."""
    entries = choose(tree.entries)
    if any(entry.size == UNKNOWN_SIZE for entry in entries):
        sizes = await tree.sizes([entry.oid for entry in entries])
        entries = choose([replace(entry, size=sizes[entry.oid]) for entry in entries])
    contents = await tree.read([entry.oid for entry in entries])
    return {entry.path: contents[entry.oid] for entry in entries}


def _job(commit: Commit, layout: Layout, available: Sequence[RunnerImage]) -> tuple[DbtJob, tuple[Remark, ...]]:
    """Parse for the warehouse that the project names, or for one that stands in for it, with the dbt that it asks for."""
    choice = images.choose(available, layout.dbt, layout.warehouse.adapter_type, commit.label)
    told = layout.settings.of(layout.project_dir)
    job = DbtJob(
        extraction_id=commit.extraction_id,
        label=commit.label,
        project_dir=layout.project_dir,
        profile=layout.profile,
        target=layout.warehouse.target,
        adapter_type=choice.adapter_type,
        image=choice.image,
        variables=told.variables,
        environment=told.environment,
        state=commit.state,
    )
    return job, choice.remarks


async def _run_dbt(tree: SourceTree, commit: Commit, layout: Layout, job: DbtJob, tools: Tools, ledger: Ledger) -> Parsed:
    packages: PackageTree | None = None
    try:
        if layout.packages:
            await ledger.enter("installing_deps")
            packages = await tools.installer.install(_packages(tree, commit, layout, job))
            ledger.learn(packages_bytes=packages.size_bytes)
        await ledger.enter("parsing")
        return await tools.runner.parse(job, tree.members(layout.members), packages)
    except FreshetError as error:
        error.log = await _told(ledger, job, error.log, error.usage, error.placeholders if isinstance(error, DbtError) else ())
        if isinstance(error, DbtError):
            error.output = await asyncio.to_thread(redact.safe, error.output, _secrets(job))
            error.place = place(error.output, layout)
            error.remarks = await asyncio.to_thread(failures, error.output, layout)
        raise
    finally:
        if packages is not None:
            packages.close()


async def _told(ledger: Ledger, job: DbtJob, log: str, usage: Usage | None, placeholders: Sequence[Placeholder]) -> str:
    """Keep what there is to say of a container that ran dbt, if one did; return its log, redacted."""
    redacted = await asyncio.to_thread(redact.log, log, _secrets(job))
    if usage is not None:
        ledger.learn(usage=usage, placeholders=report.invented(placeholders))
        ledger.hear(redacted)
    return redacted


def _secrets(job: DbtJob) -> set[str]:
    return redact.secrets_of(job.environment) | redact.secrets_of(job.variables)


def _packages(tree: SourceTree, commit: Commit, layout: Layout, job: DbtJob) -> PackageRequest:
    return PackageRequest(
        repository=commit.repository,
        job=job,
        install_dir=layout.install_dir,
        texts=layout.package_texts,
        rules=layout.settings.packages,
        tree=lambda: tree.members(layout.members),
    )

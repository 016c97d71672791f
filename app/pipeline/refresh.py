"""The whole path of one extraction, stage by stage: from a commit to its lineage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import msgspec

from app.core.errors import BranchLeftOutError, ColumnsError, DbtError, JobError
from app.core.models.annotations import Annotation
from app.core.models.extractions import ContainerFacts, Stage
from app.core.models.github import Repository
from app.core.models.quality import USUAL, QualitySettings
from app.core.models.warehouse import UNKNOWN
from app.lineage.column_document import STORED
from app.lineage.nodes import VERSION, ChangeSummary, StorableLineage
from app.lineage.owners import CodeOwners
from app.pipeline.ports import (
    DbtJob,
    Decoders,
    Installer,
    PackageRequest,
    PackageTree,
    Parsed,
    ProjectFinder,
    Runner,
    Sources,
    SourceTree,
    StateScope,
)
from app.project import checkout, discovery, repository_settings, runner_images
from app.project import layout as project
from app.project.adapters import names_alike
from app.project.checkout import UNKNOWN_SIZE, Checkout, Entry
from app.project.layout import ProjectLayout
from app.project.runner_images import RunnerImage
from app.reports import redaction, results
from app.reports.locations import explain
from app.store.lineages import KnownInput

MAX_REASON = 2000
"""Characters of why there are no columns at all."""


@dataclass(frozen=True, slots=True)
class Commit:
    """The commit to extract."""

    extraction_id: str
    repository: Repository
    """With the rights that the commit has: see `Repository.as_public`."""
    sha: str
    branch: str | None = None
    """The branch, which `.github/freshet.yml` may exclude; None: extract in any case."""
    state: StateScope | None = None
    """See `DbtJob.state`."""
    since: float = field(default_factory=time.time)
    """See `PackageRequest.since`: when the commit was pushed or requested."""
    columns: bool = True
    """Whether the columns are wanted too. If the runner image cannot read them, the reason is that."""
    ref: str = ""
    """A git reference that led to the commit, if it is of no branch of the repository."""
    unhurried: bool = False
    """See `DbtJob.unhurried`."""

    @property
    def label(self) -> str:
        """For people: `octo/shop at 1a2b3c4`."""
        return f"{self.repository.full_name} at {self.sha[:7]}"


class Progress(Protocol):
    """Receives what a running extraction reports, and answers its questions. Every call may raise to stop it."""

    async def enter(self, stage: Stage) -> None:
        """Begin a stage."""

    async def choose_project_dir(self, projects: Sequence[str]) -> str | None:
        """The one of the commit's projects (directories, the nearest to the root first) to extract; None: any."""

    async def find_known_input(self, input_hash: bytes) -> KnownInput | None:
        """A commit of the same project with this input hash and a stored lineage."""

    def record(self, **facts: Any) -> None:
        """Record facts under the names of `Facts`; they are stored even if the extraction fails."""

    def record_log(self, log: str) -> None:
        """Record dbt's log, redacted."""

    async def show_log(self, log: str) -> None:
        """Show dbt's log so far, redacted, while dbt runs. Does not raise."""

    def annotate(self, annotations: Sequence[Annotation]) -> None:
        """Set the annotations to add if the extraction fails."""


@dataclass(frozen=True, slots=True)
class NewLineage:
    """The lineage from a run of dbt."""

    layout: ProjectLayout
    job: DbtJob
    remarks: tuple[Annotation, ...]
    """Where Freshet chose something else than the project requests."""
    input_hash: bytes
    parsed: Parsed
    lineage: StorableLineage
    quality: QualitySettings = USUAL

    def result(self, change: ChangeSummary | None) -> dict[str, Any]:
        """The result as it is stored and shown; `change` as in `results.success`."""
        parsed = self.parsed
        remarks = (*self.remarks, *results.ignored_checks(parsed.ignored, self.job.image.dbt_version))
        run = results.Run(self.layout, self.job.adapter_type, parsed.image, asdict(parsed.usage), parsed.placeholders, remarks)
        return results.success(run, self.lineage, change)

    def secrets(self) -> set[str]:
        """Values that the container had and that are not shown."""
        return _secrets(self.job)

    def redacted(self, error: ColumnsError) -> ColumnsError:
        """Why there are no columns, without what is not shown: a container may have written parts of it."""
        reason = redaction.redact_short(error.reason, self.secrets(), MAX_REASON, MAX_REASON)
        return ColumnsError(error.doing, reason, error.next_step, temporary=error.temporary)

    def close(self) -> None:
        """Free what the lineage uses besides memory, and stop the container if it still reads columns."""
        self.lineage.close()
        self.parsed.spool.close()
        if self.parsed.columns is not None:
            self.parsed.columns.close()


@dataclass(frozen=True, slots=True)
class CarriedLineage:
    """The lineage of an earlier commit with the same input hash, so dbt did not run."""

    layout: ProjectLayout
    earlier: KnownInput

    def close(self) -> None:
        """Nothing to free."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The parts outside the pipeline that an extraction uses."""

    sources: Sources
    installer: Installer
    runner: Runner
    decoders: Decoders
    fetcher: Installer | None = None
    """For what strangers wrote: it installs packages from public hosts alone, and runs nothing."""
    projects: ProjectFinder | None = None
    """None: there is no installation with other projects."""

    def for_strangers(self) -> Tools:
        """The tools for what strangers wrote."""
        return self if self.fetcher is None else replace(self, installer=self.fetcher)


async def refresh(commit: Commit, tools: Tools, progress: Progress) -> NewLineage | CarriedLineage:
    """Run all stages up to the decoded lineage; its columns may follow. Raises ProjectError, its subclasses and the errors of the ports."""
    await progress.enter("cloning")
    async with tools.sources.open(commit.repository, commit.sha, commit.ref) as tree:
        try:
            progress.record(commit=await tree.commit_facts())
            layout = await _lay_out(tree, commit, progress)
            progress.annotate([*results.settings_warnings(layout.settings), *results.unread_warnings(layout)])
            if layout.other_projects and tools.projects is not None:
                names = [one.name for one in layout.other_projects]
                found = await tools.projects.find(names, commit.repository, layout.project_dir)
                layout = replace(layout, other_projects=found)
            return await _refresh(tree, commit, layout, tools, progress)
        finally:
            # In big repositories, files are only fetched when they are read.
            progress.record(fetched_bytes=tree.fetched_bytes)


async def _refresh(
    tree: SourceTree, commit: Commit, layout: ProjectLayout, tools: Tools, progress: Progress
) -> NewLineage | CarriedLineage:
    job, remarks = _job(commit, layout, await tools.runner.images())
    job = replace(job, show_log=lambda log: _show_log(progress, job, log))
    progress.record(**results.run_facts(layout, job.adapter_type, job.image.name, job.image.dbt_version))
    packages = ""
    if layout.needs_packages:
        await progress.enter("installing_deps")
        packages = await tools.installer.identify(_packages(tree, commit, layout, job))
    quality = _quality(layout)
    version = f"{VERSION} {STORED}" if job.columns else VERSION
    if quality != USUAL:  # what is counted is stored with the lineage
        version += f" {msgspec.json.encode(quality, order='sorted').decode()}"
    input_hash = await asyncio.to_thread(project.input_hash, layout, job.adapter_type, job.image.id, version, packages)
    if earlier := await progress.find_known_input(input_hash):
        await progress.enter("storing")
        return CarriedLineage(layout, earlier)
    parsed = await _run_dbt(tree, commit, layout, job, tools, progress)
    try:
        progress.record(manifest_bytes=parsed.spool.size_bytes)
        await _record(progress, job, ContainerFacts(parsed.usage, parsed.log, parsed.placeholders))
        if parsed.columns is None:
            await progress.enter("storing")
        owners = None if layout.code_owners is None else CodeOwners(layout.code_owners, layout.project_dir)
        lineage = await tools.decoders.lineage(parsed.spool, job.names, commit.label, parsed.image, owners, quality)
    except BaseException:
        if parsed.columns is not None:
            parsed.columns.close()
        parsed.spool.close()
        raise
    return NewLineage(layout, job, remarks, input_hash, parsed, lineage, quality)


async def _lay_out(tree: SourceTree, commit: Commit, progress: Progress) -> ProjectLayout:
    files, texts = await _look_at(tree)
    settings = await asyncio.to_thread(repository_settings.read, texts.get(repository_settings.PATH))
    if commit.branch is not None and not await asyncio.to_thread(settings.includes_branch, commit.branch):
        raise BranchLeftOutError(f"extracting {commit.label}", f"`{repository_settings.PATH}` does not list the branch `{commit.branch}`")
    paths = [entry.path for entry in files.files]
    found = await asyncio.to_thread(discovery.find_projects, paths, texts, settings, [*files.submodules])
    project_dir = discovery.choose_project(found, await progress.choose_project_dir(found.projects), commit.label)
    submodules: dict[str, str] = {}
    while True:
        code = await asyncio.to_thread(project.code_entries, files, texts, project_dir, settings)
        more = await _read(tree, code, project.bounded_code)
        layout = await asyncio.to_thread(project.lay_out, files, {**texts, **more}, project_dir, commit.label, settings, found)
        # What is in one submodule may lead to another.
        wanted = [path for path in layout.omitted if path in files.submodules and path not in submodules]
        if not wanted:
            return replace(layout, omitted={path: submodules.get(path) or reason for path, reason in layout.omitted.items()})
        submodules |= await tree.fetch_submodules(wanted)
        files, texts = await _look_at(tree)


async def _look_at(tree: SourceTree) -> tuple[Checkout, dict[str, bytes]]:
    """The commit as a checkout shows it, and the contents of the files that configure dbt."""
    links = await _read(tree, await asyncio.to_thread(checkout.links_of, tree.entries), checkout.links_of)
    files = await asyncio.to_thread(checkout.check_out, tree.entries, links)
    return files, await _read(tree, await asyncio.to_thread(project.config_entries, files.files), project.config_entries)


async def _read(tree: SourceTree, entries: Sequence[Entry], choose: Callable[[Sequence[Entry]], list[Entry]]) -> dict[str, bytes]:
    """Read the chosen entries. If sizes are unknown, fetch them and choose again."""
    if any(entry.size == UNKNOWN_SIZE for entry in entries):
        sizes = await tree.sizes([entry.oid for entry in entries])
        entries = await asyncio.to_thread(choose, [replace(entry, size=sizes[entry.oid]) for entry in entries])
    contents = await tree.read([entry.oid for entry in entries]) if entries else {}
    return {entry.path: contents[entry.oid] for entry in entries}


def _job(commit: Commit, layout: ProjectLayout, available: Sequence[RunnerImage]) -> tuple[DbtJob, tuple[Annotation, ...]]:
    """The job, with the runner image that fits the project's dbt version and adapter, or a stand-in adapter."""
    choice = runner_images.choose_image(available, layout.dbt, layout.adapter.adapter_type, commit.label)
    settings = layout.settings.for_project(layout.project_dir)
    job = DbtJob(
        extraction_id=commit.extraction_id,
        label=commit.label,
        project_dir=layout.project_dir,
        profile=layout.profile,
        target=layout.adapter.target,
        adapter_type=choice.adapter_type,
        image=choice.image,
        names=layout.adapter.names if names_alike(layout.adapter.adapter_type, choice.adapter_type) else UNKNOWN,
        install_dir=layout.install_dir,
        variables=settings.variables,
        environment=settings.environment,
        state=commit.state,
        columns=commit.columns,
        external_nodes=tuple(model for one in layout.other_projects for model in one.models),
        unhurried=commit.unhurried,
    )
    return job, choice.remarks


def _quality(layout: ProjectLayout) -> QualitySettings:
    policy = layout.settings.for_project(layout.project_dir).quality
    return USUAL if policy is None else policy.within(layout.project_dir)


async def _run_dbt(tree: SourceTree, commit: Commit, layout: ProjectLayout, job: DbtJob, tools: Tools, progress: Progress) -> Parsed:
    packages: PackageTree | None = None
    try:
        if layout.needs_packages:
            packages = await tools.installer.install(_packages(tree, commit, layout, job))
            progress.record(packages_bytes=packages.size_bytes)
        await progress.enter("parsing")
        return await tools.runner.parse(job, tree.members(layout.members), packages)
    except JobError as error:
        if error.facts is not None:
            error.carry(await _record(progress, job, error.facts))
        if isinstance(error, DbtError):
            raise await _located(error, layout, job) from error
        raise
    finally:
        if packages is not None:
            packages.close()


async def _record(progress: Progress, job: DbtJob, facts: ContainerFacts) -> ContainerFacts:
    """Record what a container left. Returns it with its log redacted."""
    redacted = await asyncio.to_thread(redaction.redact_log, facts.log, _secrets(job))
    progress.record(usage=facts.usage, placeholders=results.storable_placeholders(facts.placeholders))
    progress.record_log(redacted)
    return replace(facts, log=redacted)


async def _show_log(progress: Progress, job: DbtJob, log: str) -> None:
    """Show the complete lines of a log that still grows: the last one may be a part of a secret."""
    lines = log[: log.rfind("\n") + 1]
    await progress.show_log(await asyncio.to_thread(redaction.redact_log, lines, _secrets(job)))


async def _located(error: DbtError, layout: ProjectLayout, job: DbtJob) -> DbtError:
    """The error with its output redacted and the files and lines that it names."""
    output = await asyncio.to_thread(redaction.redact, error.output, _secrets(job))
    found = await asyncio.to_thread(explain, output, layout)
    explained = (found.title, found.next_step)
    return DbtError(error.doing, found.output, facts=error.facts, place=found.place, annotations=found.annotations, explained=explained)


def _secrets(job: DbtJob) -> set[str]:
    return redaction.secret_values(job.environment) | redaction.secret_values(job.variables)


def _packages(tree: SourceTree, commit: Commit, layout: ProjectLayout, job: DbtJob) -> PackageRequest:
    return PackageRequest(
        repository=commit.repository,
        job=job,
        install_dir=layout.install_dir,
        texts=layout.package_texts,
        committed=layout.committed,
        unfetched=layout.omitted,
        rules=layout.settings.packages,
        tree=lambda: tree.members(layout.members),
        since=commit.since,
    )

"""The whole path of one extraction, stage by stage: from a commit to its lineage."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from app import lineage, manifest, project
from app.errors import DbtError
from app.jobs import Repository, Stage
from app.lineage import Lineage
from app.place import place
from app.ports import DbtJob, PackageTree, Parsed, Runner, Sources, SourceTree
from app.project import Layout
from app.storage import KnownInput
from app.warehouse import DEFAULT_ADAPTER


@dataclass(frozen=True, slots=True)
class Commit:
    """What is to be extracted."""

    extraction_id: str
    repository: Repository
    sha: str

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


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What came out of dbt."""

    layout: Layout
    adapter_type: str
    input_hash: bytes
    parsed: Parsed
    lineage: Lineage


@dataclass(frozen=True, slots=True)
class Carried:
    """Nothing that dbt reads is other than in a commit that is known."""

    layout: Layout
    known: KnownInput


async def refresh(commit: Commit, sources: Sources, runner: Runner, ledger: Ledger) -> Refreshed | Carried:
    """Run all stages but the storing. Raises the errors of the ports, ProjectError and its kinds."""
    await ledger.enter("cloning")
    async with sources.open(commit.repository, commit.sha) as tree:
        layout = await _lay_out(tree, commit, ledger)
        job = await _job(commit, layout, runner)
        input_hash = project.input_hash(layout, job.adapter_type, await runner.image_id())
        if known := await ledger.known(input_hash):
            await ledger.enter("storing")
            return Carried(layout, known)
        parsed = await _run_dbt(tree, layout, job, runner, ledger)
    await ledger.enter("storing")
    graph = await asyncio.to_thread(_graph, parsed, commit.label)
    return Refreshed(layout, job.adapter_type, input_hash, parsed, graph)


async def _lay_out(tree: SourceTree, commit: Commit, ledger: Ledger) -> Layout:
    small = project.config_entries(tree.entries)
    contents = await tree.read([entry.oid for entry in small])
    texts = {entry.path: contents[entry.oid] for entry in small}
    paths = [entry.path for entry in tree.entries]
    wanted = await ledger.locate(await asyncio.to_thread(project.projects, paths, texts))
    project_dir = project.choose(paths, texts, wanted, commit.label)
    return await asyncio.to_thread(project.lay_out, tree.entries, texts, project_dir, commit.label)


async def _job(commit: Commit, layout: Layout, runner: Runner) -> DbtJob:
    """Parse for the warehouse that the project names, or for one that the runner image has in its place."""
    adapters = await runner.adapters()
    wanted = layout.warehouse.adapter_type
    return DbtJob(
        extraction_id=commit.extraction_id,
        label=commit.label,
        project_dir=layout.project_dir,
        profile=layout.profile,
        target=layout.warehouse.target,
        adapter_type=wanted if wanted in adapters else DEFAULT_ADAPTER,
        install_locally=layout.packages == "local",
    )


async def _run_dbt(tree: SourceTree, layout: Layout, job: DbtJob, runner: Runner, ledger: Ledger) -> Parsed:
    packages: PackageTree | None = None
    try:
        if layout.packages == "network":
            await ledger.enter("installing_deps")
            packages = await runner.install_packages(job, tree.members(layout.members))
        await ledger.enter("parsing")
        return await runner.parse(job, tree.members(layout.members), packages)
    except DbtError as error:
        error.place = place(error.output, layout)
        raise
    finally:
        if packages is not None:
            packages.close()


def _graph(parsed: Parsed, label: str) -> Lineage:
    return lineage.build(manifest.decode(parsed.manifest, label, parsed.image))

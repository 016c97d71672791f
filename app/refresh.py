"""The whole path of one extraction, stage by stage: from a commit to its lineage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app import lineage, manifest, project, report
from app.errors import DbtError
from app.jobs import Repository, Stage
from app.lineage import Lineage
from app.ports import DbtJob, PackageTree, Parsed, Runner, Sources, SourceTree
from app.project import Layout

Enter = Callable[[Stage], Awaitable[None]]
"""Called at the beginning of each stage; it may raise to stop the extraction."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What is to be extracted. `project_dir` None: find it."""

    extraction_id: str
    repository: Repository
    sha: str
    project_dir: str | None

    @property
    def label(self) -> str:
        """For people: `octo/shop at 1a2b3c4`."""
        return f"{self.repository.full_name} at {self.sha[:7]}"


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What came out."""

    layout: Layout
    adapter_type: str
    parsed: Parsed
    lineage: Lineage


async def refresh(commit: Commit, sources: Sources, runner: Runner, enter: Enter) -> Refreshed:
    """Run all stages but the storing. Raises the errors of the ports, ProjectError and its kinds."""
    await enter("cloning")
    async with sources.open(commit.repository, commit.sha) as tree:
        layout = await _lay_out(tree, commit)
        job = await _job(commit, layout, runner)
        packages: PackageTree | None = None
        try:
            if layout.packages == "network":
                await enter("installing_deps")
                packages = await runner.install_packages(job, tree.members(layout.members))
            await enter("parsing")
            parsed = await runner.parse(job, tree.members(layout.members), packages)
        except DbtError as error:
            error.place = report.place(error.output, layout)
            raise
        finally:
            if packages is not None:
                packages.close()
    await enter("storing")
    graph = await asyncio.to_thread(_graph, parsed, commit.label)
    return Refreshed(layout, job.adapter_type, parsed, graph)


async def _lay_out(tree: SourceTree, commit: Commit) -> Layout:
    small = project.config_entries(tree.entries)
    contents = await tree.read([entry.oid for entry in small])
    texts = {entry.path: contents[entry.oid] for entry in small}
    project_dir = project.choose([entry.path for entry in tree.entries], texts, commit.project_dir, commit.label)
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
        adapter_type=wanted if wanted in adapters else project.DEFAULT_ADAPTER,
        install_locally=layout.packages == "local",
    )


def _graph(parsed: Parsed, label: str) -> Lineage:
    return lineage.build(manifest.decode(parsed.manifest, label, parsed.image))

"""The dbt in miniature as a runner of the pipeline."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from app.core.errors import DbtError
from app.core.models.extractions import ContainerFacts, Usage
from app.core.spool import Spool
from app.pipeline.ports import ColumnsDocument, DbtJob, PackageRequest, PackageTree, Parsed, TarStream
from app.project.runner_images import RunnerImage
from tests.dbt_double import columns
from tests.dbt_double.manifest import manifest
from tests.dbt_double.project import MissingNodeError, Project

IMAGE = RunnerImage("dbt-runner:latest", "sha256:0", "1.11.16", frozenset({"duckdb"}), gives_columns=True)
USAGE = Usage(2.4, 2.1, 180 << 20)
BEGIN = "09:00:00  Running with dbt=1.11.16\n09:00:01  Registered adapter: duckdb=1.11.1\n"


class DoubleRunner:
    """A `ports.Runner` without containers."""

    def __init__(self, work_dir: Path) -> None:
        self._work_dir = work_dir

    async def images(self) -> Sequence[RunnerImage]:
        return [IMAGE]

    async def parse(self, job: DbtJob, tree: TarStream, packages: PackageTree | None) -> Parsed:
        del packages
        root = f"{job.project_dir}/" if job.project_dir else ""
        files = _unpacked(b"".join([chunk async for chunk in tree]))
        try:
            project = Project({path.removeprefix(root): text for path, text in files.items() if path.startswith(root)})
        except MissingNodeError as error:
            raise DbtError(f"parsing {job.label}", str(error), facts=ContainerFacts(USAGE, f"{BEGIN}09:00:02  {error}\n")) from error
        log = f"{BEGIN}09:00:02  Performance info: target/perf_info.json\n"
        delivery = _Delivery(await self._spooled(columns.document(project)))
        return Parsed(await self._spooled(manifest(project)), log, USAGE, IMAGE.name, columns=delivery)

    async def _spooled(self, content: bytes) -> Spool:
        spool = Spool(self._work_dir)
        await spool.write(content)
        await spool.flush()
        return spool

    async def identify(self, request: PackageRequest) -> str:
        raise NotImplementedError

    async def install(self, request: PackageRequest) -> PackageTree:
        raise NotImplementedError

    async def sweep(self) -> int:
        return 0

    async def keep_warm(self, used: Sequence[tuple[str, str, float]]) -> None:
        """Keep none."""

    async def check(self) -> str:
        return "a dbt in miniature"

    async def close(self) -> None:
        """Nothing is left."""


class _Delivery:
    """A `ports.ColumnsDelivery` that is complete."""

    def __init__(self, document: Spool) -> None:
        self._document = document
        self._given = False

    async def wait(self) -> ColumnsDocument:
        self._given = True
        return ColumnsDocument(self._document, USAGE)

    async def refuse(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        if not self._given:
            self._document.close()


def _unpacked(archive: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(archive + bytes(1024))) as members:
        files = {one.name.removeprefix("src/"): members.extractfile(one) for one in members.getmembers()}
        return {name: member.read().decode() for name, member in files.items() if member}

"""The lineage and the columns of a directory, by the stages that `python -m app extract` runs; a program, for its own environment.

    python -m tests.accuracy.impact.extracted DIRECTORY PROJECT_DIR FILE

FILE gets a `Side`, pickled. PROJECT_DIR is relative to DIRECTORY, empty: Freshet chooses.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.core.errors import FreshetError
from app.core.models.annotations import Annotation
from app.core.models.extractions import Stage
from app.github.git.local import local_packages, local_source, parse_place
from app.lineage.nodes import Lineage
from app.pipeline.decoding.inline import Inline
from app.pipeline.refresh import Commit, NewLineage, Tools, refresh
from app.runner.parse_state import ParseStates
from app.service import components, config
from app.store.lineages import KnownInput
from tests.accuracy.impact.sides import Side


class Quiet:
    """Implements `refresh.Progress`."""

    def __init__(self, project_dir: str | None) -> None:
        self._project_dir = project_dir

    async def enter(self, stage: Stage) -> None:
        """Nothing to show."""

    async def choose_project_dir(self, projects: Sequence[str]) -> str | None:
        """The given directory."""
        return self._project_dir

    async def find_known_input(self, input_hash: bytes) -> KnownInput | None:
        """There are no earlier extractions."""

    def record(self, **facts: Any) -> None:
        """Nothing to keep."""

    def record_log(self, log: str) -> None:
        """Nothing to keep."""

    async def show_log(self, log: str) -> None:
        """Nothing to show."""

    def annotate(self, annotations: Sequence[Annotation]) -> None:
        """Nothing to keep."""


async def side(directory: str, project_dir: str | None) -> Side:
    """Extract the files of a directory as they are. Raises FreshetError."""
    settings, environment = config.read(), config.environment()
    components.make_directories(settings)
    async with (
        components.runner(settings, ParseStates(settings.work_dir), "cli") as runner,
        local_source(parse_place(directory), environment, settings.work_dir) as source,
    ):
        packages = local_packages(environment, settings.work_dir, settings.github_server_url, settings.package_hosts)
        async with components.installer(settings, packages, settings.github_server_url) as installer:
            tools = Tools(source, installer, runner, Inline())
            made = await refresh(Commit("cli", source.repository, source.sha), tools, Quiet(project_dir))
        assert isinstance(made, NewLineage)
        assert isinstance(made.lineage, Lineage)
        assert made.parsed.columns is not None
        document = await made.parsed.columns.wait()
        found = await tools.decoders.columns(document.spool, made.lineage, made.job.label, made.parsed.image, made.secrets())
        result = Side(made.lineage, tuple(found.nodes()), made.layout.project_dir)
        found.close()
        made.close()
        return result


def main(directory: str, project_dir: str, file: str) -> int:
    """Write the file; 1 with the reason on standard error if there is no lineage."""
    try:
        found = asyncio.run(side(directory, project_dir or None))
    except FreshetError as error:
        print(error, file=sys.stderr)
        return 1
    Path(file).write_bytes(pickle.dumps(found))
    return 0


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(*sys.argv[1:]))

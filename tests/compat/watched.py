"""`python -m app`, but each parse also asks for the columns, and keeps what the container answers in the directory COMPAT_COLUMNS."""

from __future__ import annotations

import json
import os
import runpy
import sys
from dataclasses import replace
from pathlib import Path

from app.core.errors import ColumnsError
from app.pipeline.ports import ColumnsDelivery, DbtJob, PackageTree, Parsed, TarStream
from app.runner.backend import ContainerRunner

DOCUMENT, USAGE = "columns.jsonl", "columns.json"


async def keep(delivery: ColumnsDelivery, directory: Path) -> None:
    """Write the document, and `seconds`, `cpu_seconds` and `peak_memory_bytes` of the stage or the `error` that left none."""
    try:
        document = await delivery.wait()
    except ColumnsError as error:
        (directory / USAGE).write_text(json.dumps({"error": str(error)}))
        return
    (directory / DOCUMENT).write_bytes(document.spool.content())
    document.spool.close()
    usage = document.usage
    facts = {"seconds": usage.seconds, "cpu_seconds": usage.cpu_seconds, "peak_memory_bytes": usage.peak_memory_bytes}
    (directory / USAGE).write_text(json.dumps(facts))


def watch(directory: Path) -> None:
    """Make every runner of this process keep the columns of what it parses."""
    parse = ContainerRunner.parse

    async def watched(self: ContainerRunner, job: DbtJob, tree: TarStream, packages: PackageTree | None) -> Parsed:
        parsed = await parse(self, replace(job, columns=True), tree, packages)
        if parsed.columns is not None:
            await keep(parsed.columns, directory)
            parsed.columns.close()
        return replace(parsed, columns=None)

    ContainerRunner.parse = watched  # type: ignore[method-assign]


if __name__ == "__main__":
    watch(Path(os.environ["COMPAT_COLUMNS"]))
    sys.argv[0] = "app"
    runpy.run_module("app", run_name="__main__", alter_sys=True)

"""One job: unpack the files, run dbt, write the manifest or the packages, then the state for the next job, and the columns."""

from __future__ import annotations

import gc
import os
import sys
import time
import traceback
from typing import BinaryIO

import freshet_column_stage
import freshet_dbt
import freshet_flags
import freshet_node_parsing
import freshet_placeholders
import freshet_result
import freshet_tree


def run(job: dict, results: BinaryIO, stages: dict) -> None:
    """Do the job and write its result; `stages` are seconds by name."""
    # Most of dbt's objects live to the end: collecting garbage less often saves a tenth of the time, without more memory.
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)
    tree = freshet_tree.Tree()
    placeholders = freshet_placeholders.Placeholders(job["project_dir"])
    placeholders.install()
    if job.get("columns") and job["command"] == "parse":
        freshet_column_stage.expect(placeholders)
    try:
        since = time.monotonic()
        tree.unpack(sys.stdin.buffer)
        stages["unpack"] = time.monotonic() - since
        path, warnings = COMMANDS[job["command"]](job, tree, stages, placeholders)
    except freshet_dbt.DbtFailedError as failure:
        freshet_column_stage.stop()
        invented = placeholders.records(failed=failure.kind == "dbt")
        freshet_result.write_failure(results, failure.kind, str(failure), stages, invented, freshet_flags.IGNORED)
    except freshet_tree.UnusableError as error:
        freshet_result.write_failure(results, "dbt", str(error), stages, [])
    except OSError as error:
        if not freshet_tree.is_full(error):
            raise
        freshet_column_stage.stop()
        freshet_result.write_failure(results, "space", str(error), stages, [])
    else:
        facts = {
            "dbt_version": freshet_dbt.version(),
            "warnings": warnings,
            "partial": freshet_dbt.PARTIAL,
            "ignored": freshet_flags.IGNORED,
        }
        freshet_result.write_file(results, path, stages, facts, placeholders.records(failed=False))
        if job.get("keep_state"):
            freshet_result.write_state(results, _state())
        if job.get("columns") and job["command"] == "parse":
            freshet_column_stage.run(results, placeholders)


def _state() -> str | None:
    # The manifest is delivered: a failure now only makes the next job slower.
    try:
        return freshet_node_parsing.PARSE.memory.write()
    except Exception:  # noqa: BLE001
        traceback.print_exc()
        return None


def deps(job: dict, tree: freshet_tree.Tree, stages: dict, placeholders: freshet_placeholders.Placeholders) -> tuple:
    """Install the packages; return the path of an archive of them, and the number of dbt's warnings."""
    warnings = freshet_dbt.invoke("deps", job, stages, placeholders, network=True)
    return tree.pack_new_files(), warnings


def parse(job: dict, _tree: freshet_tree.Tree, stages: dict, placeholders: freshet_placeholders.Placeholders) -> tuple:
    """Parse the project; return the path of its manifest, and the number of dbt's warnings."""
    warnings = freshet_dbt.invoke("parse", job, stages, placeholders)
    path = os.path.join(freshet_dbt.TARGET, "manifest.json")
    if not os.path.isfile(path):
        raise freshet_dbt.DbtFailedError("dbt ended without an error, but did not write its manifest.", "dbt")
    return path, warnings


COMMANDS = {"deps": deps, "parse": parse}

"""One job: files laid out, dbt run, its manifest or packages written out, and then what the connection's next job can begin with."""

from __future__ import annotations

import gc
import os
import sys
import time
import traceback
from typing import BinaryIO

import freshet_dbt
import freshet_placeholders
import freshet_result
import freshet_state
import freshet_tree


def run(job: dict, results: BinaryIO, stages: dict) -> None:
    """Do the job and write its result; `stages` are seconds, by name."""
    # Most of what dbt makes lives to the end: fewer collections are a tenth of the time, and no more memory (p1000 of runner.md).
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)
    tree = freshet_tree.Tree()
    placeholders = freshet_placeholders.Placeholders(job["project_dir"])
    placeholders.install()
    try:
        since = time.monotonic()
        tree.unpack(sys.stdin.buffer)
        stages["unpack"] = time.monotonic() - since
        path, warnings = COMMANDS[job["command"]](job, tree, stages, placeholders)
    except freshet_dbt.RefusedError as refusal:
        invented = placeholders.records(refused=refusal.kind == "dbt")
        freshet_result.write_refusal(results, refusal.kind, str(refusal), stages, invented)
    except freshet_tree.UnusableError as error:
        freshet_result.write_refusal(results, "dbt", str(error), stages, [])
    except OSError as error:
        if not freshet_tree.is_full(error):
            raise
        freshet_result.write_refusal(results, "space", str(error), stages, [])
    else:
        told = {"dbt_version": freshet_dbt.version(), "warnings": warnings, "partial": freshet_dbt.PARTIAL}
        freshet_result.write_file(results, path, stages, told, placeholders.records(refused=False))
        if job.get("keep_state"):
            freshet_result.write_state(results, _state())


def _state() -> str | None:
    # The manifest is delivered: whatever happens now costs the next job time, and this one nothing.
    try:
        return freshet_state.write()
    except Exception:  # noqa: BLE001
        traceback.print_exc()
        return None


def deps(job: dict, tree: freshet_tree.Tree, stages: dict, placeholders: freshet_placeholders.Placeholders) -> tuple:
    """Install the packages; return the path of an archive of what was installed, and how often dbt warned."""
    warnings = freshet_dbt.invoke("deps", job, stages, placeholders, network=True)
    return tree.pack_new_files(), warnings


def parse(job: dict, _tree: freshet_tree.Tree, stages: dict, placeholders: freshet_placeholders.Placeholders) -> tuple:
    """Parse the project; return the path of its manifest, and how often dbt warned."""
    warnings = freshet_dbt.invoke("parse", job, stages, placeholders)
    return os.path.join(freshet_dbt.TARGET, "manifest.json"), warnings


COMMANDS = {"deps": deps, "parse": parse}

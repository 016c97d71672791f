"""The program inside a runner image: one job in on standard input, one result out on standard output, nothing kept.

Standard input is one tar archive: `job.json` first, then the repository's files below `src/`, perhaps `packages.tar`. Standard output
is one line of JSON (see `freshet_result`) and after it the bytes that it announces. What dbt has to say goes to standard error.
`app/dbt/command.py` is the other end. Runs on the Python of any supported dbt (3.8 and later), with the standard library and dbt only.
"""

from __future__ import annotations

import gc
import os
import sys
import time

import freshet_result

STARTED = time.monotonic()
# Before dbt is imported: from here on nothing but `RESULTS` reaches the result, whatever dbt, git or a library prints.
RESULTS = freshet_result.claim_stdout()

import freshet_dbt  # noqa: E402 - imports dbt, before the job is read: a container can be started ahead of its job
import freshet_placeholders  # noqa: E402
import freshet_tree  # noqa: E402


def main() -> None:
    """Read the job, do it, write the result. Ends with status 0 whenever a result was written, also when dbt said no."""
    # Most of what dbt makes lives to the end: fewer collections are a tenth of the time, and no more memory (p1000 of runner.md).
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)
    stages = {"start": time.monotonic() - STARTED}
    tree = freshet_tree.Tree()
    # The wait for a job is not part of any stage.
    job = tree.read_job(sys.stdin.buffer)
    placeholders = freshet_placeholders.Placeholders(job["project_dir"])
    placeholders.install()
    try:
        since = time.monotonic()
        tree.unpack()
        stages["unpack"] = time.monotonic() - since
        path, warnings = COMMANDS[job["command"]](job, tree, stages, placeholders)
    except freshet_dbt.RefusedError as refusal:
        invented = placeholders.records(refused=refusal.kind == "dbt")
        freshet_result.write_refusal(RESULTS, refusal.kind, str(refusal), stages, invented)
    except freshet_tree.UnusableError as error:
        freshet_result.write_refusal(RESULTS, "dbt", str(error), stages, [])
    except OSError as error:
        if not freshet_tree.is_full(error):
            raise
        freshet_result.write_refusal(RESULTS, "space", str(error), stages, [])
    else:
        told = {"dbt_version": freshet_dbt.version(), "warnings": warnings}
        freshet_result.write_file(RESULTS, path, stages, told, placeholders.records(refused=False))


def deps(job: dict, tree: freshet_tree.Tree, stages: dict, placeholders: freshet_placeholders.Placeholders) -> tuple:
    """Install the packages; return the path of an archive of what was installed, and how often dbt warned."""
    warnings = freshet_dbt.invoke("deps", job, stages, placeholders, network=True)
    return tree.pack_new_files(), warnings


def parse(job: dict, _tree: freshet_tree.Tree, stages: dict, placeholders: freshet_placeholders.Placeholders) -> tuple:
    """Parse the project; return the path of its manifest, and how often dbt warned."""
    warnings = freshet_dbt.invoke("parse", job, stages, placeholders)
    return os.path.join(freshet_dbt.TARGET, "manifest.json"), warnings


COMMANDS = {"deps": deps, "parse": parse}

if __name__ == "__main__":
    main()
    RESULTS.flush()
    # dbt's threads and a manifest of a million objects take seconds to take down; the container is thrown away.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)

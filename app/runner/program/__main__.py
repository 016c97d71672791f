"""The program inside a runner image: reads one job from standard input, writes one result to standard output, and keeps nothing.

Input: optionally a line `{"warm": {...}}`, answered by `{"ready": true}` once dbt is imported and warm. Then the job, a line of JSON,
answered by `{"taken": true}` at once. Then a tar archive: optionally `state` and `columns` (from an earlier container of the same
connection), the repository's files below `src/`, optionally `packages.tar`. Output: one line of JSON (see `freshet_result`) with the bytes
that it announces, then, if the job says `keep_state`, `{"state_bytes": N}` and the state, then, if it says `columns`,
`{"columns_bytes": N, ...}` and the columns document. dbt's log goes to standard error. `app/runner/job_protocol.py` is the other side.
Runs on the Python of any supported dbt (3.8 and later), with the standard library, dbt, and for columns sqlglot.
"""

from __future__ import annotations

import json
import os
import sys
import time

import freshet_imports
import freshet_result

# Before dbt is imported: from here on, nothing that dbt, git or a library prints can get into the result.
RESULTS = freshet_result.claim_stdout()


def main() -> None:
    """Wait for the job and do it. The exit status is 0 if a result was written, even if dbt failed."""
    line = _next_line()
    if "warm" in line:
        _warm(line["warm"])
        line = _next_line()
    freshet_result.begin_counting()
    freshet_result.write_line(RESULTS, {"taken": True})
    since = time.monotonic()
    with freshet_imports.quickly():
        import freshet_job  # noqa: PLC0415 - imports dbt, unless warming has done so
    freshet_job.run(line, RESULTS, {"start": time.monotonic() - since})


def _warm(request: dict) -> None:
    since = time.monotonic()
    facts = {}  # type: dict[str, object]
    try:
        with freshet_imports.quickly():
            import freshet_warm  # noqa: PLC0415 - imports dbt
        freshet_warm.warm(request)
    except Exception as error:  # noqa: BLE001 - the job works without, just slower
        facts["error"] = (type(error).__name__ + ": " + str(error))[: freshet_result.MAX_TEXT]
    facts.update(ready=True, seconds=round(time.monotonic() - since, 3), memory_bytes=freshet_result.peak_memory())
    freshet_result.write_line(RESULTS, facts)


def _next_line() -> dict:
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        # The service has disconnected.
        os._exit(0)
    return json.loads(line)


if __name__ == "__main__":
    main()
    RESULTS.flush()
    # Ending dbt's threads and freeing a million objects takes seconds, and the container is deleted anyway.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)

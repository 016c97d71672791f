"""The program inside a runner image: one job in on standard input, one result out on standard output, nothing kept.

In: perhaps a line `{"warm": {...}}`, which is answered by `{"ready": true}` once dbt is imported and warmed; then the job, a line of JSON,
answered by `{"taken": true}` at once; then a tar archive: perhaps `state` (what an earlier container of the same connection left),
the repository's files below `src/`, perhaps `packages.tar`. Out: one line of JSON (see `freshet_result`) and the bytes that it announces,
then, where the job says `keep_state`, `{"state_bytes": N}` and the state. What dbt has to say goes to standard error.
`app/dbt/command.py` is the other end. Runs on the Python of any supported dbt (3.8 and later), with the standard library and dbt only.
"""

from __future__ import annotations

import json
import os
import sys
import time

import freshet_result

# Before dbt is imported: from here on nothing but `RESULTS` reaches the result, whatever dbt, git or a library prints.
RESULTS = freshet_result.claim_stdout()


def main() -> None:
    """Wait for the job and do it. Ends with status 0 whenever a result was written, also when dbt said no."""
    line = _next_line()
    if "warm" in line:
        _warm(line["warm"])
        line = _next_line()
    freshet_result.begin_counting()
    freshet_result.write_line(RESULTS, {"taken": True})
    since = time.monotonic()
    import freshet_job  # noqa: PLC0415 - imports dbt: only now where nobody asked for it before

    freshet_job.run(line, RESULTS, {"start": time.monotonic() - since})


def _warm(request: dict) -> None:
    since = time.monotonic()
    told = {}  # type: dict[str, object]
    try:
        import freshet_warm  # noqa: PLC0415 - imports dbt

        freshet_warm.warm(request)
    except Exception as error:  # noqa: BLE001 - it costs time alone: the job works without
        told["error"] = (type(error).__name__ + ": " + str(error))[: freshet_result.MAX_TEXT]
    told.update(ready=True, seconds=round(time.monotonic() - since, 3), memory_bytes=freshet_result.peak_memory())
    freshet_result.write_line(RESULTS, told)


def _next_line() -> dict:
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        # Whoever started it has gone.
        os._exit(0)
    return json.loads(line)


if __name__ == "__main__":
    main()
    RESULTS.flush()
    # dbt's threads and a manifest of a million objects take seconds to take down; the container is thrown away.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)

"""Everything that `make test` checks, in the order in which a newcomer wants to hear of it; ends with one line that says how it went.

The end-to-end tests mostly wait for clocks and containers: they run beside the others, and are told of when those are through.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[1]
PYTHON = sys.executable
PYTEST = [PYTHON, "-m", "coverage", "run", "-m", "pytest", "-q", "--durations=10"]
BESIDE = "end to end"
STEPS = {
    "style": [PYTHON, "-m", "ruff", "check", "--quiet"],
    "format": [PYTHON, "-m", "ruff", "format", "--check", "--quiet"],
    BESIDE: [*PYTEST, "tests/e2e"],
    "types": [PYTHON, "-m", "mypy", "--no-error-summary"],
    "tests": [*PYTEST, "tests/unit", "tests/integration"],
    "coverage, combined": [PYTHON, "-m", "coverage", "combine", "--quiet"],
    "coverage": [PYTHON, "-m", "coverage", "report", "--skip-covered", "--skip-empty"],
}


def main() -> int:
    failed = []
    (ROOT / ".cache").mkdir(exist_ok=True)
    log = (ROOT / ".cache" / "end-to-end.log").open("w+")
    for name, command in STEPS.items():
        began = time.monotonic()
        print(f"== {name}{' (beside what follows)' if name == BESIDE else ''}", flush=True)
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONWARNINGS": ""}, **_output(name, log))
        if name == BESIDE:
            beside, since = process, began
            continue
        failed += _ended(name, process, began)
        if name == "tests":
            print(f"== {BESIDE}, from its beginning", flush=True)
            beside.wait()
            log.seek(0)
            print(log.read(), flush=True)
            failed += _ended(BESIDE, beside, since)
    print(f"checks: {len(STEPS) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def _output(name: str, log: IO[str]) -> dict[str, Any]:
    return {"stdout": log, "stderr": subprocess.STDOUT} if name == BESIDE else {}


def _ended(name: str, process: subprocess.Popen[bytes], began: float) -> list[str]:
    status = process.wait()
    print(f"== {name}: {'well' if status == 0 else 'FAILED'} after {time.monotonic() - began:.0f} s", flush=True)
    return [name] if status else []


if __name__ == "__main__":
    sys.exit(main())

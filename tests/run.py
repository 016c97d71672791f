"""Everything that `make test` checks, in the order in which a newcomer wants to hear of it; ends with one line that says how it went.

The end-to-end tests mostly wait for clocks and containers, so they and the types are looked at beside the other tests, and told of when
those are through.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PYTHON = sys.executable
PYTEST = [PYTHON, "-m", "coverage", "run", "-m", "pytest", "-q", "--durations=10"]
FIRST = {
    "style": [PYTHON, "-m", "ruff", "check", "--quiet"],
    "format": [PYTHON, "-m", "ruff", "format", "--check", "--quiet"],
}
BESIDE = {
    "end to end": [*PYTEST, "tests/e2e"],
    "types": [PYTHON, "-m", "mypy", "--no-error-summary"],
}
TESTS = {"tests": [*PYTEST, "tests/unit", "tests/integration"]}
LAST = {
    "coverage, combined": [PYTHON, "-m", "coverage", "combine", "--quiet"],
    "coverage": [PYTHON, "-m", "coverage", "report", "--skip-covered", "--skip-empty"],
}


class Step(NamedTuple):
    """A step that runs; `log` is where its words go until they are told, None when they are seen at once."""

    name: str
    process: subprocess.Popen[bytes]
    began: float
    log: Path | None


def main() -> int:
    (ROOT / ".cache").mkdir(exist_ok=True)
    failed = [_ended(_begin(name, command)) for name, command in FIRST.items()]
    beside = [_begin(name, command, beside=True) for name, command in BESIDE.items()]
    failed += [_ended(_begin(name, command)) for name, command in TESTS.items()]
    failed += map(_ended, beside)
    failed += [_ended(_begin(name, command)) for name, command in LAST.items()]
    print(f"checks: {failed.count(False)} passed, {failed.count(True)} failed")
    return 1 if any(failed) else 0


def _begin(name: str, command: list[str], *, beside: bool = False) -> Step:
    log = ROOT / ".cache" / f"{name.replace(' ', '-')}.log" if beside else None
    print(f"== {name}{' (beside what follows)' if beside else ''}", flush=True)
    began, environment = time.monotonic(), _environment()
    if log is None:
        return Step(name, subprocess.Popen(command, cwd=ROOT, env=environment), began, None)
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    return Step(name, process, began, log)


def _environment() -> dict[str, str]:
    """Return ours, with a place for what is compiled: the tests start the service some hundred times."""
    ours = {**os.environ, "PYTHONWARNINGS": "", "PYTHONPYCACHEPREFIX": str(ROOT / ".cache" / "pycache")}
    ours.pop("PYTHONDONTWRITEBYTECODE", None)
    return ours


def _ended(step: Step) -> bool:
    """Wait for a step, tell how it went, and return whether it failed."""
    if step.log is not None:
        print(f"== {step.name}, from its beginning", flush=True)
    status = step.process.wait()
    if step.log is not None:
        print(step.log.read_text(), flush=True)
    print(f"== {step.name}: {'well' if status == 0 else 'FAILED'} after {time.monotonic() - step.began:.0f} s", flush=True)
    return status != 0


if __name__ == "__main__":
    sys.exit(main())

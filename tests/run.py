"""Everything that `make test` checks, in the order in which a newcomer wants to hear of it; ends with one line that says how it went."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHON = sys.executable
STEPS = {
    "style": [PYTHON, "-m", "ruff", "check", "--quiet"],
    "format": [PYTHON, "-m", "ruff", "format", "--check", "--quiet"],
    "types": [PYTHON, "-m", "mypy", "--no-error-summary"],
    "tests": [PYTHON, "-m", "coverage", "run", "-m", "pytest", "-q", "--durations=10", "tests/unit", "tests/integration", "tests/e2e"],
    "coverage, combined": [PYTHON, "-m", "coverage", "combine", "--quiet"],
    "coverage": [PYTHON, "-m", "coverage", "report", "--skip-covered", "--skip-empty"],
}


def main() -> int:
    failed = []
    (ROOT / ".cache").mkdir(exist_ok=True)
    for name, command in STEPS.items():
        began = time.monotonic()
        print(f"== {name}", flush=True)
        status = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONWARNINGS": ""}, check=False).returncode
        print(f"== {name}: {'well' if status == 0 else 'FAILED'} after {time.monotonic() - began:.0f} s", flush=True)
        if status:
            failed.append(name)
    print(f"checks: {len(STEPS) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

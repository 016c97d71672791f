"""Prometheus' own checker. Without it, `make test` says which checks did not run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def promtool(*arguments: str, text: str | None = None) -> str:
    """Run promtool in `deploy/monitoring`, and return what it says. Its failure is a failure of the test."""
    program = shutil.which("promtool") or shutil.which("promtool", path=str(ROOT / ".cache" / "bin"))
    if program is None:
        pytest.skip("metrics, alert rules and the dashboard with promtool, which is missing: `deploy/setup.sh promtool` fetches it")
    ran = subprocess.run([program, *arguments], input=text, capture_output=True, text=True, cwd=ROOT / "deploy" / "monitoring", check=False)
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0, said
    return said

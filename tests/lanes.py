"""The lanes of the tests: processes of pytest that run side by side and share no state. Every test is in exactly one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHON = sys.executable
NO_ENGINE = {"DOCKER_HOST": "tcp://127.0.0.1:1"}
"""Shows that a lane needs no Docker: no engine answers there."""
PUSHES = ("test_any_project.py", "test_connections.py", "test_life.py", "test_push.py")
"""Half of the end-to-end tests, by time."""

STACK = ("test_compose.py", "test_docker_proxy.py")
"""Tests of the images that are deployed, which take minutes to build: `make test-deploy`."""
GIT = ("test_github_*.py", "test_hostile_repositories.py", "test_packages*.py")
"""Half of the tests without containers, by time."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A command; `tests` are arguments of pytest, none when it is another program."""

    name: str
    tests: Sequence[str] = ()
    command: Sequence[str] = ()
    variables: dict[str, str] = field(default_factory=dict)
    counted: bool = True
    """Whether it counts for coverage, which makes some lanes twice as slow."""

    def arguments(self, *, measured: bool) -> list[str]:
        """Return the whole command; `measured` with coverage."""
        if not self.tests:
            return [*self.command]
        coverage = ("-m", "coverage", "run") if measured and self.counted else ()
        return [PYTHON, *coverage, "-m", "pytest", "-q", "-rs", "--durations=10", *self.tests]


STYLE = Lane("style", command=(PYTHON, "-m", "ruff", "check", "--quiet"))
FORMAT = Lane("format", command=(PYTHON, "-m", "ruff", "format", "--check", "--quiet"))
WORKFLOWS = Lane("workflows", command=(str(Path(PYTHON).with_name("zizmor")), "--offline", "--quiet", ".github"))
TYPES = Lane("types", command=(PYTHON, "-m", "mypy", "--no-error-summary"))
COMBINE = Lane("coverage, combined", command=(PYTHON, "-m", "coverage", "combine", "--quiet"))
REPORT = Lane("coverage", command=(PYTHON, "-m", "coverage", "report", "--skip-covered", "--skip-empty"))


def without_containers() -> list[Lane]:
    """The longest first. They keep a processor busy."""
    doubles = _files("integration", "test_double*.py")
    git = [path for pattern in GIT for path in _files("integration", pattern)]
    others = [f"--ignore={path}" for path in (*doubles, *git)]
    return [
        Lane("database", ["tests/integration", *others, "-m", "not containers"], variables=NO_ENGINE),
        TYPES,
        Lane("pages", ["tests/browser"], variables=NO_ENGINE),
        Lane("git", [*git, "-m", "not containers"], variables=NO_ENGINE),
        Lane("growth", ["tests/unit", "-m", "growth"], variables=NO_ENGINE, counted=False),
        Lane("unit", ["tests/unit", "-m", "not growth"], variables=NO_ENGINE),
        Lane("load", ["tests/load"], variables=NO_ENGINE, counted=False),
        Lane("double", doubles, variables=NO_ENGINE),
        Lane("accuracy", ["tests/accuracy"], variables=NO_ENGINE, counted=False),
    ]


def with_containers() -> list[Lane]:
    """The longest first. They wait, for containers and for the service."""
    files = _files("e2e", "test_*.py")
    pushes = [path for path in files if Path(path).name in PUSHES]
    return [
        Lane("end to end: service", [path for path in files if path not in pushes]),
        Lane("containers", ["tests/integration", "-m", "containers"]),
        Lane("end to end: pushes", pushes),
        Lane("deployment", [path for path in _files("deploy", "test_*.py") if Path(path).name not in STACK], counted=False),
        Lane("series", ["tests/series"]),
        Lane("chaos", ["tests/chaos"], counted=False),
    ]


def deployed() -> list[Lane]:
    """Images, proxies and the stack of deploy/compose, with nothing left out."""
    return [Lane("deployed stack", _files("deploy", "test_*.py"), counted=False)]


def everything() -> list[Lane]:
    """In the order of their beginnings: two that wait beside one that does not, and the short ones at the end."""
    waiting, busy = with_containers(), without_containers()
    return [*waiting[:2], busy[0], *waiting[2:], *busy[1:]]


def _files(folder: str, pattern: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / folder).glob(pattern))

"""What is said of a place in a repository."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that is said of one place: an annotation of a check run. `path` is in the repository, None for the whole of it."""

    level: Literal["notice", "warning", "failure"]
    title: str
    message: str
    path: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A value that was invented because the project asks for one that nobody gave. `path` is in the repository."""

    kind: Literal["env_var", "var"]
    name: str
    value: str
    path: str | None = None
    line: int | None = None

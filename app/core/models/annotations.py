"""Remarks on places in a repository."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Annotation:
    """A remark, shown as an annotation of the check run. `path` is in the repository; None: about the whole repository."""

    level: Literal["notice", "warning", "failure"]
    title: str
    message: str
    path: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class IgnoredCheck:
    """A check that the project asks dbt for, and that was not made because it decides nothing about the lineage."""

    kind: Literal["version", "warn_error"]
    name: str
    """The project or package that requires another dbt, or the flag."""
    value: str = ""
    """The required dbt."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A placeholder for a variable without a value or default. `path` is in the repository."""

    kind: Literal["env_var", "var"]
    name: str
    value: str
    path: str | None = None
    line: int | None = None

"""Requests for packages as values: what `packages.yml` names, and where."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from app.packages.versions import Version

Kind = Literal["hub", "git", "local", "tarball"]
RULE_STEP = "Set another address or skip it under `packages:` in `.github/freshet.yml`, or commit the installed packages."

_FOLDER = re.compile(r"(?!\.)[\w.-]{1,200}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


class SpecError(ValueError):
    """An entry cannot be used; the text continues "Package `x` cannot be used:"."""


@dataclass(frozen=True, slots=True)
class SpecLocation:
    """Where a package is requested: a line of a file in the repository."""

    path: str
    line: int | None = None
    package: str | None = None
    """The package that requests it, for people; then path and line are those where that package is requested."""

    @property
    def requester(self) -> str:
        """For people: `packages.yml`, or "the package dbt-labs/dbt_utils 1.0.0"."""
        return f"the package {self.package}" if self.package else f"`{self.path}`"

    def __str__(self) -> str:
        """For people: "requested in `packages.yml`, line 2"."""
        if self.package:
            return f"requested by {self.requester}"
        return f"requested in `{self.path}`" + (f", line {self.line}" if self.line else "")


@dataclass(frozen=True, slots=True)
class PackageSpec:
    """One request for a package."""

    kind: Kind
    address: str
    """A name on the hub, a git address, a path as it was written, or the URL of a tarball."""
    location: SpecLocation
    versions: tuple[Version, ...] = ()
    prereleases: bool = False
    revision: str | None = None
    subdirectory: str | None = None
    name: str | None = None
    """Of a tarball: the name of its directory."""
    base: str = ""
    """Of a local package: the directory of the file that requests it."""

    @property
    def pinned(self) -> bool:
        """True for a git commit: it never changes."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None


def package_name(name: object) -> str:
    """Check that a package's name can be that of a directory. Raises SpecError."""
    if not isinstance(name, str) or not _FOLDER.fullmatch(name):
        raise SpecError(f"its `name` {name!r} is not a valid package name")
    return name

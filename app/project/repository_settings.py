"""`.github/freshet.yml`: settings that the owners of a repository can make. All of them are optional."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from app.core import yaml_schema, yaml_text
from app.project.impact_policy import ImpactPolicy
from app.project.quality_settings import QualityPolicy
from app.project.settings_schema import FILE

PATH = ".github/freshet.yml"
MAX_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class PackageRule:
    """Replace the address of one package, or skip it."""

    address: str
    """As in the project's files: a name on the package hub, a git address, a `private` name or a tarball's URL."""
    use: str | None = None
    """`OWNER/NAME` of a repository on the same GitHub, or a git address."""
    skip: bool = False


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """The settings for one project."""

    dbt_version: str | None = None
    adapter: str | None = None
    target: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    database: str | None = None
    schema: str | None = None
    impact: ImpactPolicy | None = field(default=None, repr=False)
    """None: not set. Not in the text that becomes part of input hashes, because it decides nothing about the lineage."""
    quality: QualityPolicy | None = field(default=None, repr=False)
    """None: not set. Likewise."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """A mistake in the file, and its line."""

    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class RepositorySettings:
    """The whole file."""

    everywhere: ProjectSettings = ProjectSettings()
    projects: Mapping[str, ProjectSettings] = field(default_factory=dict)
    """By directory, without what `everywhere` adds: many projects with many variables each would fill the memory."""
    ignored: frozenset[str] = frozenset()
    branches: tuple[str, ...] = ()
    """Patterns of side branches to extract; empty: all of them."""
    packages: tuple[PackageRule, ...] = ()
    complaints: tuple[Complaint, ...] = ()
    """If there are any, everything else has its default."""

    def for_project(self, project_dir: str) -> ProjectSettings:
        """Return the settings for a project: its own, or those for all projects."""
        own, base = self.projects.get(project_dir), self.everywhere
        if own is None:
            return base
        return ProjectSettings(
            dbt_version=own.dbt_version or base.dbt_version,
            adapter=own.adapter or base.adapter,
            target=own.target or base.target,
            variables={**base.variables, **own.variables},
            environment={**base.environment, **own.environment},
            database=own.database or base.database,
            schema=own.schema or base.schema,
            impact=own.impact or base.impact,
            quality=own.quality or base.quality,
        )

    def includes_branch(self, branch: str) -> bool:
        """Whether pushes to a side branch are extracted."""
        # Not `fnmatchcase`: it keeps tens of thousands of strangers' patterns.
        return not self.branches or any(re.compile(fnmatch.translate(pattern)).match(branch) for pattern in self.branches)


def read(text: bytes | None) -> RepositorySettings:
    """Parse the file. If there are any complaints, all settings are the defaults, as without a file."""
    if text is not None and len(text) > MAX_BYTES:
        return RepositorySettings(complaints=(Complaint(f"The file is longer than the limit of {MAX_BYTES >> 10} KiB."),))
    document, faults = yaml_schema.read(text or b"", FILE)
    if faults:
        return RepositorySettings(complaints=tuple(Complaint(*fault) for fault in faults))
    return _settings(document or {})


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the file."""
    return deepcopy(FILE)


def _settings(document: Mapping[str, Any]) -> RepositorySettings:
    everywhere = _project(document)
    projects = {yaml_text.join("", project["dir"]) or "": project for project in document.get("projects") or ()}
    return RepositorySettings(
        everywhere=everywhere,
        projects={directory: _project(project) for directory, project in projects.items()},
        ignored=frozenset(directory for directory, project in projects.items() if project.get("ignored")),
        branches=tuple(document.get("branches") or ()),
        packages=tuple(PackageRule(**rule) for rule in document.get("packages") or ()),
    )


def _project(item: Mapping[str, Any]) -> ProjectSettings:
    return ProjectSettings(
        dbt_version=",".join(yaml_text.listed(item.get("dbt_version"))).replace(" ", "") or None,
        adapter=item.get("adapter"),
        target=item.get("target"),
        variables=item.get("vars") or {},
        environment=item.get("env") or {},
        database=item.get("database"),
        schema=item.get("schema"),
        impact=ImpactPolicy.read(item["impact"]) if "impact" in item else None,
        quality=QualityPolicy.read(item["quality"]) if "quality" in item else None,
    )

"""`.github/freshet.yml`: settings that the owners of a repository can make. All of them are optional."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from app.core import yaml_schema, yaml_text

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
        )

    def includes_branch(self, branch: str) -> bool:
        """Whether pushes to a side branch are extracted."""
        # Not `fnmatchcase`: it keeps tens of thousands of strangers' patterns.
        return not self.branches or any(re.compile(fnmatch.translate(pattern)).match(branch) for pattern in self.branches)


def read(text: bytes | None) -> RepositorySettings:
    """Parse the file. If there are any complaints, all settings are the defaults, as without a file."""
    if text is not None and len(text) > MAX_BYTES:
        return RepositorySettings(complaints=(Complaint(f"The file is longer than the limit of {MAX_BYTES >> 10} KiB."),))
    document, faults = yaml_schema.read(text or b"", _FILE)
    if faults:
        return RepositorySettings(complaints=tuple(Complaint(*fault) for fault in faults))
    return _settings(document or {})


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the file."""
    return deepcopy(_FILE)


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
    )


def _any_case(word: str) -> str:
    """A pattern that ignores case, because patterns in JSON Schema have no flags."""
    return "".join(f"[{char}{char.lower()}]" if char.isalpha() else char for char in word)


_LINE = {
    "type": "string",
    "pattern": r"^[^\u0000-\u001f]{1,200}$",
    "patternErrorMessage": "must be one line of at most 200 characters.",
}
_NAME = {
    "type": "string",
    "pattern": r"^[^\u0000-\u0020{}][^\u0000-\u001f{}]{0,199}$",
    "patternErrorMessage": "must be a name as the warehouse has it, on one line and without `{{ }}`.",
}
_RANGE = r"((>=|<=|>|<|==?) *)?[0-9]+\.[0-9]+(\.[0-9]+)?([-.]?(a|b|rc)[0-9]+)?"
_VERSION = {
    "type": ["string", "number"],
    "pattern": f"^{_RANGE}( *, *{_RANGE})*$",
    "patternErrorMessage": 'must be a dbt version or range, for example "1.10", "1.10.4" or ">=1.7,<1.9".',
}
_SECRETS = "|".join(_any_case(word) for word in ("TOKEN", "PASSWORD", "SECRET"))
_PROJECT_KEYS = {
    "dbt_version": {
        **_VERSION,
        "type": ["string", "number", "array"],
        "items": _VERSION,
        "minItems": 1,
        "title": "dbt version",
        "description": "The dbt version to parse with: a minor version, a full version, a range, or a list of ranges that must all hold.",
        "examples": ["1.10", "1.10.4", [">=1.7", "<1.9"]],
    },
    "adapter": {
        "type": "string",
        "pattern": "^[a-z][a-z0-9_]{0,49}$",
        "patternErrorMessage": "must be an adapter type as in the `type` of profiles.yml, for example `snowflake`.",
        "title": "Adapter",
        "description": "The dbt adapter to parse for, as in the `type` of profiles.yml.",
        "examples": ["snowflake", "bigquery", "postgres"],
    },
    "target": {
        "type": "string",
        "pattern": r"^[^\u0000-\u001f-][^\u0000-\u001f]{0,199}$",
        "patternErrorMessage": "must be the name of a target: one line that does not start with `-`.",
        "title": "Target",
        "description": "The value of `target.name` while dbt parses.",
        "examples": ["prod"],
    },
    "database": {
        **_NAME,
        "title": "Database",
        "description": "The value of `target.database` while dbt parses: the database, project or catalog in which tables are by default.",
        "examples": ["analytics"],
    },
    "schema": {
        **_NAME,
        "title": "Schema",
        "description": "The value of `target.schema` while dbt parses: the schema or dataset in which tables are by default.",
        "examples": ["prod"],
    },
    "vars": {
        "type": ["object", "null"],
        "title": "Variables",
        "description": "Values for dbt's `var()`, as with `--vars`. Anyone who can read the repository can read them.",
        "examples": [{"start_date": "2020-01-01"}],
    },
    "env": {
        "type": ["object", "null"],
        "additionalProperties": {
            "type": ["string", "number", "boolean"],
            "pattern": r"^[^\u0000]*$",
            "patternErrorMessage": "must not contain a NUL character.",
        },
        "propertyNames": {
            "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,199}$",
            "patternErrorMessage": "is not a valid name of an environment variable: use letters, digits and `_`.",
            "not": {"pattern": f"^{_any_case('DBT_ENV_SECRET')}|(^|_)({_SECRETS})$"},
            "errorMessage": "looks like a secret. Do not put secrets in this file: anyone who can read the repository can read it. "
            "Remove it; Freshet parses with a placeholder.",
        },
        "title": "Environment variables",
        "description": "Values for dbt's `env_var()`, passed on as written. Do not put secrets here.",
        "examples": [{"DBT_SCHEMA": "analytics"}],
    },
}
_PACKAGE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["address"],
    "oneOf": [{"required": ["use"]}, {"required": ["skip"]}],
    "errorMessage": "must have either `use` or `skip`.",
    "properties": {
        "address": {**_LINE, "title": "Address", "description": "The package as in packages.yml: its hub name, git address or URL."},
        "use": {
            **_LINE,
            "pattern": r"^([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+|(https|ssh|git)://[^\u0000-\u0020]+|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:[^\u0000-\u0020]+)$",
            "patternErrorMessage": "must be the OWNER/NAME of a repository on the same GitHub, or a git address.",
            "not": {"pattern": "://[^/@:]*:[^/]*@"},
            "errorMessage": "must not contain a password or token: anyone who can read the repository can read this file.",
            "title": "Use instead",
            "description": "Where to get the package: the OWNER/NAME of a repository on the same GitHub, or a git address.",
        },
        "skip": {
            "type": "boolean",
            "enum": [True],
            "errorMessage": "can only be true. Otherwise leave it out.",
            "title": "Skip",
            "description": "Parse without the package.",
        },
    },
}
_PROJECT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["dir"],
    "properties": {
        "dir": {
            "type": "string",
            "pattern": r"^[^\u0000-\u001f]{0,1000}$",
            "patternErrorMessage": "must be a directory of the repository, on one line.",
            "not": {"pattern": r"^/|(^|/)\.\.(/|$)"},
            "errorMessage": "must be a directory of the repository, relative to its root and without `..`.",
            "title": "Directory",
            "description": "The directory of dbt_project.yml, relative to the root of the repository; `.` is the root.",
            "examples": ["transform", "."],
        },
        "ignored": {"type": "boolean", "title": "Ignored", "description": "Do not treat this directory as a project."},
        **_PROJECT_KEYS,
    },
}
_FILE: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "/freshet.schema.json",
    "title": "Freshet",
    "description": f"{PATH}: settings that override what Freshet infers. All of them are optional.",
    "type": ["object", "null"],
    "additionalProperties": False,
    "properties": {
        **_PROJECT_KEYS,
        "branches": {
            "type": ["array", "null"],
            "items": _LINE,
            "title": "Branches",
            "description": "Patterns of the branches to extract; without this key, all. The followed branch is always extracted.",
            "examples": [["main", "release/*"]],
        },
        "packages": {
            "type": ["array", "null"],
            "items": _PACKAGE,
            "title": "Packages",
            "description": "Packages to get from elsewhere, or to skip.",
        },
        "projects": {
            "type": ["array", "null"],
            "items": _PROJECT,
            "title": "Projects",
            "description": "Settings for single projects. Their `vars` and `env` are added to those at the top level.",
        },
    },
}

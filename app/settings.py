"""`.github/freshet.yml`: what the owners of a repository may tell Freshet. All of it is optional."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from app import texts, yaml_schema

PATH = ".github/freshet.yml"
MAX_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class PackageRule:
    """What to do about one package: have another address in its place, or leave it out."""

    address: str
    """As the project writes it: a name on the hub, a git address, a `private` name or a tarball's URL."""
    use: str | None = None
    """`OWNER/NAME` of a repository on the same GitHub, or a git address."""
    skip: bool = False


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """What holds for one project."""

    dbt_version: str | None = None
    adapter: str | None = None
    target: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Complaint:
    """A thing in the file that cannot be used, and where."""

    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole file."""

    everywhere: ProjectSettings = ProjectSettings()
    projects: Mapping[str, ProjectSettings] = field(default_factory=dict)
    """By directory; each with what holds everywhere already filled in."""
    ignored: frozenset[str] = frozenset()
    branches: tuple[str, ...] = ()
    """Patterns of branches that are extracted, all of them when empty; the followed branch always is."""
    packages: tuple[PackageRule, ...] = ()
    complaints: tuple[Complaint, ...] = ()
    """What is wrong with the file; then nothing of it holds."""

    def of(self, project_dir: str) -> ProjectSettings:
        """Return what holds for a project."""
        return self.projects.get(project_dir, self.everywhere)

    def extracts(self, branch: str) -> bool:
        """Tell whether pushes to a branch are extracted that is not the followed one."""
        return not self.branches or any(fnmatchcase(branch, pattern) for pattern in self.branches)


def read(text: bytes | None) -> Settings:
    """Read the file. With any complaint, nothing of it holds: the rest of the settings are those of a repository without one."""
    if text is not None and len(text) > MAX_BYTES:
        return Settings(complaints=(Complaint(f"The file is longer than {MAX_BYTES >> 10} KiB, which is the most that is read."),))
    told, faults = yaml_schema.read(text or b"", _FILE)
    if faults:
        return Settings(complaints=tuple(Complaint(*fault) for fault in faults))
    return _settings(told or {})


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the file."""
    return deepcopy(_FILE)


def _settings(told: Mapping[str, Any]) -> Settings:
    everywhere = _project(told, ProjectSettings())
    projects = {texts.join("", project["dir"]) or "": project for project in told.get("projects") or ()}
    return Settings(
        everywhere=everywhere,
        projects={directory: _project(project, everywhere) for directory, project in projects.items()},
        ignored=frozenset(directory for directory, project in projects.items() if project.get("ignored")),
        branches=tuple(told.get("branches") or ()),
        packages=tuple(PackageRule(**rule) for rule in told.get("packages") or ()),
    )


def _project(told: Mapping[str, Any], base: ProjectSettings) -> ProjectSettings:
    return ProjectSettings(
        dbt_version=",".join(texts.listed(told.get("dbt_version"))).replace(" ", "") or base.dbt_version,
        adapter=told.get("adapter", base.adapter),
        target=told.get("target", base.target),
        variables={**base.variables, **(told.get("vars") or {})},
        environment={**base.environment, **(told.get("env") or {})},
    )


def _any_case(word: str) -> str:
    """Return a pattern for a word in capitals or not: the patterns of JSON Schema have no flags."""
    return "".join(f"[{char}{char.lower()}]" if char.isalpha() else char for char in word)


_LINE = {
    "type": "string",
    "pattern": r"^[^\u0000-\u001f]{1,200}$",
    "patternErrorMessage": "must be one line of text, 200 characters at most.",
}
_RANGE = r"(>=|<=|>|<|==?)? *[0-9]+\.[0-9]+(\.[0-9]+)?([-.]?(a|b|rc)[0-9]+)?"
_VERSION = {
    "type": ["string", "number"],
    "pattern": f"^{_RANGE}( *, *{_RANGE})*$",
    "patternErrorMessage": 'must be a dbt version or range, for example "1.10", "1.10.4" or ">=1.7,<1.9".',
}
_SECRETS = "|".join(_any_case(word) for word in ("TOKEN", "PASSWORD", "SECRET"))
_OF_A_PROJECT = {
    "dbt_version": {
        **_VERSION,
        "type": ["string", "number", "array"],
        "items": _VERSION,
        "minItems": 1,
        "title": "dbt version",
        "description": "The dbt version to parse with: a minor version, a full one, a range, or a list of ranges that all hold.",
        "examples": ["1.10", "1.10.4", [">=1.7", "<1.9"]],
    },
    "adapter": {
        "type": "string",
        "pattern": "^[a-z][a-z0-9_]{0,49}$",
        "patternErrorMessage": "must be a type of adapter as in the `type` of profiles.yml, for example `snowflake`.",
        "title": "Adapter",
        "description": "The type of the dbt adapter, as in the `type` of profiles.yml.",
        "examples": ["snowflake", "bigquery", "postgres"],
    },
    "target": {
        "type": "string",
        "pattern": r"^[^\u0000-\u001f-][^\u0000-\u001f]{0,199}$",
        "patternErrorMessage": "must be the name of a target: one line of text that does not begin with `-`.",
        "title": "Target",
        "description": "What `target.name` is while dbt parses.",
        "examples": ["prod"],
    },
    "vars": {
        "type": ["object", "null"],
        "title": "Variables",
        "description": "Values of dbt's `var()`, as with `--vars`. Everybody who can read the repository can read them.",
        "examples": [{"start_date": "2020-01-01"}],
    },
    "env": {
        "type": ["object", "null"],
        "additionalProperties": {
            "type": ["string", "number", "boolean"],
            "pattern": r"^[^\u0000]*$",
            "patternErrorMessage": "must not hold a NUL character.",
        },
        "propertyNames": {
            "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,199}$",
            "patternErrorMessage": "cannot be an environment variable: a name is made of letters, digits and `_`.",
            "not": {"pattern": f"^{_any_case('DBT_ENV_SECRET')}|(^|_)({_SECRETS})$"},
            "errorMessage": "is the name of a secret, and this file is no place for secrets: all who read the repository read it. "
            "Leave it out: parsing goes on with a placeholder.",
        },
        "title": "Environment variables",
        "description": "Values of dbt's `env_var()`, passed on as they are written. Never secrets.",
        "examples": [{"DBT_SCHEMA": "analytics"}],
    },
}
_PACKAGE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["address"],
    "oneOf": [{"required": ["use"]}, {"required": ["skip"]}],
    "errorMessage": "must have one of `use` and `skip`.",
    "properties": {
        "address": {**_LINE, "title": "Address", "description": "The package as packages.yml has it: its hub name, git address or URL."},
        "use": {
            **_LINE,
            "pattern": r"^([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+|(https|ssh|git)://[^\u0000-\u0020]+|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:[^\u0000-\u0020]+)$",
            "patternErrorMessage": "must be OWNER/NAME of a repository on the same GitHub, or a git address.",
            "not": {"pattern": "://[^/@]*:[^/]*@"},
            "errorMessage": "must not hold a password or token: all who read the repository read this file.",
            "title": "Use instead",
            "description": "Where the package is: OWNER/NAME of a repository on the same GitHub, or a git address.",
        },
        "skip": {
            "type": "boolean",
            "enum": [True],
            "errorMessage": "can only be true. Leave it out otherwise.",
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
            "errorMessage": "must be a directory of the repository, seen from its root and without `..`.",
            "title": "Directory",
            "description": "Where the project's dbt_project.yml is, seen from the root of the repository; `.` is the root.",
            "examples": ["transform", "."],
        },
        "ignored": {"type": "boolean", "title": "Ignored", "description": "Do not take this directory for a project."},
        **_OF_A_PROJECT,
    },
}
_FILE: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "/freshet.schema.json",
    "title": "Freshet",
    "description": f"{PATH}: what Freshet is to do otherwise than it would on its own. All of it is optional.",
    "type": ["object", "null"],
    "additionalProperties": False,
    "properties": {
        **_OF_A_PROJECT,
        "branches": {
            "type": ["array", "null"],
            "items": _LINE,
            "title": "Branches",
            "description": "Patterns of the branches that are extracted, all without it. The branch that is followed always is.",
            "examples": [["main", "release/*"]],
        },
        "packages": {
            "type": ["array", "null"],
            "items": _PACKAGE,
            "title": "Packages",
            "description": "Packages to be taken from elsewhere, or left out.",
        },
        "projects": {
            "type": ["array", "null"],
            "items": _PROJECT,
            "title": "Projects",
            "description": "What holds for one project and not for the others. `vars` and `env` add to those at the top.",
        },
    },
}

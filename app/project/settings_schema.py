"""The JSON Schema of `.github/freshet.yml`: what the parser validates with, and what editors get."""

from __future__ import annotations

from typing import Any

from app.core.models.quality import DIMENSIONS, RULES

MAX_LISTED = 50
"""Folders or tags of one policy: each is compared with every node that breaks, or with every node."""
MAX_WEIGHT = 100


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
_FOLDER = {
    "type": "string",
    "pattern": r"^[^\u0000-\u001f]{1,1000}$",
    "patternErrorMessage": "must be a folder of the repository, on one line.",
    "not": {"pattern": r"^/|(^|/)\.\.(/|$)"},
    "errorMessage": "must be a folder of the repository, relative to its root and without `..`.",
}
_BREAKS = {
    "type": "string",
    "pattern": "^(fail|neutral|off)$",
    "patternErrorMessage": "must be `fail`, `neutral` or `off`.",
}
_IMPACT = {
    **_BREAKS,
    "type": ["string", "object"],
    "additionalProperties": False,
    "properties": {
        "breaks": {
            **_BREAKS,
            "title": "Breaks",
            "description": "What the check run concludes when something breaks for certain.",
            "examples": ["fail"],
        },
        "folders": {
            "type": "array",
            "items": _FOLDER,
            "minItems": 1,
            "maxItems": MAX_LISTED,
            "title": "Folders",
            "description": "Only breaks of nodes in these folders decide. Relative to the root of the repository.",
            "examples": [["models/marts"]],
        },
        "tags": {
            "type": "array",
            "items": _LINE,
            "minItems": 1,
            "maxItems": MAX_LISTED,
            "title": "Tags",
            "description": "Only breaks of nodes with one of these dbt tags decide, in addition to those in `folders`.",
            "examples": [["finance"]],
        },
    },
    "title": "Impact",
    "description": "What the check run concludes if a change breaks something, and for which folders or tags. `off` hides what changes do.",
    "examples": ["fail", {"breaks": "fail", "folders": ["models/marts"], "tags": ["finance"]}],
}
_QUALITY = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "weights": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                name: {
                    "type": "number",
                    "minimum": 0,
                    "maximum": MAX_WEIGHT,
                    "errorMessage": f"must be from 0 to {MAX_WEIGHT}.",
                    "title": name.replace("_", " ").capitalize(),
                    "description": f"The weight in the score of: {row.says}. 0: it is counted, and does not matter.",
                    "examples": [row.weight],
                }
                for name, row in DIMENSIONS.items()
            },
            "title": "Weights",
            "description": "How much the parts of the score count. Those that are not here keep their usual weights.",
            "examples": [{"contracts": 0, "tests": 40}],
        },
        "findings": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                name: {
                    "type": "boolean",
                    "title": name.replace("_", " ").capitalize(),
                    "description": f"Whether to look for {row.many}.",
                }
                for name, row in RULES.items()
            },
            "title": "Findings",
            "description": "What to look for. Rules that are not here are on.",
            "examples": [{"unused_models": False}],
        },
        "ignored_folders": {
            "type": "array",
            "items": _FOLDER,
            "minItems": 1,
            "maxItems": MAX_LISTED,
            "title": "Ignored folders",
            "description": "Nodes in these folders are neither counted nor found. Relative to the root of the repository.",
            "examples": [["models/legacy"]],
        },
        "check_runs": {
            "type": "boolean",
            "title": "Check runs",
            "description": "Whether check runs have a line about quality.",
        },
    },
    "title": "Quality",
    "description": "What counts for the quality of the project.",
    "examples": [{"weights": {"contracts": 0}, "findings": {"unused_models": False}, "ignored_folders": ["models/legacy"]}],
}
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
    "impact": _IMPACT,
    "quality": _QUALITY,
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
FILE: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "/freshet.schema.json",
    "title": "Freshet",
    "description": ".github/freshet.yml: settings that override what Freshet infers. All of them are optional.",
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

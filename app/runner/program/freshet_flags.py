"""Keeps what a project may set from stopping or diverting a parse: dbt's flags, its environment variables, and its version check.

dbt takes a flag from its command line, else from an environment variable, else from `flags:` in `dbt_project.yml` (dbt 1.7 from there even
if the command line has it). So `PINNED` are passed on the command line and removed from the project's flags, and environment variables are
for `env_var()` only.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from dbt.cli import flags as dbt_flags
from dbt.cli.main import cli
from dbt.config import project as dbt_project

if TYPE_CHECKING:
    from collections.abc import Callable

PINNED = (
    ("--write-json",),
    ("--no-partial-parse",),
    ("--no-use-colors",),
    ("--no-send-anonymous-usage-stats",),
    ("--no-quiet",),
    ("--no-debug",),
    ("--no-log-cache-events",),
    ("--no-upload-to-artifacts-ingest-api",),
    ("--log-level", "info"),
    ("--log-format", "default"),
    ("--log-level-file", "none"),
)
"""https://docs.getdbt.com/reference/global-configs/about-global-configs; a version of dbt may lack some of them."""
WARNINGS = ("warn_error", "warn_error_options")
WITHHELD = ("DBT_RECORDER_", "DBT_ENGINE_RECORDER_", "DBT_PP_")
"""Variables with which dbt tests itself: it reads them outside of its command line."""
MAX_IGNORED = 50

_project = {"any_version": False}  # type: dict[str, object]
IGNORED = []  # type: list[dict[str, str]]
"""What the project asked for and dbt did not do, as in `freshet_result.write_file`."""


def install() -> None:
    """Replace what the command line cannot set."""
    for command in (cli, *cli.commands.values()):
        for option in command.params:
            option.envvar = None
    if hasattr(dbt_project, "validate_version"):
        dbt_project.validate_version = _recording(dbt_project.validate_version)
    if hasattr(dbt_flags, "read_project_flags"):
        dbt_flags.read_project_flags = _harmless(dbt_flags.read_project_flags)


def begin(*, any_version: bool) -> None:
    """Forget the project before. `any_version`: somebody chose the version of dbt, whatever the project requires."""
    _project.clear()
    _project["any_version"] = any_version


def pinned() -> list:
    """Return the arguments before the command."""
    known = {name for option in cli.params for name in (*option.opts, *option.secondary_opts)}
    return [part for option in PINNED if option[0] in known for part in option]


def environment(requested: dict) -> dict:
    """Return the variables that a project may have."""
    return {name: value for name, value in requested.items() if not name.startswith(WITHHELD)}


def _recording(validate: Callable) -> Callable:
    """Like `--no-version-check`: a package that requires another dbt is parsed, and reported; the project itself if `begin` says so."""

    @functools.wraps(validate)
    def validate_version(dbt_version: list, project_name: str) -> None:
        # dbt loads the project before its packages.
        name = _project.setdefault("name", project_name)
        try:
            validate(dbt_version, project_name)
        except dbt_project.DbtProjectError:
            if project_name == name and not _project["any_version"]:
                raise
            _ignore("version", str(project_name), ", ".join(bound.to_version_string() for bound in dbt_version))

    return validate_version


def _harmless(read: Callable) -> Callable:
    """Without the flags that we set. Warnings stay warnings: a lineage exists in spite of them."""
    ours = [option.name for option in cli.params if {*option.opts, *option.secondary_opts} & {flag[0] for flag in PINNED}]

    @functools.wraps(read)
    def read_project_flags(*arguments: object, **more: object) -> object:
        found = read(*arguments, **more)
        for name in WARNINGS:
            if getattr(found, name, None):
                _ignore("warn_error", name, "")
        for name in (*WARNINGS, *ours):
            if hasattr(found, name):
                setattr(found, name, None)
        return found

    return read_project_flags


def _ignore(kind: str, name: str, value: str) -> None:
    record = {"kind": kind, "name": name, "value": value}
    if record not in IGNORED and len(IGNORED) < MAX_IGNORED:
        IGNORED.append(record)

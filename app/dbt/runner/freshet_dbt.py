"""dbt in this process: its arguments, its environment, and its own words when it says no."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING

import freshet_tree
import freshet_where
from dbt.cli.main import dbtRunner
from dbt.version import __version__

if TYPE_CHECKING:
    from dbt_common.events.base_types import EventMsg

PROFILES = os.path.join(freshet_tree.WORK, "profiles")
TARGET = os.path.join(freshet_tree.WORK, "target")
LOGS = os.path.join(freshet_tree.WORK, "logs")

KEPT = ("PATH", "HOME", "LANG", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "DO_NOT_TRACK")
KEPT_FOR_DEPS = ("DBT_PACKAGE_HUB_URL", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
ENVIRONMENT = dict(os.environ)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
MAX_EVENTS = 50

_events = {"warn": 0, "errors": []}


class RefusedError(Exception):
    """dbt said no. `kind` as in `freshet_result.write_refusal`."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def version() -> str:
    """Return dbt's version."""
    return str(__version__)


def warnings() -> int:
    """Return how often dbt warned."""
    return _events["warn"]


def invoke(command: str, job: dict, stages: dict, *, network: bool = False) -> None:
    """Run a dbt command on the job's project. Raises RefusedError with dbt's words."""
    since = time.monotonic()
    os.environ.clear()
    os.environ.update({name: ENVIRONMENT[name] for name in KEPT + (KEPT_FOR_DEPS if network else ()) if name in ENVIRONMENT})
    project = os.path.normpath(os.path.join(freshet_tree.SOURCE, job["project_dir"]))
    _write_profiles(job["profiles"])
    try:
        os.chdir(project)
        outcome = dbtRunner(callbacks=[_note]).invoke(_arguments(command, job, project))
    finally:
        stages[command] = time.monotonic() - since
    if not outcome.success:
        raise RefusedError(_message(outcome.exception, job["project_dir"]), _kind(outcome.exception))


def _arguments(command: str, job: dict, project: str) -> list:
    """https://docs.getdbt.com/reference/global-configs/about-global-configs - all but --no-version-check: dbt's own check stands."""
    return [
        "--no-use-colors",
        "--no-send-anonymous-usage-stats",
        "--no-partial-parse",
        "--log-level-file", "none",
        "--log-path", LOGS,
        command,
        "--project-dir", project,
        "--profiles-dir", PROFILES,
        "--profile", job["profile"],
        "--target", job["target"],
    ] + (["--target-path", TARGET] if command == "parse" else [])  # fmt: skip


def _write_profiles(profiles: dict) -> None:
    """JSON is YAML."""
    os.makedirs(PROFILES, exist_ok=True)
    with open(os.path.join(PROFILES, "profiles.yml"), "w") as file:
        json.dump(profiles, file)


def _note(event: EventMsg) -> None:
    level = event.info.level
    if level == "warn":
        _events["warn"] += 1
    elif level == "error" and len(_events["errors"]) < MAX_EVENTS:
        _events["errors"].append(event.info.msg)


def _message(error: BaseException | None, project_dir: str) -> str:
    """Return what dbt says of an error, and where that was."""
    if error is None:
        text = "\n".join(_events["errors"]) or "dbt ended without success and without saying why."
    elif type(error).__module__.split(".")[0] in ("dbt", "dbt_common", "click"):
        text = str(error)
    else:
        # Not an error that dbt knows: of most, the type says more than the text ("KeyError: 'x'").
        text = f"{type(error).__name__}: {error}"
    # Absolute paths are those of the container: nobody else knows them.
    text = COLOURS.sub("", text).replace(freshet_tree.SOURCE + "/", "").strip()
    return text if error is None else text + freshet_where.remark(error, text, project_dir)


def _kind(error: BaseException | None) -> str:
    seen = []
    while error is not None and error not in seen:
        if isinstance(error, MemoryError):
            return "memory"
        if isinstance(error, OSError) and freshet_tree.is_full(error):
            return "space"
        seen.append(error)
        error = error.__cause__ or error.__context__
    return "dbt"

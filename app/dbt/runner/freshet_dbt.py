"""dbt in this process: its arguments, its environment, and its own words when it says no."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING

import freshet_placeholders
import freshet_speed
import freshet_state
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
PARTIAL = False
"""The manifest was made with the state of an earlier job."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
MAX_EVENTS = 50
MAX_TEXT = 100_000

freshet_speed.install()


class RefusedError(Exception):
    """dbt said no. `kind` as in `freshet_result.write_refusal`."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def version() -> str:
    """Return dbt's version."""
    return str(__version__)


class Attempt:
    """One run of dbt: its outcome, and what it said meanwhile."""

    def __init__(self, arguments: list) -> None:
        self.warnings = 0
        self.errors = []  # type: list[str]
        self._outcome = dbtRunner(callbacks=[self._note]).invoke(arguments)
        self.success = self._outcome.success
        self.error = self._outcome.exception

    def _note(self, event: EventMsg) -> None:
        level = event.info.level
        if level == "warn":
            self.warnings += 1
        elif level == "error" and len(self.errors) < MAX_EVENTS:
            self.errors.append(event.info.msg)


def invoke(command: str, job: dict, stages: dict, placeholders: freshet_placeholders.Placeholders, *, network: bool = False) -> int:
    """Run a dbt command on the job's project; return how often dbt warned. Raises RefusedError with dbt's words.

    A parse that does not succeed while dbt gave None for variables without a value is tried once more, with placeholders for them.
    """
    since = time.monotonic()
    _enter(job, network=network)
    try:
        attempt = (_partial(job, placeholders) if command == "parse" else None) or Attempt(_arguments(command, job))
        if command == "parse" and not attempt.success and placeholders.nothing and _kind(attempt.error) == "dbt":
            attempt = _with_variables(attempt, _arguments(command, job), placeholders)
    finally:
        stages[command] = time.monotonic() - since
    if not attempt.success:
        raise RefusedError(_message(attempt, job["project_dir"], placeholders), _kind(attempt.error))
    if command == "parse" and job.get("keep_state"):
        freshet_state.keep(placeholders)
    return attempt.warnings


def _partial(job: dict, placeholders: freshet_placeholders.Placeholders) -> Attempt | None:
    """Return an attempt that began with the state that came in, and is as good as a full parse; None when there is none."""
    global PARTIAL  # noqa: PLW0603 - one job in one process
    freshet_state.install()
    PARTIAL = False
    if not freshet_state.offer(TARGET, placeholders):
        return None
    attempt = Attempt(_arguments("parse", job, partial=True))
    PARTIAL = attempt.success and freshet_state.sound(placeholders)
    if PARTIAL:
        return attempt
    print("Freshet: once more in full, since more changed than files say")  # noqa: T201 - to dbt's log
    freshet_state.withdraw(placeholders)
    return None


def _enter(job: dict, *, network: bool) -> None:
    os.environ.clear()
    os.environ.update({name: ENVIRONMENT[name] for name in KEPT + (KEPT_FOR_DEPS if network else ()) if name in ENVIRONMENT})
    os.environ.update(job.get("environment") or {})
    _write_profiles(job["profiles"])
    os.chdir(freshet_tree.project(job["project_dir"]))


def _with_variables(first: Attempt, arguments: list, placeholders: freshet_placeholders.Placeholders) -> Attempt:
    """Return a second attempt that succeeded, or else the first one: dbt's own words are the better ones."""
    print("Freshet: once more, with placeholders for the variables without a value: " + ", ".join(placeholders.nothing[:20]))  # noqa: T201 - to dbt's log
    with placeholders.for_all_variables() as keep:
        second = Attempt(arguments)
        if second.success:
            keep()
    return second if second.success else first


def _arguments(command: str, job: dict, *, partial: bool = False) -> list:
    """https://docs.getdbt.com/reference/global-configs/about-global-configs - all but --no-version-check: dbt's own check stands."""
    return [
        "--no-use-colors",
        "--no-send-anonymous-usage-stats",
        "--partial-parse" if partial else "--no-partial-parse",
        "--log-level-file", "none",
        "--log-path", LOGS,
        command,
        "--project-dir", freshet_tree.project(job["project_dir"]),
        "--profiles-dir", PROFILES,
        "--profile", job["profile"],
        "--target", job["target"],
        *(["--target-path", TARGET] if command == "parse" else []),
        *(["--vars", json.dumps(job["variables"])] if job.get("variables") else []),
    ]  # fmt: skip


def _write_profiles(profiles: dict) -> None:
    """JSON is YAML."""
    os.makedirs(PROFILES, exist_ok=True)
    with open(os.path.join(PROFILES, "profiles.yml"), "w") as file:
        json.dump(profiles, file)


def _message(attempt: Attempt, project_dir: str, placeholders: freshet_placeholders.Placeholders) -> str:
    """Return what dbt says of an error, where that was, and which placeholder may be the cause."""
    error = attempt.error
    if error is None:
        text = "\n".join(attempt.errors) or "dbt ended without success and without saying why."
    elif type(error).__module__.split(".")[0] in ("dbt", "dbt_common", "click"):
        text = str(error)
    else:
        # Not an error that dbt knows: of most, the type says more than the text ("KeyError: 'x'").
        text = f"{type(error).__name__}: {error}"
    # Absolute paths are those of the container: nobody else knows them.
    text = COLOURS.sub("", text).replace(freshet_tree.SOURCE + "/", "").strip()[:MAX_TEXT]
    where = None
    if error is not None:
        text += freshet_where.remark(error, text, project_dir)
        where = freshet_where.failed_in(error, project_dir)
    return text + placeholders.remark(text, where)


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

"""Runs dbt in this process: its arguments, its environment, and its error messages."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING

import freshet_current_file
import freshet_flags
import freshet_install_path
import freshet_placeholders
import freshet_shortcuts
import freshet_state
import freshet_tree
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
"""Whether the manifest was made with the state of an earlier job."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
MAX_EVENTS = 50
REPEATS = ("MainEncounteredError", "MainStackTrace")
MAX_TEXT = 100_000

freshet_shortcuts.install()
freshet_flags.install()


class DbtFailedError(Exception):
    """dbt failed. `kind` as in `freshet_result.write_failure`."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def version() -> str:
    """Return dbt's version."""
    return str(__version__)


class ParseAttempt:
    """One run of dbt: its outcome, and the events that it reported."""

    def __init__(self, arguments: list) -> None:
        self.warnings = 0
        self.errors = []  # type: list[str]
        """Events of level error, without the one that repeats the exception."""
        self._outcome = dbtRunner(callbacks=[self._note]).invoke(arguments)
        self.success = self._outcome.success
        self.error = self._outcome.exception

    def _note(self, event: EventMsg) -> None:
        level = event.info.level
        if level == "warn":
            self.warnings += 1
        elif level == "error" and event.info.name not in REPEATS and len(self.errors) < MAX_EVENTS:
            self.errors.append(event.info.msg)


def invoke(command: str, job: dict, stages: dict, placeholders: freshet_placeholders.Placeholders, *, network: bool = False) -> int:
    """Run a dbt command on the job's project; return the number of dbt's warnings. Raises DbtFailedError with dbt's message.

    If a parse fails, and variables have no value, it is repeated with other placeholders.
    """
    since = time.monotonic()
    _enter(job, network=network)
    try:
        attempt = (_partial(job, placeholders) if command == "parse" else None) or ParseAttempt(_arguments(command, job))
        if command == "parse" and not attempt.success and _kind(attempt.error) == "dbt":
            attempt = _with_other_placeholders(attempt, _arguments(command, job), placeholders)
    finally:
        stages[command] = time.monotonic() - since
    if not attempt.success:
        raise DbtFailedError(_message(attempt, job["project_dir"], placeholders), _kind(attempt.error))
    if command == "parse" and job.get("keep_state"):
        freshet_state.keep(placeholders)
    return attempt.warnings


def _partial(job: dict, placeholders: freshet_placeholders.Placeholders) -> ParseAttempt | None:
    """Parse with the state, if there is one; None if the result is not certain to be that of a full parse."""
    global PARTIAL  # noqa: PLW0603 - one job in one process
    freshet_state.install()
    PARTIAL = False
    if not freshet_state.offer(TARGET, placeholders):
        return None
    attempt = ParseAttempt(_arguments("parse", job, partial=True))
    PARTIAL = attempt.success and freshet_state.is_valid(placeholders)
    if PARTIAL:
        return attempt
    print("Freshet: parsing again in full, because more has changed than these files")  # noqa: T201 - to dbt's log
    freshet_state.withdraw(placeholders)
    return None


def _enter(job: dict, *, network: bool) -> None:
    os.environ.clear()
    os.environ.update({name: ENVIRONMENT[name] for name in KEPT + (KEPT_FOR_DEPS if network else ()) if name in ENVIRONMENT})
    os.environ.update(freshet_flags.environment(job.get("environment") or {}))
    _write_profiles(job["profiles"])
    freshet_flags.begin(any_version=bool(job.get("any_version")))
    if job.get("install_dir"):
        freshet_install_path.look_in(freshet_tree.project(job["install_dir"]))
    os.chdir(freshet_tree.project(job["project_dir"]))


def _with_other_placeholders(first: ParseAttempt, arguments: list, placeholders: freshet_placeholders.Placeholders) -> ParseAttempt:
    """Try again with more placeholders, and with fewer. If that fails too, return the first attempt, whose message is the clearer one."""
    for mode in placeholders.other_modes(str(first.error)):
        print(f"Freshet: parsing again, with placeholders for variables without a value: {mode}")  # noqa: T201 - to dbt's log
        with placeholders.using(mode) as keep:
            again = ParseAttempt(arguments)
            if again.success:
                keep()
                return again
    return first


def _arguments(command: str, job: dict, *, partial: bool = False) -> list:
    return [
        *freshet_flags.pinned(),
        "--partial-parse" if partial else "--no-partial-parse",
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


def _message(attempt: ParseAttempt, project_dir: str, placeholders: freshet_placeholders.Placeholders) -> str:
    """Format dbt's message, with the file that it was parsing, and placeholders that may be the cause."""
    error = attempt.error
    if error is None:
        text = ""
    elif type(error).__module__.split(".")[0] in ("dbt", "dbt_common", "click"):
        text = str(error)
    else:
        # Not an error of dbt's own: the type is part of the message ("KeyError: 'x'").
        text = f"{type(error).__name__}: {error}"
    # An exception may only count what events have said one by one ("Semantic Manifest validation failed.").
    reasons = [reason.strip() for reason in dict.fromkeys(attempt.errors) if reason.strip() not in text]
    text = "\n\n".join([text.strip(), *reasons]).strip() or "dbt failed without an error message."
    # Absolute paths exist in the container only.
    text = COLOURS.sub("", text).replace(freshet_tree.SOURCE + "/", "").strip()[:MAX_TEXT]
    where = None
    if error is not None:
        text += freshet_current_file.remark(error, text, project_dir)
        where = freshet_current_file.failed_in(error, project_dir)
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

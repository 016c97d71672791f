"""Runs dbt in this process: its arguments, its environment, and its error messages."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING

import freshet_current_file
import freshet_external_nodes
import freshet_flags
import freshet_install_path
import freshet_node_files
import freshet_node_parsing
import freshet_node_record
import freshet_node_reports
import freshet_node_stages
import freshet_placeholders
import freshet_shortcuts
import freshet_templates
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
"""Whether most nodes are those of the state of an earlier job."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
MAX_EVENTS = 50
QUIET = ("debug", "test")
REPEATS = ("MainEncounteredError", "MainStackTrace")
MAX_TEXT = 100_000

freshet_shortcuts.install()
freshet_templates.install()
freshet_flags.install()
freshet_external_nodes.install()
if freshet_node_parsing.install():
    freshet_node_files.install()
    freshet_node_stages.install()


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
        if event.info.name == freshet_node_reports.OF_MACROS:
            freshet_node_record.logged(event.data.msg)
        elif level not in QUIET:
            # The next parse would not report it if the node came from the state.
            freshet_node_record.spoil()
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
        attempt = _parse(job, placeholders) if command == "parse" else ParseAttempt(_arguments(command, job))
    finally:
        stages[command] = time.monotonic() - since
    if not attempt.success:
        raise DbtFailedError(_message(attempt, job["project_dir"], placeholders), _kind(attempt.error))
    return attempt.warnings


def _parse(job: dict, placeholders: freshet_placeholders.Placeholders) -> ParseAttempt:
    """Parse with the state, if there is one, and without it if that may be the cause of a failure."""
    global PARTIAL  # noqa: PLW0603 - one job in one process
    arguments = _arguments("parse", job)
    freshet_node_parsing.begin(placeholders, with_state=True)
    attempt = ParseAttempt(arguments)
    if not attempt.success and freshet_node_parsing.PARSE.memory.macro_names is not None and not _is_dbts_own(attempt.error):
        print("Freshet: parsing again in full, because the state of the last parse may be the cause of an error")  # noqa: T201
        placeholders.forget()
        freshet_node_parsing.begin(placeholders, with_state=False)
        attempt = ParseAttempt(arguments)
    if not attempt.success and _kind(attempt.error) == "dbt":
        attempt = _with_other_placeholders(attempt, arguments, placeholders)
    memory = freshet_node_parsing.PARSE.memory
    PARTIAL = attempt.success and memory.reused > memory.parsed
    print(f"Freshet: parsed {memory.parsed:,} nodes, and {memory.reused:,} were as in the last parse")  # noqa: T201 - to dbt's log
    return attempt


def _enter(job: dict, *, network: bool) -> None:
    os.environ.clear()
    os.environ.update({name: ENVIRONMENT[name] for name in KEPT + (KEPT_FOR_DEPS if network else ()) if name in ENVIRONMENT})
    os.environ.update(freshet_flags.environment(job.get("environment") or {}))
    _write_profiles(job["profiles"])
    freshet_flags.begin(any_version=bool(job.get("any_version")))
    freshet_external_nodes.begin(job.get("external_nodes") or [])
    if job.get("install_dir"):
        freshet_install_path.look_in(freshet_tree.project(job["install_dir"]))
    os.chdir(freshet_tree.project(job["project_dir"]))


def _with_other_placeholders(first: ParseAttempt, arguments: list, placeholders: freshet_placeholders.Placeholders) -> ParseAttempt:
    """Try again with more placeholders, and with fewer. If that fails too, return the first attempt, whose message is the clearer one."""
    for mode in placeholders.other_modes(str(first.error)):
        print(f"Freshet: parsing again, with placeholders for variables without a value: {mode}")  # noqa: T201 - to dbt's log
        with placeholders.using(mode) as keep:
            freshet_node_parsing.begin_again()
            again = ParseAttempt(arguments)
            if again.success:
                keep()
                return again
    return first


def _arguments(command: str, job: dict) -> list:
    return [
        *freshet_flags.pinned(),
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
    elif _is_dbts_own(error):
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


def _is_dbts_own(error: BaseException | None) -> bool:
    return error is None or type(error).__module__.split(".")[0] in ("dbt", "dbt_common", "click")


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

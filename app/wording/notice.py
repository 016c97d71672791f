"""What people and programs read when a lineage breaks, falls behind or is well again: mails and webhooks, from values alone.

Names, paths and dbt's messages are strangers' texts. In a mail they are plain text without control characters, and the subject is one
bounded line. In `text` of a webhook, which chat programs render, they stand in code, so that no mention or link of anybody's works:
https://docs.slack.dev/messaging/formatting-message-text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from app.jobs import Connection, Extraction, Problem
from app.notices import EVENTS, Message, Notice
from app.wording.markdown import code, cut, plain, prose
from app.wording.report import conclusion_of, headline

MAX_SUBJECT_BYTES = 200
MAX_NAME_BYTES = 120
MAX_OUTPUT_BYTES = 4_000
MAX_SENTENCE_BYTES = 1_000


@dataclass(frozen=True, slots=True)
class Links:
    """Where links lead to."""

    public_url: str
    """Ours."""
    server_url: str
    """GitHub's."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a notice tells of: its connection (None: a test for a whole installation) and its extraction, if there (still) is one."""

    notice: Notice
    connection: Connection | None
    extraction: Extraction | None
    links: Links

    @property
    def sha(self) -> str:
        """The commit, None when there is none to speak of."""
        return (self.extraction and self.extraction.sha) or (self.connection and self.connection.head_sha) or ""

    @property
    def page(self) -> str:
        """The page of the extraction, or ours."""
        return f"{self.links.public_url}/extractions/{self.extraction.id}" if self.extraction else self.links.public_url

    @property
    def problem(self) -> Problem | None:
        """Why the extraction did not succeed."""
        return self.extraction.problem if self.extraction else None


def message(told: Told) -> Message:
    """Return a notice in words."""
    notice = told.notice
    thread = f"{notice.subscription.id}.{notice.connection_id or 'test'}"
    subject, text = cut(_headline(told, _name(told)), MAX_SUBJECT_BYTES), "\n\n".join(block for block in _blocks(told) if block)
    return Message(notice.id, thread, notice.event, notice.created_at, subject, f"{text}\n", _document(told))


def _name(told: Told) -> str:
    """Return `octo/shop (transform)`."""
    if told.connection is None:
        return ""
    directory = plain(told.connection.project_dir or "", MAX_NAME_BYTES)
    return f"{plain(told.connection.repository.full_name, MAX_NAME_BYTES)}{f' ({directory})' if directory else ''}"


def _headline(told: Told, name: str, sha: str = "") -> str:
    sha = sha or told.sha[:7]
    match told.notice.event:
        case "failure":
            return f"{name}: dbt lineage failed at {sha}"
        case "recovery":
            return f"{name}: dbt lineage works again at {sha}"
        case "stale":
            return f"{name}: dbt lineage is stale, {sha} is not extracted"
        case "test":
            return f"{name or 'Freshet'}: a test of your notification"


def _blocks(told: Told) -> Iterator[str]:
    """Yield the paragraphs of a mail."""
    yield _opening(told)
    if told.notice.event in ("failure", "stale"):
        yield from _problem(told.problem) if told.problem else ()
        yield _still_shown(told)
    if told.notice.event == "recovery" and told.extraction:
        yield plain(headline(told.extraction), MAX_SENTENCE_BYTES)
    if told.extraction and told.connection:
        commit = f"{told.links.server_url}/{quote(told.connection.repository.full_name)}/commit/{told.extraction.sha}"
        yield f"The extraction: {told.page}\nThe commit: {commit}"
    yield _footer(told)


def _opening(told: Told) -> str:
    branch = plain((told.connection and told.connection.followed_branch) or "its branch", MAX_NAME_BYTES)
    newest, since = f"the newest commit of {branch}", _time(told.notice.since)
    match told.notice.event:
        case "failure":
            return f"T{newest[1:]}, {told.sha[:7]}, could not be extracted."
        case "recovery":
            trouble = "stale" if told.notice.before == "stale" else "broken"
            return f"The lineage is that of {newest} again, {told.sha[:7]}. It was {trouble} since {since}."
        case "stale":
            reason = plain((told.connection and told.connection.stale_reason) or "", MAX_SENTENCE_BYTES).rstrip(".")
            behind = f"T{newest[1:]}, {told.sha[:7]}, is not extracted, and the lineage is behind since {since}."
            return f"{behind} {reason}." if reason else behind
        case "test":
            return "This is what a message of Freshet looks like when it arrives. Nothing happened."


def _problem(problem: Problem) -> Iterator[str]:
    yield f"{plain(problem.title, MAX_SENTENCE_BYTES).rstrip('.')}. {plain(problem.message, MAX_SENTENCE_BYTES)}"
    if problem.path:
        yield f"Where: {plain(problem.path, MAX_SENTENCE_BYTES)}{f', line {problem.line}' if problem.line else ''}"
    if problem.output:
        lines = cut(plain(problem.output, lines=True).strip("\n"), MAX_OUTPUT_BYTES).splitlines()
        yield "dbt's message:\n\n" + "\n".join(f"    {line}".rstrip() for line in lines)
    yield plain(problem.next_step, MAX_SENTENCE_BYTES)


def _still_shown(told: Told) -> str:
    if told.connection is None:
        return ""
    shown = told.connection.lineage_sha
    return f"Until then the lineage is that of {shown[:7]}." if shown else "There is no lineage of this project yet."


def _footer(told: Told) -> str:
    of = told.notice.subscription
    asked = ", ".join(event for event in EVENTS if event in of.events)
    who = "whoever may push to the repository" if of.connection_id else "the operator"
    return (
        f"-- \nNotification {of.id} of Freshet at {told.links.public_url} asks for this ({asked}).\n"
        f"It can be changed or ended by {who}: {told.links.public_url}/docs"
    )


def _document(told: Told) -> dict[str, Any]:
    """Return what a webhook gets."""
    notice = told.notice
    return {
        "event": notice.event,
        "delivery_id": notice.id,
        "notification_id": notice.subscription.id,
        "created_at": _time(notice.created_at),
        "text": _chat(told),
        "url": told.page,
        "since": _time(notice.since) if notice.since else None,
        "before": notice.before,
        "connection": _connection(told.connection) if told.connection else None,
        "extraction": _extraction(told.extraction) if told.extraction else None,
    }


def _chat(told: Told) -> str:
    """Return what a chat program shows: one line, and where to read on."""
    sha = code(told.sha[:7]) if told.sha else ""
    line = _headline(told, code(_name(told)) if told.connection else "", sha)
    if told.notice.event == "failure" and told.problem:
        where = f" ({code(told.problem.path)}{f', line {told.problem.line}' if told.problem.line else ''})" if told.problem.path else ""
        line = f"{line}: {prose(cut(told.problem.title, MAX_SENTENCE_BYTES))}{where}"
    escaped = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"{escaped}\n{told.page}"


def _connection(of: Connection) -> dict[str, Any]:
    return {
        "id": of.id,
        "repository": of.repository.full_name,
        "repository_id": str(of.repository.id),
        "project_dir": of.project_dir,
        "project_name": of.project_name,
        "branch": of.followed_branch,
        "head_sha": of.head_sha,
        "lineage_sha": of.lineage_sha,
    }


def _extraction(of: Extraction) -> dict[str, Any]:
    return {
        "id": of.id,
        "sha": of.sha,
        "branch": of.branch,
        "status": of.status,
        "conclusion": conclusion_of(of),
        "headline": headline(of),
        "finished_at": _time(of.finished_at) if of.finished_at else None,
        "error": _error(of.problem) if of.problem else None,
    }


def _error(of: Problem) -> dict[str, Any]:
    return {
        "title": of.title,
        "message": of.message,
        "next_step": of.next_step,
        "output": cut(plain(of.output, lines=True), MAX_OUTPUT_BYTES),
        "path": of.path,
        "line": of.line,
    }


def _time(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

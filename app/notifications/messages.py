"""The texts of notifications: emails and webhooks. Pure.

Names, paths and dbt's messages are untrusted. In an email they are plain text without control characters, and the subject is one line of
limited length. In a webhook's `text`, which chat programs render, they are formatted as code, so mentions and links in them do not work:
https://docs.slack.dev/messaging/formatting-message-text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from app.core.models.connections import Connection
from app.core.models.extractions import Extraction, Problem
from app.core.models.notifications import EVENTS, Message, Notice
from app.reports.check_run import conclusion_of, headline
from app.reports.markdown import code, cut, plain, prose

MAX_SUBJECT_BYTES = 200
MAX_NAME_BYTES = 120
MAX_OUTPUT_BYTES = 4_000
MAX_SENTENCE_BYTES = 1_000


@dataclass(frozen=True, slots=True)
class MessageLinks:
    """The base URLs of links."""

    public_url: str
    """Of this service."""
    server_url: str
    """Of GitHub."""


@dataclass(frozen=True, slots=True)
class NoticeContext:
    """A notice with what it is about: its connection (None: a test for a whole installation) and its extraction, if it still exists."""

    notice: Notice
    connection: Connection | None
    extraction: Extraction | None
    links: MessageLinks

    @property
    def sha(self) -> str:
        """The commit; empty if there is none."""
        return (self.extraction and self.extraction.sha) or (self.connection and self.connection.head_sha) or ""

    @property
    def page(self) -> str:
        """The URL of the extraction's page, or of this service."""
        return f"{self.links.public_url}/extractions/{self.extraction.id}" if self.extraction else self.links.public_url

    @property
    def problem(self) -> Problem | None:
        """Why the extraction failed."""
        return self.extraction.problem if self.extraction else None


def message(context: NoticeContext) -> Message:
    """The email and the webhook of a notice. The result is the same for every attempt to send it."""
    notice = context.notice
    thread = f"{notice.subscription.id}.{notice.connection_id or 'test'}"
    subject, text = cut(_headline(context, _name(context)), MAX_SUBJECT_BYTES), "\n\n".join(block for block in _blocks(context) if block)
    return Message(notice.id, thread, notice.event, notice.created_at, subject, f"{text}\n", _document(context))


def _name(context: NoticeContext) -> str:
    """Such as `octo/shop (transform)`."""
    if context.connection is None:
        return ""
    directory = plain(context.connection.project_dir or "", MAX_NAME_BYTES)
    return f"{plain(context.connection.repository.full_name, MAX_NAME_BYTES)}{f' ({directory})' if directory else ''}"


def _headline(context: NoticeContext, name: str, sha: str = "") -> str:
    sha = sha or context.sha[:7]
    match context.notice.event:
        case "failure":
            return f"{name}: dbt lineage failed at {sha}"
        case "recovery":
            return f"{name}: dbt lineage works again at {sha}"
        case "stale":
            return f"{name}: dbt lineage is stale, {sha} has not been extracted"
        case "test":
            return f"{name or 'Freshet'}: test notification"


def _blocks(context: NoticeContext) -> Iterator[str]:
    """The paragraphs of an email."""
    yield _opening(context)
    if context.notice.event in ("failure", "stale"):
        yield from _problem(context.problem) if context.problem else ()
        yield _available_lineage(context)
    if context.notice.event == "recovery" and context.extraction:
        yield plain(headline(context.extraction), MAX_SENTENCE_BYTES)
    if context.extraction and context.connection:
        commit = f"{context.links.server_url}/{quote(context.connection.repository.full_name)}/commit/{context.extraction.sha}"
        yield f"Extraction: {context.page}\nCommit: {commit}"
    yield _footer(context)


def _opening(context: NoticeContext) -> str:
    branch = plain((context.connection and context.connection.followed_branch) or "its branch", MAX_NAME_BYTES)
    newest, since = f"newest commit of {branch}, {context.sha[:7]},", _time(context.notice.since)
    match context.notice.event:
        case "failure":
            return f"The {newest} could not be extracted."
        case "recovery":
            trouble = "stale" if context.notice.before == "stale" else "broken"
            return f"The {newest} has been extracted, so the lineage is current again. It had been {trouble} since {since}."
        case "stale":
            reason = plain((context.connection and context.connection.stale_reason) or "", MAX_SENTENCE_BYTES).rstrip(".")
            behind = f"The {newest} has not been extracted. The lineage has been behind since {since}."
            return f"{behind} {reason}." if reason else behind
        case "test":
            return "This is a test message from Freshet: the notification works. Nothing has happened to any lineage."


def _problem(problem: Problem) -> Iterator[str]:
    yield f"{plain(problem.title, MAX_SENTENCE_BYTES).rstrip('.')}. {plain(problem.message, MAX_SENTENCE_BYTES)}"
    if problem.path:
        yield f"File: {plain(problem.path, MAX_SENTENCE_BYTES)}{f', line {problem.line}' if problem.line else ''}"
    if problem.output:
        lines = cut(plain(problem.output, lines=True).strip("\n"), MAX_OUTPUT_BYTES).splitlines()
        yield "dbt's message:\n\n" + "\n".join(f"    {line}".rstrip() for line in lines)
    yield plain(problem.next_step, MAX_SENTENCE_BYTES)


def _available_lineage(context: NoticeContext) -> str:
    if context.connection is None:
        return ""
    sha = context.connection.lineage_sha
    return f"For now, Freshet shows the lineage of {sha[:7]}." if sha else "This project has no lineage yet."


def _footer(context: NoticeContext) -> str:
    subscription = context.notice.subscription
    events = ", ".join(event for event in EVENTS if event in subscription.events)
    who = "Anyone who can push to the repository" if subscription.connection_id else "The operator"
    return (
        f"-- \nThis message was sent by notification {subscription.id} ({events}) of Freshet at {context.links.public_url}.\n"
        f"{who} can change or delete the notification: {context.links.public_url}/docs"
    )


def _document(context: NoticeContext) -> dict[str, Any]:
    """The JSON body of a webhook; `docs/notifications.md` describes it."""
    notice = context.notice
    return {
        "event": notice.event,
        "delivery_id": notice.id,
        "notification_id": notice.subscription.id,
        "created_at": _time(notice.created_at),
        "text": _chat(context),
        "url": context.page,
        "since": _time(notice.since) if notice.since else None,
        "before": notice.before,
        "connection": _connection(context.connection) if context.connection else None,
        "extraction": _extraction(context.extraction) if context.extraction else None,
    }


def _chat(context: NoticeContext) -> str:
    """What a chat program shows: one line and a link."""
    sha = code(context.sha[:7]) if context.sha else ""
    line = _headline(context, code(_name(context)) if context.connection else "", sha)
    if context.notice.event == "failure" and (problem := context.problem):
        place = f" ({code(problem.path)}{f', line {problem.line}' if problem.line else ''})" if problem.path else ""
        line = f"{line}: {prose(cut(problem.title, MAX_SENTENCE_BYTES))}{place}"
    escaped = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"{escaped}\n{context.page}"


def _connection(connection: Connection) -> dict[str, Any]:
    return {
        "id": connection.id,
        "repository": connection.repository.full_name,
        "repository_id": str(connection.repository.id),
        "project_dir": connection.project_dir,
        "project_name": connection.project_name,
        "branch": connection.followed_branch,
        "head_sha": connection.head_sha,
        "lineage_sha": connection.lineage_sha,
    }


def _extraction(extraction: Extraction) -> dict[str, Any]:
    return {
        "id": extraction.id,
        "sha": extraction.sha,
        "branch": extraction.branch,
        "status": extraction.status,
        "conclusion": conclusion_of(extraction),
        "headline": headline(extraction),
        "finished_at": _time(extraction.finished_at) if extraction.finished_at else None,
        "error": _error(extraction.problem) if extraction.problem else None,
    }


def _error(problem: Problem) -> dict[str, Any]:
    return {
        "title": problem.title,
        "message": problem.message,
        "next_step": problem.next_step,
        "output": cut(plain(problem.output, lines=True), MAX_OUTPUT_BYTES),
        "path": problem.path,
        "line": problem.line,
    }


def _time(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

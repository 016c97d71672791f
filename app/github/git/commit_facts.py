"""Who wrote a commit, when, and the first line of why: https://git-scm.com/docs/git-log#_pretty_formats."""

from __future__ import annotations

from datetime import UTC, datetime

from app.core.models.extractions import CommitFacts
from app.github.git.process import Git, GitError

MAX_OUTPUT_BYTES = 1 << 20
MAX_AUTHOR, MAX_SUBJECT = 200, 300
"""Characters; the rest is cut off."""
_FORMAT = "--format=%an%x00%aI%x00%s"
_CONFIG = {"log.showSignature": "false", "log.mailmap": "false"}
"""A signature would be checked by a program of the user's choice; a mailmap is a file of the commit."""


async def commit_facts(git: Git, git_dir: str, sha: str) -> CommitFacts | None:
    """The facts of a commit; None if `sha` is none, or if its message is too long."""
    arguments = ("--git-dir", git_dir, "log", "--max-count=1", "--no-color", "--encoding=UTF-8", _FORMAT, sha, "--")
    try:
        output = await git.run(*arguments, config=_CONFIG, max_bytes=MAX_OUTPUT_BYTES)
    except GitError:
        return None
    return parse_facts(output.decode(errors="replace"))


def parse_facts(output: str) -> CommitFacts | None:
    r"""Parse git's line.

    >>> parse_facts("Ann\x002026-11-02T09:00:00+01:00\x00Count orders once\n").author
    'Ann'
    """
    author, _, rest = output.removesuffix("\n").partition("\0")
    date, found, subject = rest.partition("\0")
    if not found:
        return None
    return CommitFacts(author.strip()[:MAX_AUTHOR] or None, _time(date), subject.replace("\0", "")[:MAX_SUBJECT])


def _time(text: str) -> datetime | None:
    """In UTC; None for a time that no calendar has."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None

"""What all answers have: the project and the commit, how current they are, a page of items, and where the next one begins."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from app.core.errors import UnavailableError
from app.core.models.connections import Connection
from app.store.lineages import LineageHead
from app.web.api.call import Call
from app.web.api.lineage import TRIES, heading_of
from app.web.http import requests
from app.web.mcp.budget import HEADING, SHORTENED, Item, cut, encoded, shortened

Json = dict[str, Any]
T = TypeVar("T")
CUT = "This answer is cut. `truncated` counts what is missing: send `next_cursor` as `cursor` with the same arguments, or ask for less."
NOT_LISTED = "`truncated` counts what is not listed: ask for more with `limit`, or for less."
SHORT = "Texts that end with … and long lists are shortened."
MAX_BEGIN = 10
"""Digits of a number in a cursor."""
OLDER = "Another commit than the newest one of the branch was asked for"


@dataclass(frozen=True, slots=True)
class PagePlace:
    """Where a page begins: at an item, in what the commits say that the first page was made of."""

    shas: tuple[str, ...] = ()
    begin: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What an answer consists of, before it is cut."""

    heading: Json
    lists: Sequence[str]
    """Names of lists, which come even if they are empty."""
    items: Iterable[Item]
    total: Mapping[str, int]
    most: Mapping[str, int] = field(default_factory=dict)
    shas: tuple[str, ...] = ()
    notes: Sequence[str] = ()


def place_of(call: Call[Any, None], commits: int = 1) -> PagePlace:
    """The place in the cursor of a page of some commits. Raises HttpProblem 400, also if it belongs to other arguments."""
    parts = requests.cursor(call.query.cursor, 2 + commits)
    if parts is None:
        return PagePlace()
    digest, begin, *shas = parts
    if digest != _digest(call) or not (begin.isascii() and begin.isdigit() and len(begin) < MAX_BEGIN):
        raise requests.invalid("cursor", "must be the `next_cursor` of an answer to the same arguments")
    return PagePlace(tuple(shas), int(begin))


async def answered(call: Call[Any, None], make: Callable[[], Contents], begin: int = 0, fixed: Json | None = None) -> bytes:
    """The page as JSON, made in the thread for such work; `fixed`: fields that stand instead of its own."""
    return await call.store.lineage_cache.compute(partial(_compose, call, make, begin, fixed or {}))


async def retried(doing: str, attempt: Callable[[], Awaitable[T | None]]) -> T:
    """What an attempt returns unless the lineage was replaced meanwhile. Raises UnavailableError."""
    for _ in range(TRIES):
        found = await attempt()
        if found is not None:
            return found
    raise UnavailableError(doing, "the commit keeps being extracted again", "Try again in a moment.")


def about(connection: Connection, head: LineageHead) -> Json:
    """The project and the commit, and how current they are."""
    heading = heading_of(connection, head)
    reason = heading.stale_reason or (OLDER if heading.stale else None)
    names = ("connection_id", "repository", "project_dir", "project_name", "branch", "sha", "head_sha", "state", "stale")
    return without_nothing(
        {**{name: getattr(heading, name) for name in names}, "stale_reason": reason, "age_seconds": age_s(head.extracted_at)}
    )


def state_of(connection: Connection) -> Json:
    """A project in a list of several."""
    return without_nothing(
        {
            "connection_id": connection.id,
            "repository": connection.repository.full_name,
            "project_dir": connection.project_dir,
            "project_name": connection.project_name,
            "branch": connection.followed_branch,
            "sha": connection.lineage_sha,
            "age_seconds": None if connection.extracted_at is None else age_s(connection.extracted_at),
            "head_sha": connection.head_sha,
            "state": connection.state(),
            "stale": connection.stale,
            "stale_reason": connection.stale_reason,
        }
    )


def compared(head: LineageHead) -> Json:
    """One of two commits."""
    return {"sha": head.sha, "branch": head.branch, "age_seconds": age_s(head.extracted_at)}


def age_s(at: datetime) -> int:
    """Seconds since a time."""
    return max(0, int((datetime.now(UTC) - at).total_seconds()))


def without_nothing(fields: Mapping[str, Any]) -> Json:
    """Fields that have a value: no null, and nothing empty."""
    return {name: value for name, value in fields.items() if value is not None and value not in ("", [], (), {})}


def _compose(call: Call[Any, None], make: Callable[[], Contents], begin: int, fixed: Json) -> bytes:
    made = make()
    heading, used, cuts = shortened(made.heading, HEADING)
    page = cut(made.items, made.total, begin=begin, most=made.most, used=used)
    cuts += page.left.get(SHORTENED, 0)
    unlisted = page.next is None and any(kind != SHORTENED for kind in page.left)
    following = None if page.next is None else requests.next_cursor(_digest(call), str(page.next), *made.shas)
    answer = {
        **heading,
        **{name: page.lists.get(name, []) for name in made.lists},
        "truncated": {**page.left, **({SHORTENED: cuts} if cuts else {})},
        "next_cursor": following,
        "notes": [*made.notes, *([CUT] if following else [NOT_LISTED] if unlisted else []), *([SHORT] if cuts else [])],
        **fixed,
    }
    return encoded({name: "".join(value) if name.endswith("_code") else value for name, value in answer.items()})


def _digest(call: Call[Any, None]) -> str:
    given = call.query.model_dump_json(exclude={"cursor"}, exclude_defaults=True)
    return hashlib.sha256(f"{type(call.query).__name__} {given}".encode()).hexdigest()[:16]

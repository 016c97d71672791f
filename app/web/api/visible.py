"""Pages of lists over all repositories, with what the caller may read alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from pydantic import SecretStr

from app.core.models.github import Repository
from app.web.api.call import Call
from app.web.auth.sealing import Seal

CURSOR_KEY = "cursor"
LEAST_ASKED, MOST_ASKED = 8, 200
"""Items that are looked at for a page, at least and at most, where GitHub does not list what a token may read. Pages that were short by
what it may not read would tell how much there is."""


class OfRepository(Protocol):
    """What belongs to a repository."""

    @property
    def repository(self) -> Repository:
        """Who may read it may read this."""


Item = TypeVar("Item", bound=OfRepository)
Load = Callable[[Sequence[int] | None, Item | None, int], Awaitable[list[Item]]]
"""Loads a number of items behind one, or behind the page's cursor; first the private repositories that count, None: all."""


async def cursor_seal(call: Call[Any, Any]) -> Seal:
    """For the cursors of such pages."""
    return Seal(SecretStr((await call.store.signing_keys.get(CURSOR_KEY)).hex()), CURSOR_KEY)


async def visible_page(call: Call[Any, Any], limit: int, load: Load[Item]) -> tuple[list[Item], Item | None]:
    """Return the items of a page, and the one behind which the next page begins; None: there are no more.

    That one may be of a repository that the caller may not read: only a sealed cursor may name it.
    """
    seen_by = await call.caller.listed()
    listed = seen_by is not None or call.caller.everything
    items: list[Item] = []
    last: Item | None = None
    more, asked = True, 0
    while more and len(items) < limit and asked < MOST_ASKED:
        wanted = max(limit - len(items), 1 if listed else LEAST_ASKED)
        found = await load(seen_by, last, wanted + 1)
        more, found = len(found) > wanted, found[:wanted]
        readable = await call.readable(one.repository for one in found)
        asked += len(found)
        for number, last in enumerate(found, 1):
            if last.repository.id in readable:
                items.append(last)
            if len(items) == limit:
                # What follows may be others': that it is there is not told.
                more = more or number < len(found) or not listed
                break
    return items, last if more else None

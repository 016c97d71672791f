"""Extractions as they change, for all who look at them: each is read once for each change, whatever the number of viewers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from app import log
from app.errors import UnavailableError
from app.jobs import ENDED, Extraction
from app.storage import Store
from app.web.keys import Wake

LOOK_S = 5.0
"""A notification can be lost with its connection, so the store is looked at now and then as well."""
CHANNEL = "freshet_extractions"
ID_BYTES = 9

logger = log.get(__name__)
Show = Callable[[Extraction], str]


@dataclass(slots=True)
class State:
    """An extraction as it was read; None when it is not to be seen any more."""

    extraction: Extraction | None
    _texts: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Tell whether nothing comes after this."""
        return self.extraction is None or self.extraction.status in ENDED

    def shown(self, how: str, show: Show) -> tuple[str, str]:
        """Return what `show` makes of it, and an id of that; made once for each name `how`.

        The id is that of the text, so it is the same after a restart and in every process.
        """
        if how not in self._texts:
            text = show(self.extraction) if self.extraction else "{}"
            self._texts[how] = text, hashlib.blake2b(text.encode(), digest_size=ID_BYTES).hexdigest()
        return self._texts[how]


class View:
    """One extraction that somebody looks at."""

    def __init__(self, extraction_id: str) -> None:
        self.extraction_id = extraction_id
        self.viewers = 0
        self.task: asyncio.Task[None]
        self._state: State | None = None
        self._closed = False
        self._changed = asyncio.Event()

    async def after(self, seen: State | None) -> State | None:
        """Return the state that is not `seen`, as soon as there is one; None when there will be none."""
        while self._state is seen and not self._closed and not (seen and seen.ended):
            await self._changed.wait()
        return None if self._state is seen else self._state

    async def follow(self, store: Store, wake: Wake, closing: asyncio.Event) -> None:
        """Read the extraction at each change, until it ends or the server stops."""
        try:
            with wake.bell(CHANNEL, self.extraction_id) as bell:
                while not closing.is_set():
                    try:
                        self._tell(await store.extractions.get(self.extraction_id))
                    except UnavailableError as error:
                        logger.warning("cannot read an extraction that is looked at", reason=str(error))
                    if self._state and self._state.ended:
                        break
                    await bell.wait(LOOK_S)
        finally:
            self._closed = True
            self._changed.set()

    def _tell(self, extraction: Extraction | None) -> None:
        if self._state is None or self._state.extraction != extraction:
            self._state = State(extraction)
            # Whoever waits wakes with this one; who comes later waits for the next.
            self._changed.set()
            self._changed = asyncio.Event()


class Views:
    """All that is looked at in this process."""

    def __init__(self, closing: asyncio.Event) -> None:
        self._closing = closing
        self._views: dict[str, View] = {}

    @asynccontextmanager
    async def of(self, extraction_id: str, store: Store, wake: Wake) -> AsyncIterator[View]:
        """Yield the view of an extraction: it is followed as long as somebody has it."""
        view = self._views.get(extraction_id)
        if view is None:
            view = self._views[extraction_id] = View(extraction_id)
            view.task = asyncio.create_task(view.follow(store, wake, self._closing), name=f"view of {extraction_id}")
        view.viewers += 1
        try:
            yield view
        finally:
            view.viewers -= 1
            if not view.viewers:
                del self._views[extraction_id]
                view.task.cancel()
                await asyncio.wait([view.task])


VIEWS = web.AppKey("views", Views)

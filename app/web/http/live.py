"""Live extractions for streams: each change is read from the store once, however many streams show it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from app.core import log
from app.core.errors import UnavailableError
from app.core.models.extractions import ENDED, Extraction
from app.store import Store
from app.web.http.problems import HttpProblem
from app.web.keys import Listener

MAX_STREAMS = 1000
RETRY_AFTER_S = 10
POLL_S = 5.0
"""PostgreSQL's notifications can be lost with their connection, so the store is polled as well."""
CHANNEL = "freshet_extractions"
ID_BYTES = 9

logger = log.get(__name__)
Render = Callable[[Extraction], str]


@dataclass(slots=True)
class LiveState:
    """An extraction as it was read; None when it no longer exists."""

    extraction: Extraction | None
    _texts: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """No other state follows."""
        return self.extraction is None or self.extraction.status in ENDED

    def rendered(self, name: str, render: Render, gone: str = "{}") -> tuple[str, str]:
        """Return the text that `render` makes, or `gone`, and its id. `name` stands for both: each is called once.

        The id is a hash of the text, so it is the same in every process and after a restart.
        """
        if name not in self._texts:
            text = render(self.extraction) if self.extraction else gone
            self._texts[name] = text, hashlib.blake2b(text.encode(), digest_size=ID_BYTES).hexdigest()
        return self._texts[name]


class View:
    """One extraction with open streams."""

    def __init__(self, extraction_id: str) -> None:
        self.extraction_id = extraction_id
        self.viewers = 0
        self.task: asyncio.Task[None]
        self._state: LiveState | None = None
        self._closed = False
        self._changed = asyncio.Event()

    async def after(self, previous: LiveState | None) -> LiveState | None:
        """Wait for a state other than `previous`; None when no other will come."""
        while self._state is previous and not self._closed and not (previous and previous.ended):
            await self._changed.wait()
        return None if self._state is previous else self._state

    async def follow(self, store: Store, listener: Listener, closing: asyncio.Event) -> None:
        """Read the extraction after each change, until it ends or the server stops."""
        try:
            with listener.wakeup(CHANNEL, self.extraction_id) as wakeup:
                while not closing.is_set():
                    try:
                        self._publish(await store.extractions.get(self.extraction_id))
                    except UnavailableError as error:
                        logger.warning("cannot read an extraction for its streams", reason=str(error))
                    if self._state and self._state.ended:
                        break
                    await wakeup.wait(POLL_S)
        finally:
            self._closed = True
            self._changed.set()

    def _publish(self, extraction: Extraction | None) -> None:
        if self._state is None or self._state.extraction != extraction:
            self._state = LiveState(extraction)
            # Wake the current waiters with this event; later ones wait for the next.
            self._changed.set()
            self._changed = asyncio.Event()


class LiveViews:
    """The views of this process, by extraction."""

    def __init__(self, closing: asyncio.Event, *, streams: int = MAX_STREAMS) -> None:
        """At most `streams` at a time."""
        self._closing, self._limit = closing, streams
        self._views: dict[str, View] = {}
        self._streams = Counter[str]()

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return self._streams.total()

    @contextmanager
    def counted(self, caller: str, share: float) -> Iterator[None]:
        """Count a stream of a caller, who can have at most `share` of all. Raises HttpProblem 429."""
        allowed = max(1, int(share * self._limit))
        if self._streams.total() >= self._limit or self._streams[caller] >= allowed:
            detail = f"There can be {allowed} open streams of one caller, and {self._limit} of all: close some, or try again later."
            raise HttpProblem(429, "Too many streams", detail, headers={"Retry-After": str(RETRY_AFTER_S)})
        self._streams[caller] += 1
        try:
            yield
        finally:
            self._streams[caller] -= 1
            if not self._streams[caller]:
                del self._streams[caller]

    @asynccontextmanager
    async def open(self, extraction_id: str, store: Store, listener: Listener) -> AsyncIterator[View]:
        """Yield the view of an extraction, shared by all streams; it is closed with the last one."""
        view = self._views.get(extraction_id)
        if view is None:
            view = self._views[extraction_id] = View(extraction_id)
            view.task = asyncio.create_task(view.follow(store, listener, self._closing), name=f"view of {extraction_id}")
        view.viewers += 1
        try:
            yield view
        finally:
            view.viewers -= 1
            if not view.viewers:
                del self._views[extraction_id]
                view.task.cancel()
                await asyncio.wait([view.task])


VIEWS = web.AppKey("views", LiveViews)

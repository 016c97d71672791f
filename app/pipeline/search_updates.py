"""Keeps search in step with the lineages of connections: in the background, so that no push waits for it."""

from __future__ import annotations

from app.core import log
from app.core.errors import FreshetError
from app.core.retry import retry_delay
from app.core.wakeup import Wakeup
from app.pipeline import leases, loop
from app.store import Store
from app.store.search_index import SearchUpdate

logger = log.get(__name__)


class SearchUpdates:
    """Updates the words of connections whose lineage changed, the newest change first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        index = store.search_index
        self.step = loop.leased(
            lambda: index.claim(leases.SEARCH_LEASE), self._update, index.release, lambda due: {"connection_id": due.connection_id}
        )
        """Take one step of the update that is due; False: none is."""

    async def run(self, wakeup: Wakeup) -> None:
        """Update what is due, until cancelled. Any number of tasks and processes can run this at the same time."""
        await loop.forever("search", self.step, wakeup, next_due_s=self._store.search_index.seconds_until_due)

    async def _update(self, due: SearchUpdate) -> None:
        """Take one step; the rest of a large lineage is claimed again, after what changed since."""
        index = self._store.search_index
        try:
            more = await index.update(due.connection_id)
        except FreshetError:
            raise
        except Exception:  # a lineage that cannot be indexed must not stop the others
            again = due.attempts < leases.SEARCH_ATTEMPTS
            logger.exception("search not updated", again=again)
            await (index.postpone(due, retry_delay(due.attempts, None)) if again else index.finish(due))
        else:
            await (index.release(due) if more else index.finish(due))

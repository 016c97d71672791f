"""PostgreSQL: the queue, the outbox, and the lineages.

`pool` is the only door to the driver, `sql` reads the named statements of `queries/`, `migrate` brings a database up to date,
`embedded` runs a PostgreSQL of our own, `wake` turns NOTIFY into events of the loop; then one file per noun. `Store` binds the nouns
to the pool or, inside `transaction()`, to one connection.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from app.records import Backlog, PoolUse
from app.store import backlog, gone
from app.store.check_runs import CheckRuns
from app.store.connections import Connections
from app.store.deliveries import Deliveries
from app.store.extractions import Extractions
from app.store.graphs import Graphs
from app.store.history import History
from app.store.installations import Installations
from app.store.keys import Keys
from app.store.lineages import Lineages
from app.store.logs import Logs
from app.store.notices import Notices
from app.store.pool import Database
from app.store.stats import Statistics
from app.store.subscriptions import Subscriptions


class Store:
    """All nouns over one database."""

    def __init__(self, db: Database, graphs: Graphs | None = None) -> None:
        self._db = db
        self.deliveries = Deliveries(db)
        self.installations = Installations(db)
        self.connections = Connections(db)
        self.extractions = Extractions(db)
        self.lineages = Lineages(db)
        self.graphs = graphs or Graphs(db)
        self.check_runs = CheckRuns(db)
        self.history = History(db)
        self.subscriptions = Subscriptions(db)
        self.notices = Notices(db)
        self.logs = Logs(db)
        self.statistics = Statistics(db)
        self.keys = Keys(db)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Store]:
        """Bind the nouns to one transaction: all of it happens, or nothing."""
        async with self._db.transaction() as db:
            yield Store(db, self.graphs)

    async def backlog(self) -> Backlog:
        """Return how much waits. Raises DatabaseUnavailableError."""
        return await backlog.read(self._db)

    async def gone(self, repositories: Sequence[int], installations: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return those of the ids of repositories and of installations that are gone for good. Raises DatabaseUnavailableError."""
        return await gone.of(self._db, repositories, installations)

    def pool_use(self) -> PoolUse:
        """Return how far the connections to the database are in use."""
        return self._db.use()

    async def check(self) -> str:
        """Return one line about the database. Raises DatabaseUnavailableError."""
        version: str = await self._db.value("SHOW server_version")
        return f"PostgreSQL {version}"

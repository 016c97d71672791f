"""PostgreSQL: the queue, the outbox, and the lineages.

`pool` wraps the driver, `sql` reads the named statements of `queries/`, `migrate` brings a database up to date, `embedded` runs a
PostgreSQL of our own (one run of its server is a `postmaster`), `listen` turns NOTIFY into wakeups. Everything else is one file per noun,
with the records that it returns. `Store` binds the nouns to the pool or, inside `transaction()`, to one connection.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.models.origins import Origin
from app.store.bases import Bases
from app.store.check_runs import CheckRuns
from app.store.columns import Columns
from app.store.connections import Connections
from app.store.costs import Costs
from app.store.deliveries import Deliveries
from app.store.extractions import Extractions
from app.store.installations import Installations
from app.store.lineage_cache import LineageCache
from app.store.lineages import Lineages
from app.store.logs import Logs
from app.store.manifests import Manifests
from app.store.node_history import NodeHistories
from app.store.node_results import NodeResults
from app.store.notifications import Notifications
from app.store.operations import Operations
from app.store.organisations import Organisations
from app.store.other_projects import OtherProjects
from app.store.pool import Database, PoolUse
from app.store.pull_requests import PullRequests
from app.store.quality import Quality
from app.store.readers import Readers
from app.store.retention import Retention
from app.store.search import Search
from app.store.search_index import SearchIndex
from app.store.sessions import Sessions
from app.store.signing_keys import SigningKeys
from app.store.stats import Statistics
from app.store.subscriptions import Subscriptions


class Store:
    """All nouns over one database."""

    def __init__(self, db: Database, lineage_cache: LineageCache | None = None, origin: Origin | None = None) -> None:
        self._db = db
        self.deliveries = Deliveries(db)
        self.installations = Installations(db)
        self.connections = Connections(db)
        self.extractions = Extractions(db, origin)
        self.lineages = Lineages(db)
        self.quality = Quality(db)
        self.node_histories = NodeHistories(db)
        self.node_results = NodeResults(db)
        self.columns = Columns(db)
        self.lineage_cache = lineage_cache or LineageCache(db)
        self.readers = Readers(db)
        self.organisations = Organisations(db)
        self.other_projects = OtherProjects(db)
        self.bases = Bases(db)
        self.manifests = Manifests(db)
        self.search = Search(db)
        self.search_index = SearchIndex(db)
        self.check_runs = CheckRuns(db)
        self.pull_requests = PullRequests(db)
        self.retention = Retention(db)
        self.subscriptions = Subscriptions(db)
        self.notifications = Notifications(db)
        self.logs = Logs(db)
        self.statistics = Statistics(db)
        self.operations = Operations(db)
        self.costs = Costs(db)
        self.signing_keys = SigningKeys(db)
        self.sessions = Sessions(db)

    @asynccontextmanager
    async def transaction(self, *, lock_timeout_s: float | None = None) -> AsyncIterator[Store]:
        """Yield a store whose nouns share one transaction. Raises DatabaseBusyError if it waits for longer for a row of others."""
        async with self._db.transaction(lock_timeout_s=lock_timeout_s) as db:
            yield Store(db, self.lineage_cache)

    def caused_by(self, origin: Origin) -> Store:
        """The same store; what is queued through it is noted to come from a delivery."""
        return Store(self._db, self.lineage_cache, origin)

    def pool_use(self) -> PoolUse:
        """Return how many of the pool's connections are in use."""
        return self._db.use()

    async def check(self) -> str:
        """Return the server's version in a line. Raises DatabaseUnavailableError."""
        version: str = await self._db.value("SHOW server_version")
        return f"PostgreSQL {version}"

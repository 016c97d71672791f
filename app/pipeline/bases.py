"""Finds the commit that an extraction is compared with. GitHub is asked while dbt runs, so nothing waits for it.

Whatever goes wrong here is said in the impact, and never fails an extraction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager

from cachetools import TTLCache

from app.core import log
from app.core.errors import DatabaseUnavailableError, FreshetError, GoneError, NotConfiguredError
from app.core.models.extractions import Extraction
from app.core.models.github import MergeBase
from app.pipeline import base_rules
from app.pipeline.base_rules import BaseBranch, ChosenBase, FoundBase
from app.pipeline.leases import BASE_WAIT_S
from app.pipeline.ports import GitHub
from app.store import Store
from app.store.bases import BaseCommit
from app.store.lineages import SavedLineage

CACHE_S = 60.0
"""All projects of a repository share the answer about a push."""
CACHE_SIZE = 1000

Finding = Callable[[], Awaitable[FoundBase]]
"""Waits for what was found. Raises DatabaseUnavailableError."""

logger = log.get(__name__)


class BaseFinder:
    """Finds bases. `github` is None where there is none to ask: then side branches have no base."""

    def __init__(self, store: Store, github: GitHub | None = None) -> None:
        self._store = store
        self._github = github
        self._merge_bases: TTLCache[tuple[int, str, str], MergeBase] = TTLCache(CACHE_SIZE, CACHE_S)
        self._asking: dict[tuple[int, str, str], asyncio.Task[MergeBase | None]] = {}

    @asynccontextmanager
    async def finding(self, extraction: Extraction) -> AsyncIterator[Finding]:
        """Begin to look for the base of an extraction; the end of the context stops it."""
        if extraction.followed or extraction.background:
            yield lambda: self._of_followed(extraction)  # known when the lineage is stored
            return
        task = asyncio.create_task(self.find(extraction), name=f"base of {extraction.id}")
        try:
            yield lambda: _in_time(task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def find(self, extraction: Extraction) -> FoundBase:
        """Look for the base of an extraction. Raises DatabaseUnavailableError, and nothing else."""
        try:
            return await (self._in_history(extraction) if extraction.followed else self._of_side_branch(extraction))
        except DatabaseUnavailableError:
            raise
        except FreshetError as error:
            logger.info("base not found", reason=str(error))
            return FoundBase(reason=error.user_text, failed=True, again=error.retryable)
        except Exception as error:  # a bug of ours: the impact says so
            logger.exception("finding the base crashed")
            return FoundBase(reason=f"Freshet stopped with an internal error ({type(error).__name__}).", failed=True)

    async def _of_followed(self, extraction: Extraction) -> FoundBase:
        current = await self._store.extractions.get(extraction.id)
        if current is not None and current.base is not None:
            return base_rules.known(current.base)
        task = asyncio.create_task(self.find(extraction), name=f"base of {extraction.id}")
        try:
            return await _in_time(task)
        finally:
            task.cancel()

    async def _of_side_branch(self, extraction: Extraction) -> FoundBase:
        """The merge base with the base branch of the pull request, or with the followed branch. One that was deleted has its last head."""
        earlier = await self._store.bases.of_commit(extraction.connection_id, extraction.branch, extraction.sha)
        found = FoundBase(reason="There is nothing to compare with: the repository has no default branch.")
        for branch, ref in await self._base_branches(extraction):
            merge_base = await self._compare(extraction, ref)
            found = base_rules.of_side_branch(extraction.sha, branch, merge_base, earlier)
            if merge_base is not None:
                break
        if found.base.sha is None or (await self._commit(extraction, found.base.sha)).stored:
            return found
        return FoundBase(found.base, ancestors=await self._ancestors(extraction, found.base.sha))

    async def _base_branches(self, extraction: Extraction) -> list[tuple[BaseBranch, str]]:
        """Branches to compare with, each with what GitHub is asked for: the next one if GitHub does not have it."""
        connection = await self._store.connections.get(extraction.connection_id)
        followed = connection.followed_branch if connection else None
        of_pull_request = await self._store.pull_requests.base_branch_of(
            extraction.repository.id, extraction.branch, extraction.sha, followed
        )
        found = []
        if of_pull_request is not None:
            found.append((BaseBranch(of_pull_request.branch, of_pull_request.number), of_pull_request.branch))
        if followed is not None and (of_pull_request is None or of_pull_request.branch != followed):
            found.append((BaseBranch(followed), followed))
        if connection is not None and followed is not None and connection.head_sha is not None:
            found.append((BaseBranch(followed), connection.head_sha))
        return found

    async def _compare(self, extraction: Extraction, ref: str) -> MergeBase | None:
        key = extraction.repository.id, ref, extraction.sha
        if (known := self._merge_bases.get(key)) is not None:
            return known
        if key not in self._asking:
            self._asking[key] = asyncio.create_task(self._api().compare(extraction.repository, ref, extraction.sha))
            self._asking[key].add_done_callback(lambda task: self._asked(key, task))
        return await asyncio.shield(self._asking[key])

    def _asked(self, key: tuple[int, str, str], task: asyncio.Task[MergeBase | None]) -> None:
        del self._asking[key]
        if not task.cancelled() and task.exception() is None and (found := task.result()) is not None:
            self._merge_bases[key] = found

    async def _ancestors(self, extraction: Extraction, sha: str) -> tuple[str, ...]:
        """Commits before one whose lineage is missing. Without GitHub's answer, none stands in for it."""
        try:
            return tuple((await self._api().ancestors(extraction.repository, sha))[1:])
        except FreshetError as error:
            logger.info("ancestors not found", reason=str(error))
            return ()

    async def _in_history(self, extraction: Extraction) -> FoundBase:
        """For a commit that was not pushed as the newest of the followed branch, as far as we know: a push before it may be missing."""
        connection = await self._store.connections.get(extraction.connection_id)
        lineage_sha = connection.lineage_sha if connection else None
        if lineage_sha is not None and lineage_sha != extraction.sha:
            merge_base = await self._compare(extraction, lineage_sha)
            if merge_base is not None and merge_base.sha == lineage_sha:
                return base_rules.of_history(extraction.branch, lineage_sha)
        try:
            ancestors = (await self._api().ancestors(extraction.repository, extraction.sha))[1:]
        except GoneError:  # no such commit any more
            ancestors = []
        trusted = (await self._store.extractions.trust(extraction.id)).trusted
        nearest = await self._store.bases.nearest(extraction.connection_id, ancestors, trusted, extraction.branch)
        return base_rules.of_history(extraction.branch, nearest)

    async def _commit(self, extraction: Extraction, sha: str) -> BaseCommit:
        trusted = (await self._store.extractions.trust(extraction.id)).trusted
        return await self._store.bases.commit(extraction.connection_id, sha, trusted)

    def _api(self) -> GitHub:
        if self._github is None:
            raise NotConfiguredError("looking for the commit to compare with", "there is no GitHub to ask")
        return self._github


async def choose(store: Store, extraction: Extraction, found: FoundBase, *, tried: bool = False) -> ChosenBase:
    """What an extraction is compared with now; `tried` as in `base_rules.choose`."""
    if found.base.sha is None:
        return ChosenBase(found.base, found.reason, found.failed, found.again)
    trusted: Collection[str] = (await store.extractions.trust(extraction.id)).trusted
    commit = await store.bases.commit(extraction.connection_id, found.base.sha, trusted)
    nearest = None if commit.stored else await store.bases.nearest(extraction.connection_id, found.ancestors, trusted)
    return base_rules.choose(found, commit, nearest, tried=tried)


async def record_previous_head(tx: Store, extraction: Extraction, saved: SavedLineage, claim: str) -> None:
    """Record what an extraction of the followed branch is compared with, in the transaction that stores its lineage.

    What an earlier attempt has recorded stays.
    """
    if not extraction.followed or extraction.background or extraction.base is not None:
        return
    earlier = await tx.bases.of_commit(extraction.connection_id, extraction.branch, extraction.sha)
    base = base_rules.of_followed_branch(extraction.sha, saved.before, earlier, switched=saved.switched)
    if base is not None:
        await tx.bases.set(extraction.id, claim, base)


async def _in_time(task: asyncio.Task[FoundBase]) -> FoundBase:
    try:
        async with asyncio.timeout(BASE_WAIT_S):
            return await asyncio.shield(task)
    except TimeoutError:
        return FoundBase(reason=f"GitHub did not say within {BASE_WAIT_S:g} s what to compare with.", failed=True, again=True)

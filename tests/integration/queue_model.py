"""The stand-ins of `test_queue_rules.py` for GitHub (a list of pushes) and for worker processes (names with claims)."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from app.core.models.extractions import Extraction
from app.core.models.github import BranchHead, Repository, RepositoryState
from app.lineage.nodes import Lineage, Node
from app.pipeline.progress import ClaimLostError
from app.store import Store, pool

INSTALLATION = 3
ONE_PROJECT, TWO_PROJECTS = 7, 8
FOLLOWED, OTHER = "main", "feature/ünï"
LINEAGE = Lineage("shop", "1.11.16", "duckdb", "v12", (Node("model.shop.a", "model", "a", "shop", b"{}", (), b""),))


def known(repository_id: int) -> Repository:
    return Repository(repository_id, f"octo/shop{repository_id}", INSTALLATION, FOLLOWED)


def sha(number: int) -> str:
    return f"{number + 1:040x}"


@dataclass(frozen=True)
class Push:
    repository_id: int
    branch: str
    before: str
    sha: str
    number: int
    """Rises with every push to GitHub, whenever we hear of it."""

    @property
    def delivery(self) -> str:
        return f"delivery-{self.number}"

    @property
    def payload(self) -> bytes:
        repository = {"id": self.repository_id, "full_name": known(self.repository_id).full_name, "default_branch": FOLLOWED}
        repository["pushed_at"] = 1_700_000_000 + self.number
        body = {"ref": f"refs/heads/{self.branch}", "before": self.before, "after": self.sha, "repository": repository}
        return json.dumps({**body, "installation": {"id": INSTALLATION}}).encode()


@dataclass(frozen=True)
class Claim:
    """What a worker believes to have; `expired` once its lease has run out, which it need not know. `name` is of this claim alone."""

    name: str
    extraction: Extraction
    expired: bool = False

    @property
    def worker(self) -> str:
        return self.name.partition("/")[0]


class GitHub:
    """The truth, and what the reconciler (`ports.Survey`) asks of it."""

    def __init__(self) -> None:
        self.pushes: list[Push] = []
        self.told: defaultdict[tuple[int, str], dict[str, int]] = defaultdict(dict)
        """The number of the newest push of each commit of a repository's branch, as far as anybody was told."""

    def push(self, repository_id: int, branch: str, commit: str) -> Push | None:
        """Move a branch; None when it is there already, of which GitHub does not tell."""
        newest = self.newest(repository_id, branch)
        if newest and newest.sha == commit:
            return None
        self.pushes.append(Push(repository_id, branch, newest.sha if newest else "0" * 40, commit, len(self.pushes)))
        return self.pushes[-1]

    def newest(self, repository_id: int, branch: str) -> Push | None:
        return next((push for push in reversed(self.pushes) if (push.repository_id, push.branch) == (repository_id, branch)), None)

    def head(self, repository_id: int, branch: str) -> str | None:
        newest = self.newest(repository_id, branch)
        return newest.sha if newest else None

    def has_newer(self, repository_id: int, branch: str, commit: str, others: set[str]) -> bool:
        """Tell whether one of the others was pushed to the branch after that commit first was."""
        pushes = [push for push in self.pushes if (push.repository_id, push.branch) == (repository_id, branch)]
        first = next(push.number for push in pushes if push.sha == commit)
        return any(push.sha in others - {commit} for push in pushes if push.number > first)

    def tell(self, push: Push | None) -> str | None:
        """Note that somebody was told of a push, and return its commit."""
        if push:
            told = self.told[push.repository_id, push.branch]
            told[push.sha] = max(push.number, told.get(push.sha, -1))
        return push.sha if push else None

    async def repositories(self, _installation_id: int) -> list[RepositoryState]:
        return [RepositoryState(known(id_), archived=False, pushed_at=None) for id_ in (ONE_PROJECT, TWO_PROJECTS)]

    async def branch_head(self, repository: Repository, branch: str, etag: str | None) -> BranchHead | None:
        """An unchanged answer has an unchanged ETag: None."""
        head = self.tell(self.newest(repository.id, branch))
        return None if etag == f"of {head}" else BranchHead(head, f"of {head}")


class Api:
    """The same GitHub as `ports.GitHub` asks it."""

    def __init__(self, github: GitHub) -> None:
        self.github = github

    async def describe(self, repository: Repository) -> Repository:
        return replace(repository, default_branch=FOLLOWED)

    async def ancestors(self, _repository: Repository, sha: str) -> list[str]:
        return [sha]

    async def branch_head(self, repository: Repository, branch: str) -> Any:
        return self.github.tell(self.github.newest(repository.id, branch))


@dataclass(frozen=True)
class World:
    """What all examples share, for speed."""

    runner: asyncio.Runner
    db: pool.Database


@contextmanager
def world(dsn: str) -> Iterator[World]:
    """Hypothesis is no coroutine: the machine has an event loop of its own."""
    stack = AsyncExitStack()
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        try:
            yield World(runner, runner.run(stack.enter_async_context(pool.connect(dsn, size=2))))
        finally:
            runner.run(stack.aclose())


async def keep(store: Store, claim: Claim) -> bool:
    """Store a lineage as `Worker._keep` does; every second commit has the same input, which is then carried."""
    extraction, input_hash = claim.extraction, b"input %d" % (int(claim.extraction.sha, 16) % 2)
    try:
        async with store.transaction() as tx:
            like = (
                None
                if extraction.forced
                else await tx.lineages.find_by_input(extraction.connection_id, input_hash, extraction.trust.trusted)
            )
            if like:
                await tx.lineages.carry_forward(extraction, like.lineage_id)
            else:
                await tx.lineages.save(extraction, LINEAGE, input_hash)
            if not await tx.extractions.finish(extraction.id, claim.name, "succeeded", []):
                raise ClaimLostError
    except ClaimLostError:
        return False
    return True


async def everything(db: pool.Database) -> list[list[tuple[object, ...]]]:
    tables = "extractions", "check_runs", "connections", "lineages", "nodes", "node_columns"
    return [[tuple(row) for row in await db.rows(f"SELECT * FROM {table} ORDER BY 1")] for table in tables]  # noqa: S608 - the names above

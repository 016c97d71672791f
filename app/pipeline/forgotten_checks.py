"""Commits with open check runs of ours that the database does not know, because a backup from before them was restored."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, takewhile

from app.core.models.connections import Connection
from app.core.models.github import Repository
from app.pipeline.ports import GitHub
from app.store import Store

MAX_COMMITS = 20
"""Asked for at most, one request each."""


async def below(store: Store, github: GitHub, repository: Repository, connections: Sequence[Connection], sha: str) -> list[str]:
    """Those between a head `sha` that GitHub told of and the heads that we know, the oldest first. Raises like `GitHub`.

    Most lookups find nothing: a push whose delivery was lost has no check runs yet.
    """
    heads = {one.head_sha for one in connections if one.head_sha}
    if not heads or sha in heads:
        return []
    ancestors = await github.ancestors(repository, sha)
    between = list(islice(takewhile(lambda one: one not in heads, ancestors[1:]), MAX_COMMITS))
    pairs = [(connection.id, commit) for connection in connections for commit in between]
    known = {commit for _, commit in await store.extractions.known(pairs)} if pairs else set()
    return [one for one in reversed(between) if one not in known and await github.open_check_runs(repository, one)]

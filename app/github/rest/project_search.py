"""Finds the dbt projects of a commit with GitHub's Git trees API, even if the commit is too big for one response.

https://docs.github.com/en/rest/git/trees#get-a-tree: a recursive response is `truncated` after 100,000 entries or 7 MB.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections import deque
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

import msgspec

from app.core import log
from app.project import repository_settings
from app.project.directory_names import NOT_PROJECTS
from app.project.package_files import PROJECT_FILE

T = TypeVar("T")

MAX_TREES = 2000
"""Requested at most for one commit."""
CONCURRENCY = 4

_log = log.get(__name__)


class _File(msgspec.Struct, gc=False):
    path: str
    type: Literal["blob", "tree", "commit"]


class _Files(msgspec.Struct):
    tree: list[_File]
    truncated: bool = False


class _Child(_File, gc=False):
    sha: str


class _Children(msgspec.Struct):
    tree: list[_Child]
    truncated: bool = False


class ReadTree(Protocol):
    """Reads one tree of the repository, by the sha of a tree or commit. Raises as described in `app.pipeline.ports.GitHub`."""

    async def __call__(self, tree_sha: str, type_: type[T], **query: str) -> T:
        """Parse the tree as `type_`."""


async def paths(read: ReadTree, sha: str, repository: str) -> list[str]:
    """All file paths of a commit; if GitHub truncates them, only those of `projects`, found tree by tree."""
    whole = await read(sha, _Files, recursive="1")
    files = [file.path for file in whole.tree if file.type == "blob"]
    if not whole.truncated:
        return files
    del whole, files
    walk = _Walk(read)
    await walk.run(sha)
    event = "github.tree_walked" if walk.complete else "github.tree_walk_incomplete"
    (_log.info if walk.complete else _log.warning)(event, repository=repository, sha=sha, requests=walk.requests, found=len(walk.found))
    return sorted(walk.found)


def projects(files: Iterable[str]) -> list[str]:
    """The paths of `dbt_project.yml` files, and of `.github/freshet.yml`."""
    return [path for path in files if posixpath.basename(path) == PROJECT_FILE or path == repository_settings.PATH]


@dataclass
class _Walk:
    """Walks down a truncated tree: reads its subtrees recursively, and those that are truncated again level by level."""

    read: ReadTree
    found: set[str] = field(default_factory=set)
    requests: int = 0
    complete: bool = True

    async def run(self, sha: str) -> None:
        """Fill `found`, with at most `MAX_TREES` requests."""
        waiting = deque(await self._search_level("", sha))
        while waiting:
            if self.requests >= MAX_TREES:
                self.complete = False
                return
            batch = [waiting.popleft() for _ in range(min(CONCURRENCY, len(waiting)))]
            for below in await _gather([self._search(directory, tree_sha) for directory, tree_sha in batch]):
                waiting.extend(below)

    async def _search(self, directory: str, sha: str) -> list[tuple[str, str]]:
        """Search a tree recursively; return its subtrees if the response is truncated."""
        self.requests += 1
        whole = await self.read(sha, _Files, recursive="1")
        self.found.update(projects(posixpath.join(directory, file.path) for file in whole.tree if file.type == "blob"))
        return await self._search_level(directory, sha) if whole.truncated else []

    async def _search_level(self, directory: str, sha: str) -> list[tuple[str, str]]:
        """Search a tree's own files; return the subtrees that may contain projects."""
        self.requests += 1
        level = await self.read(sha, _Children)
        self.complete &= not level.truncated
        self.found.update(projects(posixpath.join(directory, child.path) for child in level.tree if child.type == "blob"))
        trees = (child for child in level.tree if child.type == "tree" and child.path.lower() not in NOT_PROJECTS)
        return [(posixpath.join(directory, child.path), child.sha) for child in trees]


async def _gather(work: Iterable[Awaitable[list[tuple[str, str]]]]) -> list[list[tuple[str, str]]]:
    """Await all; the first error cancels the others."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

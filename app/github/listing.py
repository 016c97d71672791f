"""The files of a commit by GitHub's Git trees API, also of a commit that is too big for one answer.

https://docs.github.com/en/rest/git/trees#get-a-tree: a recursive answer ends after 100,000 entries or 7 MB and says so (`truncated`).
"""

from __future__ import annotations

import asyncio
import posixpath
from collections import deque
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

import msgspec

from app import log, settings
from app.inference.names import NOT_PROJECTS
from app.inference.specs import PROJECT_FILE

T = TypeVar("T")

MAX_TREES = 2000
"""Trees that are asked for to look through one commit."""
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
    """Reads one tree of the repository, by the sha of a tree or commit, as `type_`. Raises as `app.ports.GitHub` says."""

    async def __call__(self, tree_sha: str, type_: type[T], **query: str) -> T:
        """Return the tree."""


async def paths(read: ReadTree, sha: str, repository: str) -> list[str]:
    """Return the paths of all files of a commit; where GitHub truncates them, of its files `dbt_project.yml`, found tree by tree."""
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
    """Return those of the paths that are of a file `dbt_project.yml`, and `.github/freshet.yml`, which may say more of them."""
    return [path for path in files if posixpath.basename(path) == PROJECT_FILE or path == settings.PATH]


@dataclass
class _Walk:
    """Goes down from a tree that is truncated: its subtrees are read whole, and those that are truncated again level by level."""

    read: ReadTree
    found: set[str] = field(default_factory=set)
    requests: int = 0
    complete: bool = True

    async def run(self, sha: str) -> None:
        """Find the projects of a commit whose recursive listing is truncated."""
        waiting = deque(await self._enter("", sha))
        while waiting:
            if self.requests >= MAX_TREES:
                self.complete = False
                return
            batch = [waiting.popleft() for _ in range(min(CONCURRENCY, len(waiting)))]
            for below in await _together([self._look(directory, tree_sha) for directory, tree_sha in batch]):
                waiting.extend(below)

    async def _look(self, directory: str, sha: str) -> list[tuple[str, str]]:
        """Look through a tree with all that is below it; return the subtrees that did not fit into the answer."""
        self.requests += 1
        whole = await self.read(sha, _Files, recursive="1")
        self.found.update(projects(posixpath.join(directory, file.path) for file in whole.tree if file.type == "blob"))
        return await self._enter(directory, sha) if whole.truncated else []

    async def _enter(self, directory: str, sha: str) -> list[tuple[str, str]]:
        """Return the subtrees of a tree in which a project may be, having noted its own files."""
        self.requests += 1
        level = await self.read(sha, _Children)
        self.complete &= not level.truncated
        self.found.update(projects(posixpath.join(directory, child.path) for child in level.tree if child.type == "blob"))
        trees = (child for child in level.tree if child.type == "tree" and child.path.lower() not in NOT_PROJECTS)
        return [(posixpath.join(directory, child.path), child.sha) for child in trees]


async def _together(work: Iterable[Awaitable[list[tuple[str, str]]]]) -> list[list[tuple[str, str]]]:
    """Await all of them; the first that fails ends the others."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

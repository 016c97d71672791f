"""Commits with the submodules that dbt reads: repositories of our own GitHub server, at the commits that the tree names.

They are fetched as git packages are, with the same rules: the App has to see the repository, and the operator has to allow its use.
https://git-scm.com/docs/gitmodules
"""

from __future__ import annotations

import posixpath
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from app.core.errors import FreshetError, UnavailableError
from app.core.models.extractions import CommitFacts
from app.core.models.github import Repository
from app.core.yaml_text import is_below
from app.github.git.packages import GitPackages
from app.packages.git_urls import parse_git_url
from app.pipeline.ports import Sources, SourceTree, TarStream
from app.project.checkout import FILE_MODES, SUBMODULE_MODE, UNKNOWN_SIZE, Entry
from app.project.read_files import Member

MODULES = ".gitmodules"
MAX_MODULES_BYTES = 64 << 10
MAX_SUBMODULES = 10
"""Of one commit."""


@dataclass(frozen=True, slots=True)
class _Part:
    """The tree of a repository, and where its files are: `""` for the commit itself."""

    prefix: str
    tree: SourceTree
    full_name: str


class TreeWithSubmodules:
    """Implements `app.pipeline.ports.SourceTree`."""

    def __init__(self, tree: SourceTree, repository: Repository, packages: GitPackages, stack: AsyncExitStack) -> None:
        self.sha = tree.sha
        self.entries: Sequence[Entry] = tree.entries
        self._repository, self._packages, self._stack = repository, packages, stack
        self._parts = [_Part("", tree, repository.full_name)]
        self._owners: dict[str, SourceTree] = {}

    @property
    def fetched_bytes(self) -> int:
        """Of the commit itself."""
        return self._parts[0].tree.fetched_bytes

    async def sizes(self, oids: Sequence[str]) -> Mapping[str, int]:
        """See `SourceTree`."""
        return {oid: size for tree, own in self._by_tree(oids) for oid, size in (await tree.sizes(own)).items()}

    async def read(self, oids: Sequence[str]) -> Mapping[str, bytes]:
        """See `SourceTree`."""
        return {oid: content for tree, own in self._by_tree(oids) for oid, content in (await tree.read(own)).items()}

    def members(self, members: Sequence[Member]) -> TarStream:
        """See `SourceTree`."""
        return self._members(members)

    async def commit_facts(self) -> CommitFacts | None:
        """Of the commit itself."""
        return await self._parts[0].tree.commit_facts()

    async def fetch_submodules(self, paths: Sequence[str]) -> Mapping[str, str]:
        """See `SourceTree`."""
        return {path: await self._fetch(path) for path in paths}

    async def _members(self, members: Sequence[Member]) -> AsyncIterator[bytes]:
        trees = {id(part.tree): part.tree for part in self._parts}
        own: dict[int, list[Member]] = {}
        for member in members:
            own.setdefault(id(self._owner(member.oid)), []).append(member)
        for key, some in own.items():
            async for chunk in trees[key].members(some):
                yield chunk

    def _owner(self, oid: str) -> SourceTree:
        return self._owners.get(oid, self._parts[0].tree)

    def _by_tree(self, oids: Sequence[str]) -> list[tuple[SourceTree, list[str]]]:
        found: dict[int, tuple[SourceTree, list[str]]] = {}
        for oid in oids:
            tree = self._owner(oid)
            found.setdefault(id(tree), (tree, []))[1].append(oid)
        return list(found.values())

    async def _fetch(self, path: str) -> str:
        if len(self._parts) > MAX_SUBMODULES:
            return f"is one of more than {MAX_SUBMODULES} git submodules"
        around = max((part for part in self._parts if is_below(path, part.prefix)), key=lambda part: len(part.prefix))
        commit = next((entry.oid for entry in self.entries if entry.path == path and entry.mode == SUBMODULE_MODE), None)
        url = (await self._modules(around)).get(posixpath.relpath(path, around.prefix or "."))
        if commit is None or url is None:
            return f"is a git submodule without an address in `{MODULES}`"
        try:
            full_name = self._full_name(url, around.full_name)
            if full_name is None:
                return "is a git submodule from another server, which Freshet does not fetch"
            tree = await self._stack.enter_async_context(self._packages.open_package(full_name, commit, self._repository))
        except UnavailableError:
            raise
        except FreshetError as error:
            return f"is a git submodule that cannot be fetched: {error.reason.rstrip('.')}"
        self._add(_Part(path, tree, full_name))
        return ""

    def _add(self, part: _Part) -> None:
        known = {entry.oid for entry in self.entries}
        self._parts.append(part)
        self._owners |= dict.fromkeys((entry.oid for entry in part.tree.entries if entry.oid not in known), part.tree)
        inside = [replace(entry, path=posixpath.join(part.prefix, entry.path)) for entry in part.tree.entries]
        self.entries = [*(entry for entry in self.entries if entry.path != part.prefix), *inside]

    def _full_name(self, url: str, around: str) -> str | None:
        """`OWNER/NAME` on our GitHub server. Raises RejectedAddressError."""
        if url.startswith(("./", "../")):
            parts = posixpath.normpath(posixpath.join(f"/{around}.git", url)).strip("/").removesuffix(".git").split("/")
            return "/".join(parts) if len(parts) == len(around.split("/")) else None
        return parse_git_url(url, self._packages.server_url, (), "fetching a submodule").full_name

    async def _modules(self, part: _Part) -> Mapping[str, str]:
        """The addresses of a repository's submodules by path."""
        entry = next((entry for entry in part.tree.entries if entry.path == MODULES and entry.mode in FILE_MODES), None)
        if entry is None:
            return {}
        size = (await part.tree.sizes([entry.oid]))[entry.oid] if entry.size == UNKNOWN_SIZE else entry.size
        return {} if size > MAX_MODULES_BYTES else parse_modules((await part.tree.read([entry.oid]))[entry.oid])


@dataclass(frozen=True, slots=True)
class SubmoduleSources:
    """Adds submodules to `sources` (`pipeline.ports.Sources`)."""

    sources: Sources
    packages: GitPackages

    @asynccontextmanager
    async def open(self, repository: Repository, sha: str, ref: str = "") -> AsyncIterator[SourceTree]:
        """Open a commit. Its submodules are fetched when they are asked for."""
        async with self.sources.open(repository, sha, ref) as tree, AsyncExitStack() as stack:
            yield TreeWithSubmodules(tree, repository, self.packages, stack)


def parse_modules(text: bytes) -> dict[str, str]:
    r"""Addresses by path.

    >>> parse_modules(b'[submodule "a"]\n\tpath = libs/a\n\turl = ../a.git\n')
    {'libs/a': '../a.git'}
    """
    found: dict[str, str] = {}
    section: dict[str, str] = {}
    for line in [*text.decode(errors="replace").splitlines(), "["]:
        if line.lstrip().startswith("["):
            if {"path", "url"} <= section.keys():
                found[section["path"].rstrip("/")] = section["url"]
            section = {}
        else:
            name, _, value = line.partition("=")
            section[name.strip().lower()] = value.strip().strip('"')
    return found

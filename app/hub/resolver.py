"""From what a project asks for to the packages that are installed: the waves of `dbt/deps/resolver.py`, without running anything."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from app.deps.addresses import shown
from app.deps.packages import Asked, Place, Reader, Spec, SpecError, folder, project_name
from app.deps.pins import HubVersion, Key, Listing, UnobtainableError, Wanted, choose
from app.errors import FreshetError, UnavailableError
from app.hub.cache import Stored
from app.hub.parallel import each
from app.hub.registry import Registry
from app.hub.trees import Trees
from app.jobs import Repository
from app.remarks import Remark
from app.texts import join

MAX_PACKAGES = 200
AT_ONCE = 4
"""Requests of one resolution: a slow host that one project names does not hold up another project."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """A package as it will be installed. One of `found` (on the hub), `tree` and `directory` (of the repository) is there."""

    wanted: Wanted
    name: str
    version: str
    pinned: bool
    """True when asking again another day cannot give another one."""
    asked: Asked = field(default_factory=Asked)
    found: HubVersion | None = None
    tree: Stored | None = None
    directory: str | None = None


@dataclass(slots=True)
class Resolution:
    """What came of it. `away` is the first thing that may be there again later."""

    targets: list[Target] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    away: UnavailableError | None = None


class Resolver:
    """Resolves the packages of one project of one commit."""

    def __init__(self, registry: Registry, trees: Trees, reader: Reader, asking: Repository, dbt_version: str) -> None:
        self._registry = registry
        self._trees = trees
        self._reader = reader
        self._asking = asking
        self._dbt_version = dbt_version
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._outcomes: dict[object, object] = {}
        self._failed: dict[Key, FreshetError | UnobtainableError] = {}
        self._remarks: dict[Remark, None] = {}

    async def resolve(self, asked: Asked, texts: Mapping[str, bytes], project: Project, *, nested: bool = True) -> Resolution:
        """Resolve what is asked for, without what packages ask for in turn unless `nested` (a lock file has it all)."""
        final = Listing()
        pending: Sequence[Spec] = asked.specs
        seen: set[tuple[Key, str]] = set()
        while pending:
            wave = Listing()
            for spec in pending:
                wave.add(spec)
            if len(final) + len(wave) > MAX_PACKAGES:
                return Resolution(remarks=[_too_many(pending[0])])
            await each(wave, lambda wanted: self._look(wanted, texts, project))
            pending = []
            for merged in self._merge(final, wave):
                target = await self._look(merged, texts, project)
                if nested and target is not None and (merged.key, target.version) not in seen:
                    seen.add((merged.key, target.version))
                    self._remarks.update(dict.fromkeys(target.asked.remarks))
                    pending = [*pending, *target.asked.specs]
        return await self._finish(final, texts, project)

    def _merge(self, final: Listing, wave: Listing) -> list[Wanted]:
        merged: dict[Key, Wanted] = {}
        for wanted in wave:
            for spec in wanted.specs:
                merged[wanted.key] = final.add(spec)
        return list(merged.values())

    async def _finish(self, final: Listing, texts: Mapping[str, bytes], project: Project) -> Resolution:
        # Ranges may have become narrower since a package was first looked at.
        self._failed.clear()
        found = await each(final, lambda wanted: self._install(wanted, texts, project))
        result = Resolution([target for target in found if target is not None], list(self._remarks))
        for wanted in final:
            error = self._failed.get(wanted.key)
            if isinstance(error, UnavailableError):
                result.away = result.away or error
            elif error is not None:
                result.remarks.append(remark(wanted, error))
        result.remarks.extend(_duplicates(result.targets, project.name))
        return result

    async def _install(self, wanted: Wanted, texts: Mapping[str, bytes], project: Project) -> Target | None:
        """Look once more, and have the files."""
        target = await self._look(wanted, texts, project)
        if target is None or target.found is None:
            return target
        found = target.found

        async def fetch() -> Target:
            async with self._slots:
                tree = await self._trees.hub(self._asking, wanted.first.address, found)
            if "dbt_project.yml" not in await self._trees.texts(tree):
                raise UnobtainableError("What was fetched has no `dbt_project.yml`, so it is no dbt package.", "Ask for another version.")
            return Target(wanted, target.name, target.version, target.pinned, found=found, tree=tree)

        return await self._noted(wanted, fetch)

    async def _look(self, wanted: Wanted, texts: Mapping[str, bytes], project: Project) -> Target | None:
        """Return what a package is as far as it is asked for now; None when it cannot be had, which is noted."""
        if wanted.first.kind == "hub":
            return await self._noted(wanted, lambda: self._hub(wanted))
        if wanted.first.kind == "git":
            return await self._noted(wanted, lambda: self._git(wanted))
        if wanted.first.kind == "tarball":
            return await self._noted(wanted, lambda: self._tarball(wanted))
        return await self._noted(wanted, lambda: self._local(wanted, texts, project))

    async def _noted(self, wanted: Wanted, make: Callable[[], Awaitable[Target]]) -> Target | None:
        try:
            return await make()
        except SpecError as error:
            self._failed[wanted.key] = UnobtainableError(f"It cannot be used: {error}.")
        except (FreshetError, UnobtainableError) as error:
            self._failed[wanted.key] = error
        return None

    async def _once(self, key: object, make: Callable[[], Awaitable[T]]) -> T:
        """Ask once per resolution: also what failed is not asked for again."""
        if key not in self._outcomes:
            try:
                async with self._slots:
                    self._outcomes[key] = await make()
            except (FreshetError, UnobtainableError) as error:
                self._outcomes[key] = error
        outcome = self._outcomes[key]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[return-value] # what `make` gave for this key

    async def _hub(self, wanted: Wanted) -> Target:
        name = wanted.first.address
        package = await self._once(("hub", name), lambda: self._registry.package(name))
        found = choose(wanted, package, self._dbt_version)
        place = self._inside(wanted, f"{name} {found.version.text}")
        asked = self._reader.items(found.packages, [place] * len(found.packages), None)
        return Target(wanted, folder(found.name), found.version.text, wanted.range().exact, asked, found=found)

    async def _git(self, wanted: Wanted) -> Target:
        revision, first = wanted.revision(), wanted.first
        fixed = any(spec.fixed for spec in wanted.specs)
        make = lambda: self._trees.git(self._asking, first.address, revision, first.subdirectory, fixed=fixed)  # noqa: E731 - one line
        tree = await self._once((*wanted.key, revision), make)
        return await self._from_tree(wanted, tree, fixed=fixed)

    async def _tarball(self, wanted: Wanted) -> Target:
        tree = await self._once(wanted.key, lambda: self._trees.tarball(self._asking, wanted.first.address))
        return await self._from_tree(wanted, tree, fixed=False)

    async def _from_tree(self, wanted: Wanted, tree: Stored, *, fixed: bool) -> Target:
        texts = await self._once(("texts", tree.digest), lambda: self._trees.texts(tree))
        name = project_name(texts.get("dbt_project.yml"))
        # In a thread: what strangers write may be long.
        asked = await asyncio.to_thread(self._reader.project, texts, "", self._inside(wanted, label(wanted)))
        return Target(wanted, wanted.first.name or name, tree.digest, fixed, asked, tree=tree)

    async def _local(self, wanted: Wanted, texts: Mapping[str, bytes], project: Project) -> Target:
        spec = wanted.first
        # dbt looks from the root project only; people who write it as seen from the package mean the same.
        paths = [join(base, spec.address) for base in dict.fromkeys((project.directory, spec.base))]
        directory = next((path for path in paths if path is not None and posixpath.join(path, "dbt_project.yml") in texts), None)
        if directory is None:
            if paths[0] is None:
                raise UnobtainableError("The directory is outside of the repository.", "Commit the package to the repository.")
            reason = f"There is no `{posixpath.join(paths[0], 'dbt_project.yml')}` in the repository."
            raise UnobtainableError(reason, "dbt takes the path as seen from the project that is run.")
        name = project_name(texts.get(posixpath.join(directory, "dbt_project.yml")))
        asked = await asyncio.to_thread(self._reader.project, texts, directory)
        return Target(wanted, name, directory, pinned=True, asked=asked, directory=directory)

    def _inside(self, wanted: Wanted, name: str) -> Place:
        """Return the place of what a package asks for: that of the package itself, which is what its owners can change."""
        place = wanted.first.place
        return Place(f"the package {name}", place.path, place.line)


@dataclass(frozen=True, slots=True)
class Project:
    """The project whose packages are resolved."""

    directory: str
    name: str | None


def label(wanted: Wanted) -> str:
    """Return the name of a package for people."""
    spec = wanted.first
    address = shown(spec.address) if spec.kind in {"git", "tarball"} else spec.address
    return f"{address}/{spec.subdirectory}" if spec.subdirectory else address


def remark(wanted: Wanted, error: FreshetError | UnobtainableError) -> Remark:
    """Return what is said of a package that cannot be had, where it is asked for."""
    reason = error.reason if isinstance(error, UnobtainableError) else _sentence(error.reason)
    place = wanted.first.place
    message = f"`{label(wanted)}`, which {place.asker} asks for, cannot be had. {reason} {error.next_step}"
    return Remark("failure", f"Package {label(wanted)} cannot be had", message.strip(), place.path, place.line)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _duplicates(targets: Sequence[Target], project_name: str | None) -> list[Remark]:
    """Return remarks on packages that dbt could not tell apart."""
    owners: dict[str, Target] = {}
    found = []
    for target in targets:
        other = owners.setdefault(target.name, target)
        if target.name == project_name:
            reason = f"It has the name of the project itself, `{target.name}`: dbt cannot tell them apart."
        elif other is not target:
            reason = f"It has the same name, `{target.name}`, as the package `{label(other.wanted)}`: dbt takes one of them."
        else:
            continue
        step = "Take one of them out, or give both the same address with `packages:` in `.github/freshet.yml`."
        found.append(remark(target.wanted, UnobtainableError(reason, step)))
    return found


def _too_many(spec: Spec) -> Remark:
    message = f"More than {MAX_PACKAGES} packages are asked for, those included that packages ask for in turn."
    return Remark("failure", "Too many packages", message, spec.place.path, spec.place.line)

"""Resolves a project's package list into the packages to install, as `dbt/deps/resolver.py` does, without running any of their code."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from app.core.egress.addresses import shown
from app.core.errors import FreshetError, UnavailableError
from app.core.models.annotations import Annotation
from app.core.models.github import Repository
from app.core.yaml_text import join
from app.packages.fetch.cache import CachedFile
from app.packages.fetch.parallel import map_concurrently
from app.packages.fetch.registry import Registry
from app.packages.fetch.sources import PackageFetcher
from app.packages.package_lists import PackageList, PackageListReader, project_name
from app.packages.pins import HubVersion, PackageKey, PackageSet, RequestedPackage, UnusablePackageError, choose_version
from app.packages.specs import PackageSpec, SpecError, SpecLocation, package_name

MAX_PACKAGES = 200
MAX_REQUESTS = 5_000
"""Entries in the lists of the project and its packages: each may ask for the same package in another way."""
AT_ONCE = 4
"""Concurrent requests per resolution: a slow host in one project does not delay another project."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ResolvedPackage:
    """A package as it will be installed: from the hub, from `tree` (git or a tarball), or from `directory` of the repository."""

    requested: RequestedPackage
    name: str
    version: str
    """Of the hub, a digest of the content, or the directory: equal means nothing changed."""
    pinned: bool
    """True when another resolution later must give the same."""
    dependencies: PackageList = field(default_factory=PackageList)
    hub_version: HubVersion | None = None
    tree: CachedFile | None = None
    directory: str | None = None


@dataclass(slots=True)
class Resolution:
    """Resolved packages, annotations on those that cannot be installed, and the first temporary error."""

    packages: list[ResolvedPackage] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    temporary: UnavailableError | None = None


class Resolver:
    """Resolves the packages of one project at one commit of `repository`, from answers that are not older than `since`."""

    def __init__(
        self,
        registry: Registry,
        fetcher: PackageFetcher,
        reader: PackageListReader,
        repository: Repository,
        dbt_version: str,
        since: float,
    ) -> None:
        self._registry = registry
        self._fetcher = fetcher
        self._reader = reader
        self._repository = repository
        self._dbt_version = dbt_version
        self._since = since
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._outcomes: dict[object, object] = {}
        self._failed: dict[PackageKey, FreshetError | UnusablePackageError] = {}
        self._annotations: dict[Annotation, None] = {}

    async def resolve(self, packages: PackageList, texts: Mapping[str, bytes], project: RootProject, *, nested: bool = True) -> Resolution:
        """Resolve a list, with the packages' own dependencies if `nested` (a lock file already contains them)."""
        final = PackageSet()
        pending: Sequence[PackageSpec] = packages.specs
        seen: set[tuple[PackageKey, str]] = set()
        while pending:
            wave = PackageSet()
            for spec in pending:
                wave.add(spec)
            if len(final) + len(wave) > MAX_PACKAGES or final.requests + wave.requests > MAX_REQUESTS:
                return Resolution(annotations=[_too_many(pending[0])])
            await map_concurrently(wave, lambda requested: self._resolve_one(requested, texts, project))
            pending = []
            for merged in self._merge(final, wave):
                package = await self._resolve_one(merged, texts, project)
                if nested and package is not None and (merged.key, package.version) not in seen:
                    seen.add((merged.key, package.version))
                    self._annotations.update(dict.fromkeys(package.dependencies.annotations))
                    pending = [*pending, *package.dependencies.specs]
        return await self._finish(final, texts, project)

    def _merge(self, final: PackageSet, wave: PackageSet) -> list[RequestedPackage]:
        merged: dict[PackageKey, RequestedPackage] = {}
        for requested in wave:
            for spec in requested.specs:
                merged[requested.key] = final.add(spec)
        return list(merged.values())

    async def _finish(self, final: PackageSet, texts: Mapping[str, bytes], project: RootProject) -> Resolution:
        # Ranges may have become narrower since a package was first resolved.
        self._failed.clear()
        fetched = await map_concurrently(final, lambda requested: self._fetch(requested, texts, project))
        result = Resolution([package for package in fetched if package is not None], list(self._annotations))
        for requested in final:
            error = self._failed.get(requested.key)
            if isinstance(error, UnavailableError):
                result.temporary = result.temporary or error
            elif error is not None:
                result.annotations.append(annotation_for(requested, error))
        result.annotations.extend(_duplicates(result.packages, project.name))
        return result

    async def _fetch(self, requested: RequestedPackage, texts: Mapping[str, bytes], project: RootProject) -> ResolvedPackage | None:
        """Resolve again with all requests known, and fetch the files of a hub package."""
        package = await self._resolve_one(requested, texts, project)
        if package is None or package.hub_version is None:
            return package
        version = package.hub_version

        async def fetch() -> ResolvedPackage:
            async with self._slots:
                tree = await self._fetcher.hub(self._repository, requested.first.address, version)
            if "dbt_project.yml" not in await self._fetcher.config_files(tree):
                raise UnusablePackageError("is not a dbt package: it has no `dbt_project.yml`", "Request another version.")
            return ResolvedPackage(requested, package.name, package.version, package.pinned, hub_version=version, tree=tree)

        return await self._or_failed(requested, fetch)

    async def _resolve_one(self, requested: RequestedPackage, texts: Mapping[str, bytes], project: RootProject) -> ResolvedPackage | None:
        """Resolve a package from the requests so far; None when that fails, with the error in `_failed`."""
        if (
            directory := next((project.committed[spec.address] for spec in requested.specs if spec.address in project.committed), None)
        ) is not None:
            return await self._or_failed(requested, lambda: self._from_directory(requested, directory, texts))
        if requested.first.kind == "hub":
            return await self._or_failed(requested, lambda: self._hub(requested))
        if requested.first.kind == "git":
            return await self._or_failed(requested, lambda: self._git(requested))
        if requested.first.kind == "tarball":
            return await self._or_failed(requested, lambda: self._tarball(requested))
        return await self._or_failed(requested, lambda: self._local(requested, texts, project))

    async def _or_failed(self, requested: RequestedPackage, make: Callable[[], Awaitable[ResolvedPackage]]) -> ResolvedPackage | None:
        try:
            return await make()
        except SpecError as error:
            self._failed[requested.key] = UnusablePackageError(f"cannot be used: {error}")
        except (FreshetError, UnusablePackageError) as error:
            self._failed[requested.key] = error
        return None

    async def _once(self, key: object, make: Callable[[], Awaitable[T]]) -> T:
        """Call `make` once per resolution and key; errors are remembered too."""
        if key not in self._outcomes:
            try:
                async with self._slots:
                    self._outcomes[key] = await make()
            except (FreshetError, UnusablePackageError) as error:
                self._outcomes[key] = error
        outcome = self._outcomes[key]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[return-value] # what `make` returned for this key

    async def _hub(self, requested: RequestedPackage) -> ResolvedPackage:
        name = requested.first.address
        package = await self._once(("hub", name), lambda: self._registry.package(name, self._since))
        chosen = choose_version(requested, package, self._dbt_version)
        location = self._within(requested, f"{name} {chosen.version.text}")
        dependencies = self._reader.read_items(chosen.packages, [location] * len(chosen.packages), None)
        pinned = requested.range().exact
        return ResolvedPackage(requested, package_name(chosen.name), chosen.version.text, pinned, dependencies, hub_version=chosen)

    async def _git(self, requested: RequestedPackage) -> ResolvedPackage:
        revision, first = requested.revision(), requested.first
        pinned = any(spec.pinned for spec in requested.specs)
        make = lambda: self._fetcher.git(self._repository, first.address, revision, first.subdirectory)  # noqa: E731 - one line
        tree = await self._once((*requested.key, revision), make)
        return await self._from_tree(requested, tree, pinned=pinned)

    async def _tarball(self, requested: RequestedPackage) -> ResolvedPackage:
        tree = await self._once(requested.key, lambda: self._fetcher.tarball(self._repository, requested.first.address, self._since))
        return await self._from_tree(requested, tree, pinned=False)

    async def _from_tree(self, requested: RequestedPackage, tree: CachedFile, *, pinned: bool) -> ResolvedPackage:
        texts = await self._once(("texts", tree.digest), lambda: self._fetcher.config_files(tree))
        name = project_name(texts.get("dbt_project.yml"))
        # In a thread: untrusted text may be long.
        dependencies = await asyncio.to_thread(self._reader.read_project, texts, "", self._within(requested, label(requested)))
        return ResolvedPackage(requested, requested.first.name or name, tree.digest, pinned, dependencies, tree=tree)

    async def _local(self, requested: RequestedPackage, texts: Mapping[str, bytes], project: RootProject) -> ResolvedPackage:
        spec = requested.first
        # dbt resolves the path from the root project only; people also write it relative to the package.
        paths = [join(base, spec.address) for base in dict.fromkeys((project.directory, spec.base))]
        directory = next((path for path in paths if path is not None and posixpath.join(path, "dbt_project.yml") in texts), None)
        if directory is None:
            if paths[0] is None:
                raise UnusablePackageError("is outside of the repository", "Commit the package to the repository.")
            if (missing := next((part for part in project.unfetched if f"{paths[0]}/".startswith(f"{part}/")), None)) is not None:
                step = "Request it by its `git:` address and a `revision` instead of `local:`, or commit its files."
                raise UnusablePackageError(f"is not in the commit: `{missing}` {project.unfetched[missing]}", step)
            reason = f"was not found: the repository has no `{posixpath.join(paths[0], 'dbt_project.yml')}`"
            raise UnusablePackageError(reason, "Write the path relative to the root project's directory.")
        return await self._from_directory(requested, directory, texts)

    async def _from_directory(self, requested: RequestedPackage, directory: str, texts: Mapping[str, bytes]) -> ResolvedPackage:
        name = project_name(texts.get(posixpath.join(directory, "dbt_project.yml")))
        dependencies = await asyncio.to_thread(self._reader.read_project, texts, directory)
        return ResolvedPackage(requested, name, directory, pinned=True, dependencies=dependencies, directory=directory)

    def _within(self, requested: RequestedPackage, name: str) -> SpecLocation:
        """Where a package's dependencies are reported: at the request for the package, the line that the project's owners can change."""
        location = requested.first.location
        return SpecLocation(location.path, location.line, name)


@dataclass(frozen=True, slots=True)
class RootProject:
    """The project whose packages are resolved; `name` is None when `dbt_project.yml` has none."""

    directory: str
    name: str | None
    committed: Mapping[str, str] = field(default_factory=dict)
    unfetched: Mapping[str, str] = field(default_factory=dict)
    """See `PackageRequest`."""


def label(requested: RequestedPackage) -> str:
    """A package's name for people, without credentials."""
    spec = requested.first
    address = shown(spec.address) if spec.kind in {"git", "tarball"} else spec.address
    return f"{address}/{spec.subdirectory}" if spec.subdirectory else address


def annotation_for(requested: RequestedPackage, error: FreshetError | UnusablePackageError) -> Annotation:
    """Say why a package cannot be installed, at the line that requests it."""
    location = requested.first.location
    subject = f"Package `{label(requested)}`"
    if isinstance(error, UnusablePackageError):
        parts = [f"{subject} {error.reason} ({location}).", error.details, error.next_step]
    else:
        parts = [f"{subject} could not be fetched ({location}): {error.reason.rstrip('.')}.", error.next_step]
    message = " ".join(part for part in parts if part)
    return Annotation("failure", f"Package {label(requested)} cannot be installed", message, location.path, location.line)


def _duplicates(packages: Sequence[ResolvedPackage], project_name: str | None) -> list[Annotation]:
    """Annotations on packages that dbt cannot tell apart."""
    first: dict[str, ResolvedPackage] = {}
    annotations = []
    for package in packages:
        other = first.setdefault(package.name, package)
        if package.name == project_name:
            reason = f"has the same name as the project, `{package.name}`"
        elif other is not package:
            reason = f"has the same name as the package `{label(other.requested)}`, `{package.name}`"
        else:
            continue
        step = "Remove one of them, or give both the same address under `packages:` in `.github/freshet.yml`."
        error = UnusablePackageError(reason, step, details="dbt cannot tell them apart.")
        annotations.append(annotation_for(package.requested, error))
    return annotations


def _too_many(spec: PackageSpec) -> Annotation:
    message = f"The project and its packages request more than {MAX_PACKAGES} packages, or list more than {MAX_REQUESTS:,} entries."
    return Annotation("failure", "Too many packages", message, spec.location.path, spec.location.line)

"""Which version of each package is installed: dbt's own choice among the versions that meet all requirements.

`PackageSet` merges requests for the same package (`dbt/deps/resolver.py` of dbt-core); `choose_version` picks one of the hub's versions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.core.yaml_text import listed
from app.packages.specs import RULE_STEP, PackageSpec
from app.packages.versions import NoCommonVersionError, Range, Version, intersection, newest, oldest_first, parse_version, satisfies
from app.project.runner_images import newest_buildable

MAX_NAMED = 5
"""Versions that a message names."""


class UnusablePackageError(Exception):
    """A package cannot be installed, and trying again does not help.

    `reason` continues "Package `x` …" ("was not found on the package hub"); `details` and `next_step` are full sentences.
    """

    def __init__(self, reason: str, next_step: str = RULE_STEP, *, details: str = "") -> None:
        super().__init__(f"{reason}. {details}".removesuffix(". "))
        self.reason = reason
        self.details = details
        self.next_step = next_step


PackageKey = tuple[str, str, str]


@dataclass(slots=True)
class RequestedPackage:
    """One package and all requests for it, in the order in which they were found."""

    key: PackageKey
    specs: dict[PackageSpec, None]
    """Each once."""

    @property
    def first(self) -> PackageSpec:
        """The first request: it decides what the others leave open."""
        return next(iter(self.specs))

    def revision(self) -> str | None:
        """The requested git revision. Raises UnusablePackageError when there are two."""
        revisions = {spec.revision: spec for spec in self.specs if spec.revision is not None}
        if len(revisions) > 1:
            requests = ", ".join(f"`{revision}` by {spec.location.requester}" for revision, spec in revisions.items())
            raise UnusablePackageError(f"is requested at different revisions: {requests}", "Request the same revision everywhere.")
        return next(iter(revisions), None)

    def range(self) -> Range:
        """The versions that meet all requirements. Raises UnusablePackageError when there are none."""
        try:
            return intersection([version for spec in self.specs for version in spec.versions])
        except NoCommonVersionError:
            reason, details = "has conflicting version requirements", f"{self.requirements()}."
            raise UnusablePackageError(reason, "Widen one of these ranges.", details=details) from None

    def requirements(self) -> str:
        """For people: "`packages.yml` requires >=1.0.0, <2.0.0; the package a/b 1.0.0 requires 1.2.0"."""
        ranges = dict.fromkeys((", ".join(map(str, spec.versions)), spec.location.requester) for spec in self.specs)
        text = "; ".join(f"{requester} requires {versions}" for versions, requester in ranges)
        return text[:1].upper() + text[1:]


class PackageSet:
    """Requested packages, each once, in the order in which they were added."""

    def __init__(self) -> None:
        self._packages: dict[PackageKey, RequestedPackage] = {}

    def add(self, spec: PackageSpec) -> RequestedPackage:
        """Add a request, merged with earlier ones for the same package."""
        key = key_of(spec)
        requested = self._packages.setdefault(key, RequestedPackage(key, {}))
        requested.specs.setdefault(spec)
        return requested

    def __iter__(self) -> Iterator[RequestedPackage]:
        """Iterate over a copy: packages may be added meanwhile."""
        return iter(list(self._packages.values()))

    @property
    def requests(self) -> int:
        """Count requests, not packages."""
        return sum(len(requested.specs) for requested in self._packages.values())

    def __len__(self) -> int:
        """Count packages, not requests."""
        return len(self._packages)


def key_of(spec: PackageSpec) -> PackageKey:
    """Equal for two requests of the same package: `.git` at the end of an address makes no difference."""
    if spec.kind == "git":
        return "git", spec.address.removesuffix("/").removesuffix(".git"), spec.subdirectory or ""
    return spec.kind, spec.address, spec.base if spec.kind == "local" else ""


@dataclass(frozen=True, slots=True)
class HubVersion:
    """A version as the hub describes it."""

    version: Version
    name: str
    packages: tuple[object, ...]
    requires: tuple[str, ...]
    """Ranges of dbt versions."""
    url: str
    sha1: str
    """Empty when the hub does not say."""


@dataclass(frozen=True, slots=True)
class HubPackage:
    """A package as the hub describes it; `moved_to` is its new name if it was renamed."""

    versions: Mapping[str, HubVersion]
    moved_to: str | None = None


def parse_hub_package(name: str, answer: object) -> HubPackage:
    """Parse the hub's JSON for a package. Raises ValueError when it is something else."""
    if not isinstance(answer, dict) or not isinstance(answer.get("versions"), dict):
        message = "the response does not describe a package"
        raise ValueError(message)  # noqa: TRY004 - the response is wrong, not our argument
    parsed = (_hub_version(text, facts) for text, facts in answer["versions"].items())
    versions = {version.version.text: version for version in parsed if version is not None}
    namespace, _, short = name.partition("/")
    moved = f"{answer.get('redirectnamespace') or namespace}/{answer.get('redirectname') or short}"
    return HubPackage(versions, moved if moved != name else None)


def choose_version(requested: RequestedPackage, package: HubPackage, dbt_version: str) -> HubVersion:
    """Choose as dbt does: the highest version that meets all requirements and supports our dbt. Raises UnusablePackageError."""
    allowed = requested.range()
    dbt = parse_version(dbt_version)
    supported = [version for version in package.versions.values() if _supports(version, dbt)]
    with_prereleases = requested.first.prereleases or any(version.prerelease for spec in requested.specs for version in spec.versions)
    installable = [hub.version for hub in supported if with_prereleases or not hub.version.prerelease]
    highest = newest(installable, allowed)
    if highest is not None:
        return package.versions[highest.text]
    raise _no_version(requested, allowed, package, dbt_version)


def _no_version(requested: RequestedPackage, allowed: Range, package: HubPackage, dbt_version: str) -> UnusablePackageError:
    available = oldest_first(hub.version for hub in package.versions.values())
    newest_versions = ", ".join(version.text for version in reversed(available[-MAX_NAMED:])) or "none"
    moved = f" The package is now called {package.moved_to}." if package.moved_to else ""
    details = f"{requested.requirements()}. Newest versions: {newest_versions}.{moved}"
    matching = [version for version in available if satisfies(version, (allowed.start, allowed.end))]
    if not matching:
        return UnusablePackageError("has no version that meets all requirements", "Request one of these.", details=details)
    best = package.versions[matching[-1].text]
    if best.requires and not _supports(best, parse_version(dbt_version)):
        reason = f"has no version for dbt {dbt_version} that meets all requirements"
        minor = newest_buildable(best.requires)
        other = f', or set `dbt_version: "{minor}"` in `.github/freshet.yml`' if minor else ""
        step = f"Request another version of it{other}."
        details = f"{requested.requirements()}; {best.version} requires dbt {', '.join(best.requires)}.{moved}"
        return UnusablePackageError(reason, step, details=details)
    reason = "has only pre-releases that meet all requirements"
    return UnusablePackageError(reason, "Add `install_prerelease: true` to its entry to allow them.", details=details)


def _hub_version(text: str, facts: Any) -> HubVersion | None:
    """None for a version that dbt could not install either."""
    try:
        version = parse_version(text)
        name, url = facts["name"], facts["downloads"]["tarball"]
        sha1 = facts["downloads"].get("sha1") or ""
        requires = tuple(str(part) for part in listed(facts.get("require_dbt_version")))
        packages = tuple(listed(facts.get("packages")))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return HubVersion(version, str(name), packages, requires, str(url), str(sha1).lower())


def _supports(hub: HubVersion, dbt: Version) -> bool:
    try:
        return satisfies(dbt, [parse_version(text) for text in hub.requires])
    except ValueError:
        return False

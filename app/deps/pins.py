"""Which version of each package is installed: dbt's own choice among what everybody allows who asks for it.

Pure: `Listing` brings together what is asked for (`dbt/deps/resolver.py` of dbt-core), `choose` picks a version of what the hub has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.deps import ranges
from app.deps.packages import RULE_STEP, Spec
from app.texts import listed

MAX_NAMED = 5
"""Versions that a message names."""


class UnobtainableError(Exception):
    """A package cannot be had: `reason` (what and why, full sentences) and `next_step`."""

    def __init__(self, reason: str, next_step: str = RULE_STEP) -> None:
        super().__init__(reason)
        self.reason = reason
        self.next_step = next_step


Key = tuple[str, str, str]


@dataclass(slots=True)
class Wanted:
    """One package with all who ask for it, first to last."""

    key: Key
    specs: list[Spec]

    @property
    def first(self) -> Spec:
        """The spec that was there first: it decides what the others do not say."""
        return self.specs[0]

    def revision(self) -> str | None:
        """Return the git revision that is asked for. Raises UnobtainableError when there are two."""
        asked = {spec.revision: spec for spec in self.specs if spec.revision is not None}
        if len(asked) > 1:
            who = ", ".join(f"`{revision}` ({spec.place.asker})" for revision, spec in asked.items())
            reason = f"It is asked for at several revisions: {who}. dbt takes one only."
            raise UnobtainableError(reason, "Ask for the same revision everywhere.")
        return next(iter(asked), None)

    def range(self) -> ranges.Range:
        """Return the versions that all allow. Raises UnobtainableError."""
        try:
            return ranges.reduce([version for spec in self.specs for version in spec.versions])
        except ranges.NoRangeError:
            reason = f"No version is allowed by all who ask for it: {self.askers()}."
            raise UnobtainableError(reason, "Widen one of these ranges.") from None

    def askers(self) -> str:
        """Return who asks for which versions, for people."""
        asked = dict.fromkeys((", ".join(map(str, spec.versions)), spec.place.asker) for spec in self.specs)
        return "; ".join(f"{who} asks for {versions}" for versions, who in asked)


class Listing:
    """What is asked for, one `Wanted` per package, in the order in which they came."""

    def __init__(self) -> None:
        self._wanted: dict[Key, Wanted] = {}

    def add(self, spec: Spec) -> Wanted:
        """Add one to those who ask for the same package; `.git` at the end of an address makes no difference."""
        key = key_of(spec)
        wanted = self._wanted.setdefault(key, Wanted(key, []))
        if spec not in wanted.specs:
            wanted.specs.append(spec)
        return wanted

    def __iter__(self) -> Iterator[Wanted]:
        """Go through the packages."""
        return iter(list(self._wanted.values()))

    def __len__(self) -> int:
        """Return how many packages there are."""
        return len(self._wanted)


def key_of(spec: Spec) -> Key:
    """Return what two specs of the same package have in common."""
    if spec.kind == "git":
        return "git", spec.address.removesuffix("/").removesuffix(".git"), spec.subdirectory or ""
    return spec.kind, spec.address, spec.base if spec.kind == "local" else ""


@dataclass(frozen=True, slots=True)
class HubVersion:
    """A version as the hub describes it."""

    version: ranges.Version
    name: str
    packages: tuple[object, ...]
    requires: tuple[str, ...]
    url: str
    sha1: str
    """Empty when the hub does not say."""


@dataclass(frozen=True, slots=True)
class HubPackage:
    """A package as the hub describes it: `moved_to` is its name now, when it was renamed."""

    versions: Mapping[str, HubVersion]
    moved_to: str | None = None


def read_hub(name: str, answer: object) -> HubPackage:
    """Read the hub's answer about a package. Raises ValueError when it is none."""
    if not isinstance(answer, dict) or not isinstance(answer.get("versions"), dict):
        message = "the answer is not the description of a package"
        raise ValueError(message)  # noqa: TRY004 - what came is wrong, not what we passed
    found = (_hub_version(text, facts) for text, facts in answer["versions"].items())
    versions = {version.version.text: version for version in found if version is not None}
    space, _, short = name.partition("/")
    moved = f"{answer.get('redirectnamespace') or space}/{answer.get('redirectname') or short}"
    return HubPackage(versions, moved if moved != name else None)


def choose(wanted: Wanted, package: HubPackage, dbt_version: str) -> HubVersion:
    """Return the version that dbt installs: the highest that all allow and that admits our dbt. Raises UnobtainableError."""
    allowed = wanted.range()
    dbt = ranges.parse(dbt_version)
    admitted = [found for found in package.versions.values() if _admits(found, dbt)]
    with_prereleases = wanted.first.prereleases or any(version.prerelease for spec in wanted.specs for version in spec.versions)
    installable = [found.version for found in admitted if with_prereleases or not found.version.prerelease]
    newest = ranges.newest(installable, allowed)
    if newest is not None:
        return package.versions[newest.text]
    raise UnobtainableError(*_why(wanted, allowed, package, dbt_version))


def _why(wanted: Wanted, allowed: ranges.Range, package: HubPackage, dbt_version: str) -> tuple[str, str]:
    known = ranges.ascending(found.version for found in package.versions.values())
    newest = ", ".join(version.text for version in reversed(known[-MAX_NAMED:])) or "none"
    moved = f" It is called {package.moved_to} now." if package.moved_to else ""
    fitting = [version for version in known if ranges.satisfies(version, (allowed.start, allowed.end))]
    if not fitting:
        reason = f"The hub has no version that fits: {wanted.askers()}; the newest there are: {newest}.{moved}"
        return reason, "Ask for one of these."
    best = package.versions[fitting[-1].text]
    if best.requires and not _admits(best, ranges.parse(dbt_version)):
        wants = ", ".join(best.requires)
        reason = f"Of the versions that fit ({wanted.askers()}) none is for dbt {dbt_version}: {best.version} wants {wants}.{moved}"
        return reason, "Ask for another version, or for another dbt with `dbt_version:` in `.github/freshet.yml`."
    reason = f"Only pre-releases fit: {wanted.askers()}; the newest there are: {newest}.{moved}"
    return reason, "Write `install_prerelease: true` beside the version to have one."


def _hub_version(text: str, facts: Any) -> HubVersion | None:
    """Return None for one that dbt could not install either."""
    try:
        version = ranges.parse(text)
        name, url = facts["name"], facts["downloads"]["tarball"]
        sha1 = facts["downloads"].get("sha1") or ""
        requires = tuple(str(part) for part in listed(facts.get("require_dbt_version")))
        packages = tuple(listed(facts.get("packages")))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return HubVersion(version, str(name), packages, requires, str(url), str(sha1).lower())


def _admits(found: HubVersion, dbt: ranges.Version) -> bool:
    try:
        return ranges.satisfies(dbt, [ranges.parse(text) for text in found.requires])
    except ValueError:
        return False

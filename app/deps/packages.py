"""What a dbt project writes about the packages it wants: `packages.yml` or `dependencies.yml`, `package-lock.yml`, and our own rules.

Pure: from texts to `Spec`s, each with the place where it stands, and remarks on those that cannot be read. The meaning is dbt's:
https://docs.getdbt.com/docs/build/packages and `dbt/contracts/project.py`, `dbt/config/project.py` of dbt-core.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import yaml

from app.deps import ranges
from app.deps.expressions import ExpressionError, Values, without_user
from app.deps.lockfile import lock_hashes
from app.remarks import Remark
from app.settings import PackageRule
from app.texts import UNREADABLE, NotYamlError, compose, listed, load

Kind = Literal["hub", "git", "local", "tarball"]
FILES = ("packages.yml", "dependencies.yml")
LOCK = "package-lock.yml"
KINDS = ("local", "tarball", "git", "private", "package")
"""The keys that say where a package comes from, in the order in which dbt looks for them."""
MAX_SPECS = 500
MAX_ADDRESS = 2048

_HUB_NAME = re.compile(r"[A-Za-z0-9_][\w.-]{0,99}/[A-Za-z0-9_][\w.-]{0,99}", re.ASCII)
_FULL_NAME = re.compile(r"(?!\.{1,2}/)[\w.-]+/(?!\.{1,2}$)[\w.-]+", re.ASCII)
_FOLDER = re.compile(r"(?!\.)[\w.-]{1,200}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


class SpecError(ValueError):
    """An entry cannot be used; the text goes after "the package `x`:"."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a package is asked for: `path` is in the repository; `asker` is for people, `packages.yml` or another package."""

    asker: str
    path: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """One package that somebody asks for."""

    kind: Kind
    address: str
    """A name on the hub, a git address, a path as it was written, or the URL of a tarball."""
    place: Place
    versions: tuple[ranges.Version, ...] = ()
    prereleases: bool = False
    revision: str | None = None
    subdirectory: str | None = None
    name: str | None = None
    """Of a tarball: the directory it goes to."""
    base: str = ""
    """Of a local one: the directory of the repository that it is asked for in."""

    @property
    def fixed(self) -> bool:
        """True when a git revision is one commit for ever."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None


@dataclass(frozen=True, slots=True)
class Asked:
    """What one file asks for."""

    specs: tuple[Spec, ...] = ()
    skipped: tuple[str, ...] = ()
    """Addresses that our rules leave out."""
    remarks: tuple[Remark, ...] = ()
    hashes: frozenset[str] = frozenset()
    """What a lock file made from this says in `sha1_hash`."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads what packages ask for, with the values and rules of one project. `server_url` is our GitHub's."""

    values: Values = field(default_factory=Values)
    rules: tuple[PackageRule, ...] = ()
    server_url: str = "https://github.com"

    def project(self, texts: Mapping[str, bytes], directory: str, place: Place | None = None) -> Asked:
        """Read the files of the project or package at `directory`; `place` is that of a package whose files are not in the repository."""
        paths = {name: posixpath.join(directory, name) for name in FILES}
        found = {name: _items(texts.get(path)) for name, path in paths.items()}
        remarks = [_unreadable(paths[name], items, place) for name, items in found.items() if isinstance(items, NotYamlError)]
        held = {name: items for name, items in found.items() if isinstance(items, list)}
        if len(held) > 1:
            reason = "`packages` stands in `packages.yml` and in `dependencies.yml`. dbt takes one of them: move all of it to one file."
            return Asked(
                remarks=(*remarks, Remark("failure", "Packages are asked for in two files", reason, *_at(place, paths["packages.yml"], 1)))
            )
        if not held:
            return Asked(remarks=tuple(remarks))
        ((name, items),) = held.items()
        # dbt evaluates no expression in the project's own dependencies.yml.
        values = None if name == "dependencies.yml" and place is None else self.values
        places = [place or Place(f"`{paths[name]}`", paths[name], line) for _, line in items]
        asked = self.items([item for item, _ in items], places, values, directory)
        return replace(asked, remarks=(*remarks, *asked.remarks))

    def items(self, items: Sequence[object], places: Sequence[Place], values: Values | None, directory: str = "") -> Asked:
        """Read the entries of a `packages` list. Without `values` expressions are refused."""
        specs: list[Spec] = []
        skipped: list[str] = []
        remarks: list[Remark] = []
        rendered: list[Any] = []
        for item, place in zip(items[:MAX_SPECS], places, strict=False):
            try:
                raw = _rendered(item, values)
                rendered.append(raw)
                spec = self._spec(raw, place, directory)
            except (ExpressionError, ValueError) as error:
                remarks.append(_unusable(item, place, error))
                continue
            rule = self._rule(spec, item)
            if rule is not None and rule.skip:
                skipped.append(spec.address)
            else:
                specs.append(self._ruled(spec, rule))
        return Asked(tuple(specs), tuple(skipped), tuple(remarks), lock_hashes(rendered, items))

    def lock(self, text: bytes | None, asked: Asked, path: str) -> Asked | None:
        """Read a lock file that was made from what is asked for; None when it was not."""
        loaded = load(text)
        if loaded is UNREADABLE or not isinstance(loaded, dict) or loaded.get("sha1_hash") not in asked.hashes:
            return None
        known = {_key(spec.address): spec.place for spec in asked.specs}
        items = listed(loaded.get("packages"))
        places = [known.get(_key(_written(item)), Place(f"`{path}`", path, None)) for item in items]
        locked = self.items(items, places, self.values, posixpath.dirname(path))
        return None if locked.remarks else replace(locked, skipped=asked.skipped)

    def _spec(self, raw: dict[str, Any], place: Place, directory: str) -> Spec:
        kind = next((key for key in KINDS if key in raw), None)
        if kind is None:
            raise SpecError("it says none of `package`, `git`, `local`, `tarball` and `private`")
        address = raw[kind]
        if not isinstance(address, str) or not address.strip() or len(address) > MAX_ADDRESS or not address.isprintable():
            raise SpecError(f"`{kind}` is not a text that can be an address")
        if kind == "package":
            return _hub_spec(address, raw, place)
        if kind == "local":
            return Spec("local", address, place, base=directory)
        if kind == "tarball":
            return Spec("tarball", address, place, name=folder(raw.get("name")))
        if kind == "private":
            address = self._private(address, raw.get("provider"))
        return Spec("git", without_user(address), place, revision=_revision(raw), subdirectory=_subdirectory(raw))

    def _private(self, name: str, provider: object) -> str:
        if provider not in {None, "github"}:
            raise SpecError(f"its provider is {provider!r}, we only reach GitHub. {RULE_STEP}")
        if not _FULL_NAME.fullmatch(name):
            raise SpecError("`private` is not OWNER/NAME of a repository")
        return self._repository(name)

    def _repository(self, address: str) -> str:
        return f"{self.server_url.rstrip('/')}/{address}.git" if _FULL_NAME.fullmatch(address) else address

    def _rule(self, spec: Spec, item: object) -> PackageRule | None:
        names = {_key(spec.address), _key(_written(item))}
        return next(
            (rule for rule in self.rules if spec.kind != "local" and names & {_key(rule.address), _key(self._repository(rule.address))}),
            None,
        )

    def _ruled(self, spec: Spec, rule: PackageRule | None) -> Spec:
        if rule is None or not rule.use:
            return spec
        return replace(spec, kind="git", address=without_user(self._repository(rule.use)), versions=(), name=None)


RULE_STEP = "A rule under `packages:` in `.github/freshet.yml` can give another address or leave it out; or commit the installed packages."


def folder(name: object) -> str:
    """Return the name of a directory for a package. Raises SpecError."""
    if not isinstance(name, str) or not _FOLDER.fullmatch(name):
        raise SpecError(f"its `name` is {name!r}, which is not the name of a package")
    return name


def project_name(text: bytes | None) -> str:
    """Return the name that a package's `dbt_project.yml` gives. Raises SpecError."""
    loaded = load(text)
    if text is None:
        raise SpecError("it has no `dbt_project.yml`")
    if not isinstance(loaded, dict):
        raise SpecError("its `dbt_project.yml` cannot be read")
    return folder(loaded.get("name"))


def _items(text: bytes | None) -> list[tuple[Any, int]] | NotYamlError | None:
    """Return the entries under `packages` with their lines, None when there is no such key."""
    try:
        node = compose(text) if text else None
    except NotYamlError as error:
        return error
    loaded = load(text)
    if not isinstance(loaded, dict) or "packages" not in loaded or not isinstance(node, yaml.MappingNode):
        return NotYamlError("cannot be read") if loaded is UNREADABLE else None
    values = listed(loaded["packages"])
    lines = list(_lines(node))
    return [(value, lines[index] if index < len(lines) else 1) for index, value in enumerate(values)]


def _lines(node: yaml.MappingNode) -> Iterator[int]:
    for key, value in node.value:
        if key.value == "packages":
            parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
            yield from (part.start_mark.line + 1 for part in parts)


def _rendered(item: object, values: Values | None) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise SpecError("it is not a mapping like `package: dbt-labs/dbt_utils`")
    raw = {str(key).replace("install-prerelease", "install_prerelease"): value for key, value in item.items() if key != "unrendered"}
    if values is not None:
        git = raw.get("git")
        try:
            return {key: values.of(value) for key, value in raw.items()}
        except ExpressionError:
            if not isinstance(git, str) or without_user(git) == git:
                raise
        return {key: values.of(value) for key, value in {**raw, "git": without_user(git)}.items()}
    if "{{" in str(raw):
        raise SpecError("dbt evaluates no expression here: write the value out, or use `packages.yml`")
    return raw


def _hub_spec(name: str, raw: dict[str, Any], place: Place) -> Spec:
    if not _HUB_NAME.fullmatch(name):
        raise SpecError("a package of the hub is named NAMESPACE/NAME, like dbt-labs/dbt_utils")
    versions = [str(version) for version in listed(raw.get("version"))]
    if not versions:
        raise SpecError("its `version` is missing")
    return Spec("hub", name, place, tuple(ranges.parse(version) for version in versions), prereleases=raw.get("install_prerelease") is True)


def _revision(raw: dict[str, Any]) -> str | None:
    revision = raw.get("revision")
    if revision is None or revision == "HEAD":
        return None
    if isinstance(revision, bool) or not isinstance(revision, str | int | float):
        raise SpecError("its `revision` is not a text")
    return str(revision)


def _subdirectory(raw: dict[str, Any]) -> str | None:
    subdirectory = raw.get("subdirectory")
    if subdirectory is None or subdirectory == "":
        return None
    path = posixpath.normpath(str(subdirectory))
    if path.startswith(("/", "..")) or not path.isprintable():
        raise SpecError("its `subdirectory` leaves the repository")
    return None if path == "." else path


def _written(item: object) -> str:
    return str(next((item[key] for key in KINDS if key in item), "")) if isinstance(item, dict) else ""


def _key(address: str) -> str:
    return without_user(address).rstrip("/").removesuffix(".git")


def _at(place: Place | None, path: str, line: int | None) -> tuple[str | None, int | None]:
    return (path, line) if place is None else (place.path, place.line)


def _unreadable(path: str, error: NotYamlError, place: Place | None) -> Remark:
    whose = "" if place is None else f" of {place.asker}"
    return Remark("failure", "The list of packages cannot be read", f"`{path}`{whose} {error.reason}.", *_at(place, path, error.line))


def _unusable(item: object, place: Place, error: ExpressionError | ValueError) -> Remark:
    address = without_user(_written(item)) or "without an address"
    if isinstance(error, ExpressionError):
        message = f"{place.asker} asks for `{address}`, in which `{error.expression}` cannot be evaluated: {error.reason}."
    else:
        message = f"{place.asker} asks for the package `{address}`: {error}."
    return Remark("failure", f"Package {address} cannot be read", message, place.path, place.line)

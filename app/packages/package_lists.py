"""The packages that a dbt project lists: `packages.yml` or `dependencies.yml`, `package-lock.yml`, and the rules in `.github/freshet.yml`.

Parses texts into `PackageSpec`s with their locations, and into annotations for invalid entries. Follows dbt:
https://docs.getdbt.com/docs/build/packages, `dbt/contracts/project.py` and `dbt/config/project.py` of dbt-core.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import itemgetter
from typing import Any

import yaml

from app.core.models.annotations import Annotation
from app.core.yaml_text import UNREADABLE, NotYamlError, compose, listed, load
from app.packages.lockfile import lock_hashes
from app.packages.specs import RULE_STEP, PackageSpec, SpecError, SpecLocation, package_name
from app.packages.versions import parse_version
from app.project.expressions import ExpressionError, Values, strip_credentials
from app.project.repository_settings import PackageRule

FILES = ("packages.yml", "dependencies.yml")
LOCK = "package-lock.yml"
KINDS = ("local", "tarball", "git", "private", "package")
"""The keys that name a package's origin, in the order in which dbt checks them."""
MAX_SPECS = 500
MAX_ADDRESS = 2048

_HUB_NAME = re.compile(r"[A-Za-z0-9_][\w.-]{0,99}/[A-Za-z0-9_][\w.-]{0,99}", re.ASCII)
_STEP = "Correct the entry."
_FULL_NAME = re.compile(r"(?!\.{1,2}/)[\w.-]+/(?!\.{1,2}$)[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class PackageList:
    """The packages that one file lists."""

    specs: tuple[PackageSpec, ...] = ()
    skipped: tuple[str, ...] = ()
    """Addresses that a rule skips."""
    annotations: tuple[Annotation, ...] = ()
    """On entries that cannot be used."""
    hashes: frozenset[str] = frozenset()
    """Valid values of `sha1_hash` in a lock file made from this list."""


@dataclass(frozen=True)
class PackageListReader:
    """Reads package lists with the values and rules of one project. `server_url` is that of our GitHub server."""

    values: Values = field(default_factory=Values)
    rules: tuple[PackageRule, ...] = ()
    server_url: str = "https://github.com"

    def read_project(self, texts: Mapping[str, bytes], directory: str, location: SpecLocation | None = None) -> PackageList:
        """Read the files of the project or package at `directory`; `location` is given for a package that is not in the repository."""
        paths = {name: posixpath.join(directory, name) for name in FILES}
        lists = {name: _items(texts.get(path)) for name, path in paths.items()}
        annotations = [_unreadable(paths[name], items, location) for name, items in lists.items() if isinstance(items, NotYamlError)]
        present = {name: items for name, items in lists.items() if isinstance(items, list)}
        if len(present) > 1:
            reason = "`packages` is set in `packages.yml` and in `dependencies.yml`, but dbt uses only one. Move all entries to one file."
            twice = Annotation("failure", "Packages are listed in two files", reason, *_at(location, paths["packages.yml"], 1))
            return PackageList(annotations=(*annotations, twice))
        if not present:
            return PackageList(annotations=tuple(annotations))
        ((name, items),) = present.items()
        # dbt evaluates no expressions in the project's own dependencies.yml.
        values = None if name == "dependencies.yml" and location is None else self.values
        locations = [location or SpecLocation(paths[name], line) for _, line in items]
        packages = self.read_items([item for item, _ in items], locations, values, directory)
        return replace(packages, annotations=(*annotations, *packages.annotations))

    def read_items(
        self, items: Sequence[object], locations: Sequence[SpecLocation], values: Values | None, directory: str = ""
    ) -> PackageList:
        """Read the entries of a `packages` list. Without `values`, expressions are invalid."""
        specs: list[PackageSpec] = []
        skipped: list[str] = []
        annotations: list[Annotation] = []
        rendered: list[Any] = []
        for item, location in zip(items[:MAX_SPECS], locations, strict=False):
            try:
                raw = _rendered(item, values)
                rendered.append(raw)
                spec = self._spec(raw, location, directory)
            except (ExpressionError, ValueError) as error:
                annotations.append(_unusable(item, location, error))
                continue
            rule = self._rule(spec, item)
            if rule is not None and rule.skip:
                skipped.append(spec.address)
            else:
                specs.append(self._with_rule(spec, rule))
        return PackageList(tuple(specs), tuple(skipped), tuple(annotations), lock_hashes(rendered, items))

    def read_lock(self, text: bytes | None, packages: PackageList, path: str) -> PackageList | None:
        """Read a lock file; None unless it was made from `packages`."""
        loaded = load(text)
        if loaded is UNREADABLE or not isinstance(loaded, dict) or loaded.get("sha1_hash") not in packages.hashes:
            return None
        requested_at = {_key(spec.address): spec.location for spec in packages.specs}
        items = listed(loaded.get("packages"))
        locations = [requested_at.get(_key(_address(item)), SpecLocation(path)) for item in items]
        locked = self.read_items(items, locations, self.values, posixpath.dirname(path))
        return None if locked.annotations else replace(locked, skipped=packages.skipped)

    def _spec(self, raw: dict[str, Any], location: SpecLocation, directory: str) -> PackageSpec:
        kind = next((key for key in KINDS if key in raw), None)
        if kind is None:
            raise SpecError("it has none of `package`, `git`, `local`, `tarball` and `private`")
        address = raw[kind]
        if not isinstance(address, str) or not address.strip() or len(address) > MAX_ADDRESS or not address.isprintable():
            raise SpecError(f"`{kind}` is not a text that can be an address")
        if kind == "package":
            return _hub_spec(address, raw, location)
        if kind == "local":
            return PackageSpec("local", address, location, base=directory)
        if kind == "tarball":
            return PackageSpec("tarball", address, location, name=package_name(raw.get("name")))
        if kind == "private":
            address = self._private(address, raw.get("provider"))
        return PackageSpec("git", strip_credentials(address), location, revision=_revision(raw), subdirectory=_subdirectory(raw))

    def _private(self, name: str, provider: object) -> str:
        if provider not in {None, "github"}:
            raise SpecError(f"its provider is {provider!r}, but Freshet supports only `github`. {RULE_STEP.removesuffix('.')}")
        if not _FULL_NAME.fullmatch(name):
            raise SpecError("`private` is not a repository's OWNER/NAME")
        return self._repository(name)

    def _repository(self, address: str) -> str:
        return f"{self.server_url.rstrip('/')}/{address}.git" if _FULL_NAME.fullmatch(address) else address

    def _rule(self, spec: PackageSpec, item: object) -> PackageRule | None:
        if spec.kind == "local":
            return None
        # In the order of the rules: the first one that fits counts.
        return min(
            (self._numbered[name] for name in (_key(spec.address), _key(_address(item))) if name in self._numbered),
            default=(0, None),
            key=itemgetter(0),
        )[1]

    @cached_property
    def _numbered(self) -> dict[str, tuple[int, PackageRule]]:
        """The rules and their numbers by the addresses they are for."""
        found: dict[str, tuple[int, PackageRule]] = {}
        for number, rule in enumerate(self.rules):
            for name in (_key(rule.address), _key(self._repository(rule.address))):
                found.setdefault(name, (number, rule))
        return found

    def _with_rule(self, spec: PackageSpec, rule: PackageRule | None) -> PackageSpec:
        if rule is None or not rule.use:
            return spec
        return replace(spec, kind="git", address=strip_credentials(self._repository(rule.use)), versions=(), name=None)


def project_name(text: bytes | None) -> str:
    """The `name` in a package's `dbt_project.yml`. Raises SpecError."""
    loaded = load(text)
    if text is None:
        raise SpecError("it has no `dbt_project.yml`")
    if not isinstance(loaded, dict):
        raise SpecError("its `dbt_project.yml` cannot be read")
    return package_name(loaded.get("name"))


def _items(text: bytes | None) -> list[tuple[Any, int]] | NotYamlError | None:
    """The entries under `packages` with their lines, None without that key."""
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
        raise SpecError("the entry is not a mapping like `package: dbt-labs/dbt_utils`")
    raw = {str(key).replace("install-prerelease", "install_prerelease"): value for key, value in item.items() if key != "unrendered"}
    if values is not None:
        git = raw.get("git")
        try:
            return {key: values.evaluate(value) for key, value in raw.items()}
        except ExpressionError:
            if not isinstance(git, str) or strip_credentials(git) == git:
                raise
        return {key: values.evaluate(value) for key, value in {**raw, "git": strip_credentials(git)}.items()}
    if "{{" in str(raw):
        raise SpecError("dbt evaluates no expressions here: write the value itself, or use `packages.yml`")
    return raw


def _hub_spec(name: str, raw: dict[str, Any], location: SpecLocation) -> PackageSpec:
    if not _HUB_NAME.fullmatch(name):
        raise SpecError("packages on the hub are named NAMESPACE/NAME, like dbt-labs/dbt_utils")
    versions = [str(version) for version in listed(raw.get("version"))]
    if not versions:
        raise SpecError("its `version` is missing")
    return PackageSpec(
        "hub", name, location, tuple(parse_version(version) for version in versions), prereleases=raw.get("install_prerelease") is True
    )


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


def _address(item: object) -> str:
    return str(next((item[key] for key in KINDS if key in item), "")) if isinstance(item, dict) else ""


def _key(address: str) -> str:
    return strip_credentials(address).rstrip("/").removesuffix(".git")


def _at(location: SpecLocation | None, path: str, line: int | None) -> tuple[str | None, int | None]:
    return (path, line) if location is None else (location.path, location.line)


def _unreadable(path: str, error: NotYamlError, location: SpecLocation | None) -> Annotation:
    owner = "" if location is None else f" of {location.requester}"
    message = f"`{path}`{owner} {error.reason}. Correct the file."
    return Annotation("failure", "The package list cannot be read", message, *_at(location, path, error.line))


def _unusable(item: object, location: SpecLocation, error: ExpressionError | ValueError) -> Annotation:
    address = strip_credentials(_address(item))
    subject = f"Package `{address}`" if address else "A package"
    if isinstance(error, ExpressionError):
        message = f"{subject} ({location}): `{error.expression}` cannot be evaluated: {error.reason.rstrip('.')}."
    else:
        message = f"{subject} cannot be used ({location}): {str(error).rstrip('.')}. {_STEP}"
    title = f"Package {address} is not valid" if address else "A package entry is not valid"
    return Annotation("failure", title, message, location.path, location.line)

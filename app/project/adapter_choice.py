"""Infers the adapter and target of a project, with the evidence. Of a `profiles.yml`, only names are used (`warehouse_names`).

Evidence is considered in this order, and within each step by its distance from the project, tests and examples last:

1. `.github/freshet.yml`
2. the profile that the project names, in a file of profiles (`profiles.yml`, `profiles.yml.example`, `sample.profiles.yml`, …)
3. a file of profiles beside or above the project that has one adapter only, whatever its profiles are called
4. lists of Python packages: requirements, `pyproject.toml`, Pipfile, lock files, `environment.yml`, Dockerfile, …
5. CI files and settings of tools: workflows, pre-commit, compose files, sqlfluff, …
6. any other file of profiles
7. names of the project's packages, and configs in its `dbt_project.yml`
8. configs and SQL in the project's files
9. macros for one adapter, such as `snowflake__days`
10. the default: DuckDB

If a step names several adapters, the next steps narrow them down, and finally the order of `adapters`.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import Any

from app.core.models.warehouse import UNKNOWN, WarehouseNames
from app.core.yaml_text import UNREADABLE, is_below, listed, load, mapping
from app.project import adapter_evidence, warehouse_names
from app.project.adapter_evidence import canonical_type, literal_or_default
from app.project.adapters import DEFAULT, preference
from app.project.directory_names import distance, is_installed, reason_by_name
from app.project.package_files import PACKAGE_FILES, PROJECT_FILE, package_specs
from app.project.repository_settings import PATH, ProjectSettings

DEFAULT_TARGET = "dev"
PROFILES_FILES = ("profiles.yml", "profiles.yaml")

Texts = Mapping[str, bytes]
Clue = Mapping[str, str]
"""The adapters that a piece of evidence points to, each with the phrase that describes it."""

_BY_SETTING = f", the target from `{PATH}`"
_GUESS = (
    ", but which target of the profile `{}` is used is not in the repository, so this one is a guess (`target:` in `" + PATH + "` sets it)"
)
_DIFFERS = "{{ target.name }}"
_NO_SUCH_OUTPUT = ", but the target `{}` is no output of the profile `{}`, so this one is a guess (`target:` in `" + PATH + "` sets it)"
_BLOCK = re.compile(r"^[^\S\n]*+\{[%#].*$", re.MULTILINE)
_BARE = re.compile(r"^([^\S\n]*+(?:- )?[\w-]++:[ \t]++)(?=[^\n]*\{\{)([^\s'\"][^\n]*+)$", re.MULTILINE)
_TYPE = re.compile(r"[a-z][a-z0-9_]{0,40}")


@dataclass(frozen=True, slots=True)
class AdapterChoice:
    """The adapter and target to parse for, and why."""

    adapter_type: str
    target: str
    evidence: str
    """Names the file, for a sentence: "`dbt-snowflake` in `requirements.txt`"."""
    names: WarehouseNames = UNKNOWN
    """Those of the target."""


def infer(project_dir: str, profile: str | None, texts: Texts, settings: ProjectSettings) -> AdapterChoice:
    """Return the adapter and target of a project, `texts` as for `lay_out`."""
    look = _look(project_dir, profile, texts, settings)
    adapter, evidence = _adapter(look, profile, settings)
    target, by = look.target(None if settings.adapter else adapter, settings.target)
    names = warehouse_names.names(adapter, look.output(adapter, target, settings.target), settings)
    return AdapterChoice(adapter, target, f"{evidence}{by}", names)


def _adapter(look: _Look, profile: str | None, settings: ProjectSettings) -> tuple[str, str]:
    """The adapter and its evidence."""
    if settings.adapter:
        return canonical_type(settings.adapter), f"`adapter` in `{PATH}`"
    clue = look.settled()
    if not clue:
        named = f"the profile `{profile}`" if profile else "a profile"
        return DEFAULT, f"the default, because nothing in the repository contains {named} or names an adapter"
    adapter = min(clue, key=preference)
    others = ", ".join(sorted({*clue} - {adapter}, key=preference)[:5])
    return adapter, f"{clue[adapter]}, one of several equally likely adapters (also {others})" if others else clue[adapter]


def is_settled(project_dir: str, profile: str | None, texts: Texts, settings: ProjectSettings) -> bool:
    """Whether `infer` can decide without reading SQL files."""
    return bool(settings.adapter) or len(_look(project_dir, profile, texts, settings).settled()) == 1


@dataclass(frozen=True, slots=True)
class _Profile:
    path: str
    name: str
    outputs: Mapping[str, str]
    """Adapter types by output name."""
    fields: Mapping[str, Mapping[str, Any]] = field(repr=False)
    """All fields by output name: they may hold secrets."""
    preferred: Sequence[str | None]
    """Output names, the most preferred first."""
    own: str | None
    """The output that dbt would use; None if that is a variable."""

    @property
    def target(self) -> str:
        """The output that is used."""
        return next((target for target in self.preferred if target in self.outputs), None) or next(iter(self.outputs))

    @property
    def phrase(self) -> str:
        return f"the profile `{self.name}` in `{self.path}`"


@dataclass(frozen=True, slots=True)
class _Look:
    project_dir: str
    texts: Texts
    named: Sequence[_Profile]
    """Profiles with the name that the project asks for, the nearest file first (as in the other lists)."""
    single: Sequence[_Profile]
    """All profiles of files beside or above the project that have one adapter only."""
    other: Sequence[_Profile]

    def settled(self) -> Clue:
        """Narrow the first clue down with the following ones, until one adapter is left or no clue is."""
        narrowed: Clue = {}
        for clue in self._clues():
            narrowed = _narrowed(narrowed, clue)
            if len(narrowed) == 1:
                return narrowed
        for paths in ([posixpath.join(self.project_dir, PROJECT_FILE)], sorted(path for path in self.texts if self._is_code(path))):
            scored = adapter_evidence.adapter_by_dialect(
                [(path, self.texts[path]) for path in paths if path in self.texts], narrowed.keys()
            )
            narrowed = _narrowed(narrowed, scored)
            if len(narrowed) == 1:
                return narrowed
        return _narrowed(
            narrowed, adapter_evidence.adapters_with_macros((path, text) for path, text in self.texts.items() if self._is_code(path))
        )

    def target(self, adapter: str | None, chosen: str | None) -> tuple[str, str]:
        """Return the target for `adapter` (None: for any), and how it was found, as the end of the evidence.

        It is `chosen` or that of the project's profile; profiles among tests or examples do not count.
        """
        if chosen:
            return chosen, _BY_SETTING
        profiles = self._profiles() if adapter else self._own()
        profile = next((profile for profile in profiles if adapter in {None, profile.outputs[profile.target]}), None)
        if profile is None:
            return DEFAULT_TARGET, ""
        if profile.own not in {None, "default", *profile.outputs}:
            return profile.target, _NO_SUCH_OUTPUT.format(profile.own, profile.name)
        sure = profile.target == profile.own or len(profile.outputs) == 1
        return profile.target, "" if sure else _GUESS.format(profile.name)

    def output(self, adapter: str, target: str, chosen: str | None) -> Mapping[str, Any] | None:
        """Return the fields of a target in the project's own profile, from a file that dbt itself would read, not from an example.

        If the target is a guess, fields in which it differs from another output are expressions that nobody can evaluate.
        """
        real = [profile for profile in self._own() if posixpath.basename(profile.path) in PROFILES_FILES]
        profile = next((profile for profile in real if profile.outputs.get(target) == adapter), None)
        if profile is None:
            return None
        if target in {chosen, profile.own}:
            return profile.fields[target]
        others = list(profile.fields.values())
        return {
            key: value if all(isinstance(other, Mapping) and other.get(key) == value for other in others) else _DIFFERS
            for key, value in profile.fields[target].items()
        }

    def _own(self) -> list[_Profile]:
        return [profile for profile in self.named if not distance(self.project_dir, profile.path)[0]]

    def _profiles(self) -> list[_Profile]:
        in_file = Counter(profile.path for profile in self.single)
        lone = [profile for profile in self.single if in_file[profile.path] == 1]
        return [*self._own(), *lone]

    def _clues(self) -> Iterator[Clue]:
        yield from self._by_nearness(self.named, lambda profile: [(profile.outputs[profile.target], profile.phrase)])
        yield from self._by_nearness(self.single, _any_output)
        yield from self._by_files(adapter_evidence.is_requirements, adapter_evidence.adapters_in_requirements, "`dbt-{}` in `{}`")
        yield from self._by_files(adapter_evidence.is_ci, adapter_evidence.adapters_in_ci, "`{}` in `{}`")
        yield from self._by_nearness(self.other, _any_output)
        yield self._packages()

    def _by_nearness(self, profiles: Sequence[_Profile], read: Callable[[_Profile], list[tuple[str, str]]]) -> Iterator[Clue]:
        """Yield one clue per distance, the nearest profiles first."""
        for _, equally_near in groupby(profiles, key=lambda profile: _nearness(self.project_dir, profile.path)):
            yield dict(reversed([pair for profile in equally_near for pair in read(profile)]))

    def _by_files(self, is_one: Callable[[str], bool], read: Callable[[bytes], set[str]], phrase: str) -> Iterator[Clue]:
        paths = sorted((distance(self.project_dir, path), path) for path in self.texts if is_one(path))
        for _, equally_near in groupby(paths, key=lambda pair: pair[0]):
            found = [(adapter, phrase.format(adapter, path)) for _, path in equally_near for adapter in sorted(read(self.texts[path]))]
            yield dict(reversed(found))

    def _packages(self) -> Clue:
        """From the names of packages, and of those in the search order of `dispatch`."""
        specs = package_specs(self.project_dir, self.texts)
        names = [value for spec in specs for key in ("package", "git", "private") if isinstance(value := spec.get(key), str)]
        config = mapping(self.texts.get(posixpath.join(self.project_dir, PROJECT_FILE)))
        orders = [spec.get("search_order") for spec in listed(config.get("dispatch")) if isinstance(spec, dict)]
        names += [name for order in orders for name in listed(order) if isinstance(name, str)]
        return {adapter: f"the package `{name}`" for name in reversed(names) for adapter in adapter_evidence.adapters_in_name(name)}

    def _is_code(self, path: str) -> bool:
        if not path.endswith((".sql", ".yml", ".yaml")) or not is_below(path, self.project_dir):
            return False
        if adapter_evidence.is_ci(path) or adapter_evidence.is_requirements(path) or adapter_evidence.is_profiles(path):
            return False
        below = posixpath.dirname(path[len(self.project_dir) :].lstrip("/"))
        return posixpath.basename(path) not in {PROJECT_FILE, *PACKAGE_FILES} and not (
            below and (is_installed(below) or reason_by_name(below))
        )


def _look(project_dir: str, profile: str | None, texts: Texts, settings: ProjectSettings) -> _Look:
    paths = sorted((path for path in texts if adapter_evidence.is_profiles(path)), key=lambda path: (_nearness(project_dir, path), path))
    files = [list(_profiles(path, texts[path], settings.target)) for path in paths]
    everything = [found for file in files for found in file]
    return _Look(
        project_dir,
        texts,
        named=[found for found in everything if found.name == profile],
        single=[found for file in files if len(_adapters(file)) == 1 and _is_around(project_dir, file[0].path) for found in file],
        other=everything,
    )


def _profiles(path: str, text: bytes, target: str | None) -> Iterator[_Profile]:
    """Yield the profiles of a YAML file. If it is invalid, Jinja blocks are removed and Jinja values quoted first."""
    loaded = load(text)
    if loaded is UNREADABLE:
        plain = _BLOCK.sub("", text.decode(errors="replace"))
        loaded = load(_BARE.sub(lambda match: match[1] + json.dumps(match[2]), plain).encode())
    for name, profile in loaded.items() if isinstance(loaded, dict) else ():
        outputs = profile.get("outputs") if isinstance(profile, dict) else None
        fields = {str(key): output for key, output in outputs.items()} if isinstance(outputs, dict) else {}
        adapters = {key: adapter for key, output in fields.items() if (adapter := _type(output))}
        if adapters:
            own = literal_or_default(profile.get("target"))
            said = "default" if profile.get("target") is None else None  # dbt's own default
            preferred = (target, own, None if own else "default", DEFAULT_TARGET)
            yield _Profile(path, str(name), adapters, fields, preferred, own or said)


def _type(output: object) -> str | None:
    adapter = canonical_type(literal_or_default(output.get("type")) or "") if isinstance(output, dict) else ""
    return adapter if _TYPE.fullmatch(adapter) else None


def _adapters(profiles: Sequence[_Profile]) -> set[str]:
    return {adapter for profile in profiles for adapter in profile.outputs.values()}


def _any_output(profile: _Profile) -> list[tuple[str, str]]:
    return [(adapter, profile.phrase) for adapter in profile.outputs.values()]


def _narrowed(clue: Clue, other: Clue) -> Clue:
    both = {adapter: f"{phrase} and {other[adapter]}" for adapter, phrase in clue.items() if adapter in other}
    return (both if 0 < len(both) < len(clue) else clue) if clue else other


@lru_cache(maxsize=1 << 10)
def _nearness(project_dir: str, path: str) -> tuple[bool, int, bool]:
    return (*distance(project_dir, path), posixpath.basename(path) != "profiles.yml")


def _is_around(project_dir: str, path: str) -> bool:
    """Whether a file is beside or above a project, or in a directory for profiles there."""
    directory, name = posixpath.split(posixpath.dirname(path))
    places = {posixpath.dirname(path), directory if name.lower() in {".dbt", "profile", "profiles", "ci"} else posixpath.dirname(path)}
    return any(is_below(project_dir + "/", place) for place in places)

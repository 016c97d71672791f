"""What a project is to be parsed for, and how we know. Of a profiles.yml only the structure is read, never what it connects with.

In this order, and within each step the nearest to the project first, with what is in tests and examples last:

1. `.github/freshet.yml`
2. the profile that the project names, in a file of profiles (`profiles.yml`, `profiles.yml.example`, `sample.profiles.yml`, …)
3. a file of profiles beside or above the project that knows one adapter only, under whatever name
4. files that say what is installed: requirements, `pyproject.toml`, Pipfile, lock files, `environment.yml`, Dockerfile, …
5. CI files and settings of tools: workflows, pre-commit, compose files, sqlfluff, …
6. any other file of profiles
7. names of the project's packages and configs in its `dbt_project.yml`
8. configs and SQL of the project's files
9. macros that the project has for one adapter, as `snowflake__days`
10. DuckDB

A step that speaks for several adapters is narrowed down by those after it, and then by `evidence.PREFERENCE`.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from app.inference import evidence
from app.inference.evidence import spelled, written
from app.inference.names import away, is_installed, kind
from app.inference.specs import PACKAGE_FILES, PROJECT_FILE, package_specs
from app.settings import PATH, ProjectSettings
from app.texts import UNREADABLE, is_below, listed, load, mapping

DEFAULT_ADAPTER = "duckdb"
DEFAULT_TARGET = "dev"

Texts = Mapping[str, bytes]
Clue = Mapping[str, str]
"""The adapters that something speaks for, each with the phrase that says what."""

_BLOCK = re.compile(r"^\s*\{[%#].*$", re.MULTILINE)
_BARE = re.compile(r"^(\s*(?:- )?[\w-]+:[ \t]+)([^\s'\"][^\n]*\{\{[^\n]*|\{\{[^\n]*)$", re.MULTILINE)
_TYPE = re.compile(r"[a-z][a-z0-9_]{0,40}")


@dataclass(frozen=True, slots=True)
class Warehouse:
    """What to parse for, and why we think so."""

    adapter_type: str
    target: str
    evidence: str
    """A phrase that names the file: "`dbt-snowflake` in `requirements.txt`"."""


def infer(project_dir: str, profile: str | None, texts: Texts, told: ProjectSettings) -> Warehouse:
    """Return what a project is for, `texts` as for `project.lay_out`. The module says by what evidence."""
    look = _look(project_dir, profile, texts, told)
    by = f", the target from `{PATH}`" if told.target else ""
    if told.adapter:
        return Warehouse(spelled(told.adapter), told.target or look.target() or DEFAULT_TARGET, f"`adapter` in `{PATH}`{by}")
    clue = look.settled()
    if not clue:
        named = f"the profile `{profile}`" if profile else "a profile"
        phrase = f"the default, as nothing in the repository holds {named} or names an adapter"
        return Warehouse(DEFAULT_ADAPTER, told.target or DEFAULT_TARGET, f"{phrase}{by}")
    adapter = min(clue, key=_preference)
    others = ", ".join(sorted({*clue} - {adapter}, key=_preference)[:5])
    phrase = f"{clue[adapter]}, one of several that are as likely (also {others})" if others else clue[adapter]
    return Warehouse(adapter, told.target or look.target(adapter) or DEFAULT_TARGET, f"{phrase}{by}")


def is_settled(project_dir: str, profile: str | None, texts: Texts, told: ProjectSettings) -> bool:
    """Tell whether `infer` needs no SQL to decide."""
    return bool(told.adapter) or len(_look(project_dir, profile, texts, told).settled()) == 1


@dataclass(frozen=True, slots=True)
class _Profile:
    path: str
    name: str
    outputs: Mapping[str, str]
    """The adapter by the name of the output."""
    wanted: Sequence[str | None]

    @property
    def target(self) -> str:
        """The output that is used."""
        return next((target for target in self.wanted if target in self.outputs), None) or next(iter(self.outputs))

    @property
    def phrase(self) -> str:
        return f"the profile `{self.name}` in `{self.path}`"


@dataclass(frozen=True, slots=True)
class _Look:
    project_dir: str
    texts: Texts
    named: Sequence[_Profile]
    """The profile that the project asks for, in each file that has it, the nearest first. So are the others."""
    single: Sequence[_Profile]
    """All of the files around the project that know one adapter only."""
    other: Sequence[_Profile]

    def settled(self) -> Clue:
        """Return the first clue, narrowed down by those after it to as few adapters as they agree upon."""
        narrowed: Clue = {}
        for clue in self._clues():
            narrowed = _narrowed(narrowed, clue)
            if len(narrowed) == 1:
                return narrowed
        for paths in ([posixpath.join(self.project_dir, PROJECT_FILE)], sorted(path for path in self.texts if self._is_code(path))):
            scored = evidence.scored([(path, self.texts[path]) for path in paths if path in self.texts], narrowed.keys())
            narrowed = _narrowed(narrowed, scored)
            if len(narrowed) == 1:
                return narrowed
        return _narrowed(narrowed, evidence.implemented((path, text) for path, text in self.texts.items() if self._is_code(path)))

    def target(self, adapter: str | None = None) -> str | None:
        """Return the target of the profile that a project for `adapter` (any when None) is run with: not the one of its tests."""
        lone = [profile for profile in self.single if sum(other.path == profile.path for other in self.single) == 1]
        own = [profile for profile in self.named if not away(self.project_dir, profile.path)[0]]
        profiles = [*own, *(lone if adapter else [])]
        return next((profile.target for profile in profiles if adapter in {None, profile.outputs[profile.target]}), None)

    def _clues(self) -> Iterator[Clue]:
        yield from self._by_nearness(self.named, lambda profile: [(profile.outputs[profile.target], profile.phrase)])
        yield from self._by_nearness(self.single, _any_output)
        yield from self._by_files(evidence.is_requirements, evidence.distributions, "`dbt-{}` in `{}`")
        yield from self._by_files(evidence.is_ci, evidence.commands, "`{}` in `{}`")
        yield from self._by_nearness(self.other, _any_output)
        yield self._packages()

    def _by_nearness(self, profiles: Sequence[_Profile], read: Callable[[_Profile], list[tuple[str, str]]]) -> Iterator[Clue]:
        """Yield what the nearest say together, then those that are farther away."""
        for _, equally_near in groupby(profiles, key=lambda profile: _nearness(self.project_dir, profile.path)):
            yield dict(reversed([pair for profile in equally_near for pair in read(profile)]))

    def _by_files(self, is_one: Callable[[str], bool], read: Callable[[bytes], set[str]], phrase: str) -> Iterator[Clue]:
        paths = sorted((away(self.project_dir, path), path) for path in self.texts if is_one(path))
        for _, equally_near in groupby(paths, key=lambda pair: pair[0]):
            found = [(adapter, phrase.format(adapter, path)) for _, path in equally_near for adapter in sorted(read(self.texts[path]))]
            yield dict(reversed(found))

    def _packages(self) -> Clue:
        """What packages and the macros that they dispatch to are called."""
        specs = package_specs(self.project_dir, self.texts)
        names = [value for spec in specs for key in ("package", "git", "private") if isinstance(value := spec.get(key), str)]
        config = mapping(self.texts.get(posixpath.join(self.project_dir, PROJECT_FILE)))
        orders = [spec.get("search_order") for spec in listed(config.get("dispatch")) if isinstance(spec, dict)]
        names += [name for order in orders for name in listed(order) if isinstance(name, str)]
        return {adapter: f"the package `{name}`" for name in reversed(names) for adapter in evidence.words(name)}

    def _is_code(self, path: str) -> bool:
        if not path.endswith((".sql", ".yml", ".yaml")) or not is_below(path, self.project_dir):
            return False
        if evidence.is_ci(path) or evidence.is_requirements(path) or evidence.is_profiles(path):
            return False
        below = posixpath.dirname(path[len(self.project_dir) :].lstrip("/"))
        return posixpath.basename(path) not in {PROJECT_FILE, *PACKAGE_FILES} and not (below and (is_installed(below) or kind(below)))


def _look(project_dir: str, profile: str | None, texts: Texts, told: ProjectSettings) -> _Look:
    paths = sorted((path for path in texts if evidence.is_profiles(path)), key=lambda path: (_nearness(project_dir, path), path))
    files = [list(_profiles(path, texts[path], told.target)) for path in paths]
    everything = [found for file in files for found in file]
    return _Look(
        project_dir,
        texts,
        named=[found for found in everything if found.name == profile],
        single=[found for file in files if len(_adapters(file)) == 1 and _is_around(project_dir, file[0].path) for found in file],
        other=everything,
    )


def _profiles(path: str, text: bytes, target: str | None) -> Iterator[_Profile]:
    """Yield the profiles of a file that is YAML, at least once its Jinja is taken for text."""
    loaded = load(text)
    if loaded is UNREADABLE:
        plain = _BLOCK.sub("", text.decode(errors="replace"))
        loaded = load(_BARE.sub(lambda match: match[1] + json.dumps(match[2]), plain).encode())
    for name, profile in loaded.items() if isinstance(loaded, dict) else ():
        outputs = profile.get("outputs") if isinstance(profile, dict) else None
        types = {str(key): _type(output) for key, output in outputs.items()} if isinstance(outputs, dict) else {}
        adapters = {key: adapter for key, adapter in types.items() if adapter}
        if adapters:
            own = written(profile.get("target"))
            yield _Profile(path, str(name), adapters, (target, own, None if own else "default", DEFAULT_TARGET))


def _type(output: object) -> str | None:
    adapter = spelled(written(output.get("type")) or "") if isinstance(output, dict) else ""
    return adapter if _TYPE.fullmatch(adapter) else None


def _adapters(profiles: Sequence[_Profile]) -> set[str]:
    return {adapter for profile in profiles for adapter in profile.outputs.values()}


def _any_output(profile: _Profile) -> list[tuple[str, str]]:
    return [(adapter, profile.phrase) for adapter in profile.outputs.values()]


def _narrowed(clue: Clue, other: Clue) -> Clue:
    both = {adapter: f"{phrase} and {other[adapter]}" for adapter, phrase in clue.items() if adapter in other}
    return (both if 0 < len(both) < len(clue) else clue) if clue else other


def _nearness(project_dir: str, path: str) -> tuple[bool, int, bool]:
    return (*away(project_dir, path), posixpath.basename(path) != "profiles.yml")


def _is_around(project_dir: str, path: str) -> bool:
    """Tell whether a file is beside or above a project, there also in a directory for profiles."""
    directory, name = posixpath.split(posixpath.dirname(path))
    places = {posixpath.dirname(path), directory if name.lower() in {".dbt", "profile", "profiles", "ci"} else posixpath.dirname(path)}
    return any(is_below(project_dir + "/", place) for place in places)


def _preference(adapter: str) -> tuple[int, str]:
    return (evidence.PREFERENCE.index(adapter) if adapter in evidence.PREFERENCE else len(evidence.PREFERENCE), adapter)

"""Finds the dbt projects of a commit, and says why other directories with a `dbt_project.yml` are left out.

Directory names are checked first. Installed packages, virtual environments and the like are skipped without a report; tests, fixtures,
templates, examples, experiments and old copies are left out with a reason, except an example that stands alone. File contents decide the
rest: local packages of another project, packages of macros, tests of the package around them, templates, copies. `.github/freshet.yml`
overrides all of this.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from app.core.errors import NoProjectError
from app.core.models.extractions import LeftOut
from app.core.plurals import count
from app.core.yaml_text import UNREADABLE, is_below, join, literal, load
from app.project import copies, repository_settings
from app.project.copies import nearest_first
from app.project.directories import Directories
from app.project.directory_names import (
    MAX_PATH_CHARACTERS,
    is_installed,
    is_project_if_alone,
    listing_step,
    printable,
    quoted,
    reason_by_name,
)
from app.project.macro_packages import DirectoryContents, is_macro_package
from app.project.package_files import PROJECT_FILE, local_packages
from app.project.repository_settings import RepositorySettings

MAX_PROJECTS = 200
"""The projects nearest to the root are taken; others must be listed in `.github/freshet.yml`."""
MAX_SHOWN = 10
MACROS_ONLY = "has macros only, so it is a package for other projects"

_MISSING = f"has no `{PROJECT_FILE}`"
_OLD = re.compile(r"(.+?)(?:_(?:old|bak|backup|copy|archived?|deprecated)|~)[_\d]*|copy_of_(.+)")
_NAME_LINE = re.compile(rb"^name[^\S\n]*+:([^\n#]*+)", re.MULTILINE)
_FILLED_IN_BY_DBT = re.compile(rb"\b(?:env_)?var\s*\(")
_KEY = re.compile(r"name|version|config-version|profile|require-dbt-version|vars|models|seeds|snapshots|sources|tests|flags|[a-z]+-paths?")

Texts = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class DiscoveredProjects:
    """The result for one commit."""

    projects: tuple[str, ...]
    """Directories, shallowest first, `""` being the root."""
    left_out: tuple[LeftOut, ...]
    files: int
    submodules: tuple[str, ...] = ()
    """Directories whose contents are in other repositories."""
    unreported: tuple[str, ...] = ()
    """Directories with a `dbt_project.yml` that tools created, such as installed packages."""


def find_projects(paths: Iterable[str], texts: Texts, settings: RepositorySettings, submodules: Sequence[str] = ()) -> DiscoveredProjects:
    """Find the dbt projects among all `paths` of a commit; `texts` has file contents by path, as for `lay_out`.

    Without `texts` only names decide. If `paths` then includes `.github/freshet.yml`, names exclude nothing: the file may list any of them.
    """
    files = list(paths)
    directories = sorted({posixpath.dirname(path) for path in files if posixpath.basename(path) == PROJECT_FILE}, key=nearest_first)
    unread = not texts and repository_settings.PATH in files
    rules = _Rules(files, texts, frozenset(settings.projects) - settings.ignored, settings.ignored, frozenset(directories), unread)
    reasons = {directory: rules.single(directory) for directory in directories}
    candidates = [directory for directory in directories if reasons[directory] is None] or rules.alone(reasons)
    reasons |= dict.fromkeys(candidates)
    rules.read.update(directory for directory in candidates if posixpath.join(directory, PROJECT_FILE) in texts)
    for rule in (*rules.by_contents(), _too_many):
        reasons |= (out := {directory: reason for directory, reason in rule(candidates).items() if directory not in rules.listed})
        candidates = [directory for directory in candidates if directory not in out]
    reasons |= dict.fromkeys(rules.listed - rules.directories, f"is listed in `{repository_settings.PATH}` but {_MISSING}")
    return DiscoveredProjects(
        projects=tuple(candidates),
        left_out=tuple(LeftOut(directory, reason) for directory, reason in reasons.items() if reason),
        files=len(files),
        submodules=tuple(submodules),
        unreported=tuple(directory for directory, reason in reasons.items() if reason == ""),
    )


def choose_project(found: DiscoveredProjects, requested: str | None, label: str) -> str:
    """Return the project directory to extract: `requested`, even if it was left out, or else the first. Raises NoProjectError."""
    doing = f"looking for a dbt project in {label}"
    existing = [out.directory for out in found.left_out if not out.reason.endswith(_MISSING)]
    if requested is not None:
        if requested in {*found.projects, *found.unreported, *existing}:
            return requested
        step = "If the project has moved, push again or re-run this check."
        raise NoProjectError(doing, f"there is no `{PROJECT_FILE}` in {quoted(requested)}", step)
    if found.projects:
        return found.projects[0]
    if found.left_out:
        named = "; ".join(f"{quoted(out.directory)} {out.reason}" for out in found.left_out[:MAX_SHOWN])
        more = f"; and {len(found.left_out) - MAX_SHOWN:,} more" if len(found.left_out) > MAX_SHOWN else ""
        reason = f"every directory with a `{PROJECT_FILE}` is left out: {named}{more}"
        raise NoProjectError(doing, reason, listing_step(existing, repository_settings.PATH))
    reason = f"it has {count(found.files, 'file')}, but no `{PROJECT_FILE}` of a dbt project" if found.files else "the commit is empty"
    if found.submodules:
        named = ", ".join(quoted(path) for path in found.submodules[:MAX_SHOWN])
        reason = f"{reason}; its git submodules, which are not fetched, are {named}"
        raise NoProjectError(doing, reason, "Install the App on the repository of the submodule that contains the dbt project.")
    step = f"Add a dbt project (a directory with a `{PROJECT_FILE}`), or remove this repository from the App's installation."
    raise NoProjectError(doing, reason, step)


def _too_many(candidates: Sequence[str]) -> dict[str, str]:
    return dict.fromkeys(candidates[MAX_PROJECTS:], f"is over the limit of {MAX_PROJECTS} projects")


@dataclass(frozen=True)
class _Rules:
    """Each rule takes the remaining candidates and returns those to leave out, with the reason; `""`: without a report."""

    files: Sequence[str]
    texts: Texts
    listed: frozenset[str]
    ignored: frozenset[str]
    directories: frozenset[str]
    unread: bool
    """There is a `.github/freshet.yml` that was not read: it may list any directory."""
    read: set[str] = field(default_factory=set)
    """Directories whose `dbt_project.yml` is in `texts`: rules about contents apply to these only."""
    loaded: dict[str, Any] = field(default_factory=dict)
    """Parsed project files, kept because YAML is slow. So are the local packages."""
    local_paths: dict[str, list[str]] = field(default_factory=dict)

    def single(self, directory: str) -> str | None:
        """Judge a directory without looking at the others. None: it stays a candidate."""
        if directory in self.listed:
            return None
        if directory in self.ignored or self._below_ignored.hold(directory):
            return f"is ignored in `{repository_settings.PATH}`"
        if is_installed(directory) or "/." in "/" + directory:
            return ""
        if not directory.isprintable() or len(directory) > MAX_PATH_CHARACTERS:
            return f"has unprintable characters in its name, or more than {MAX_PATH_CHARACTERS:,} characters"
        if any(_is_template(found[1]) for found in _NAME_LINE.finditer(self._text(directory) or b"")):
            return f"is a template: the `name` in its `{PROJECT_FILE}` is not filled in"
        return None if self.unread else reason_by_name(directory) or self._old_copy(directory)

    def alone(self, reasons: Mapping[str, str | None]) -> list[str]:
        """The only project of a repository, although its directory is called like an example."""
        named = [directory for directory in reasons if reasons[directory] == reason_by_name(directory) and is_project_if_alone(directory)]
        outermost = [""] if "" in named else Directories(named).outermost
        return outermost if len(outermost) == 1 else []

    def by_contents(self) -> Iterator[Callable[[Sequence[str]], dict[str, str]]]:
        """The rules about contents, in their order."""
        yield from (self.without_settings, self.installed, self.package_tests, self.local_packages, self.copies, self.macro_packages)

    def _old_copy(self, directory: str) -> str | None:
        above, _, name = directory.rpartition("/")
        match = _OLD.fullmatch(re.sub(r"[-. ]+", "_", name.lower()))
        if match is None:
            return None
        length = len(match[1] or match[2])
        original = posixpath.join(above, name[:length] if match[1] else name[-length:])
        return f"is an old copy of {quoted(original)}, going by its name" if original in self.directories else None

    def without_settings(self, candidates: Sequence[str]) -> dict[str, str]:
        """Project files without any of dbt's keys. If no other candidate remains, they stay, so that dbt reports what is wrong."""
        empty = [directory for directory in candidates if directory in self.read and directory and self._is_without_settings(directory)]
        if len(empty) == len(candidates):
            return {}
        return dict.fromkeys(empty, f"has a `{PROJECT_FILE}` without any dbt setting")

    def _is_without_settings(self, directory: str) -> bool:
        loaded = self._load(directory)
        if self._text(directory) is None or loaded is UNREADABLE:
            return False
        return not (isinstance(loaded, dict) and any(isinstance(key, str) and _KEY.fullmatch(key) for key in loaded))

    def _load(self, directory: str) -> Any:
        if directory not in self.loaded:
            self.loaded[directory] = load(self._text(directory))
        return self.loaded[directory]

    def _setting(self, directory: str, key: str) -> str | None:
        loaded = self._load(directory)
        return literal(loaded.get(key)) if isinstance(loaded, dict) else None

    def _local_paths(self, directory: str) -> list[str]:
        if directory not in self.local_paths:
            self.local_paths[directory] = list(local_packages(directory, self.texts))
        return self.local_paths[directory]

    def _text(self, directory: str) -> bytes | None:
        return self.texts.get(posixpath.join(directory, PROJECT_FILE))

    def installed(self, candidates: Sequence[str]) -> dict[str, str]:
        """Committed packages below another project's `packages-install-path`."""
        found: set[str] = set()
        for directory in self.read:
            path = self._setting(directory, "packages-install-path")
            place = join(directory, path) if path else None
            if place and not is_below(directory + "/", place):
                found.add(place)
        places = Directories(found)
        return dict.fromkeys(filter(places.hold, candidates), "")

    def package_tests(self, candidates: Sequence[str]) -> dict[str, str]:
        """Projects that install the package they are inside of: they test it, whatever their name."""
        others = set(candidates)
        return {
            directory: f"tests the package that contains it: it installs `{printable(local)}`"
            for directory in candidates
            if directory in self.read
            for local in self._local_paths(directory)
            if (around := join(directory, local)) in others and around != directory and is_below(directory, around or "")
        }

    def local_packages(self, candidates: Sequence[str]) -> dict[str, str]:
        """Local packages of other candidates, and local packages of those."""
        out: dict[str, str] = {}
        for directory in candidates:
            pending = [] if directory in out or directory not in self.read else [directory]
            while pending:
                installer = pending.pop()
                for local in self._local_paths(installer):
                    package = join(installer, local)
                    if package is not None and package in self.directories and package != directory and package not in out:
                        out[package] = f"is a local package of {quoted(installer)}"
                        pending.append(package)
        return {directory: out[directory] for directory in candidates if directory in out}

    def copies(self, candidates: Sequence[str]) -> dict[str, str]:
        """Projects with the same project file and mostly the same files as another one nearer to the root."""
        originals = copies.find_copies(candidates, self.texts, self.files)
        return {directory: f"is a copy of {quoted(original)}" for directory, original in originals.items()}

    def macro_packages(self, candidates: Sequence[str]) -> dict[str, str]:
        """Projects with macros and nothing that could be a node: packages, unless the repository has no other project."""
        packages = [directory for directory in candidates if directory in self.read and self._is_macro_package(directory)]
        if len(packages) == len(candidates):
            # The one around all others, or the only one, is the project.
            packages = [directory for directory in packages if directory and not self._contains(directory, packages)]
        return dict.fromkeys(packages, MACROS_ONLY)

    @staticmethod
    def _contains(directory: str, others: Sequence[str]) -> bool:
        return all(other == directory or is_below(other, directory) for other in others)

    def _is_macro_package(self, directory: str) -> bool:
        config = self._load(directory)
        return isinstance(config, dict) and is_macro_package(directory, config, self._directories)

    @cached_property
    def _below_ignored(self) -> Directories:
        return Directories(self.ignored - {""})

    @cached_property
    def _directories(self) -> DirectoryContents:
        return DirectoryContents.of(self.files)


def _is_template(name: bytes) -> bool:
    """Whether a project's name has a placeholder that another tool than dbt fills in."""
    if any(mark in name for mark in (b"{%", b"[[", b"<%", b"${")):
        return True
    return any(not _FILLED_IN_BY_DBT.search(part.partition(b"}")[0]) for part in name.split(b"{{")[1:])

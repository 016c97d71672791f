"""The dbt projects of a commit, and what looks like one and is none.

Names decide first, always those of whole directories: packages, virtual environments and the like are never spoken of, while tests,
fixtures, templates, examples and old copies are left out with the reason. Texts decide the rest: what another project installs, what
tries out the package around it, what is a template, what is a copy. `.github/freshet.yml` has the last word.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app import settings
from app.errors import NoProjectError
from app.inference.names import MAX_PATH_CHARACTERS, is_installed, kind, plain, shown
from app.inference.specs import PROJECT_FILE, local_packages
from app.jobs import LeftOut
from app.settings import Settings
from app.texts import UNREADABLE, is_below, join, literal, load

MAX_PROJECTS = 200
"""Those nearest to the root; further ones have to be listed in `.github/freshet.yml`."""
MAX_SHOWN = 10

_MISSING = f"holds no `{PROJECT_FILE}`"
_OLD = re.compile(r"(.+?)(?:_(?:old|bak|backup|copy|archived?|deprecated)|~)[_\d]*|copy_of_(.+)")
_TEMPLATE_NAME = re.compile(rb"""^name\s*:[ \t]*["']?[^\n#]*?(?:\{\{(?![^}\n]*\b(?:env_)?var\s*\()|\{%|\[\[|<%|\$\{)""", re.MULTILINE)
_KEY = re.compile(r"name|version|config-version|profile|require-dbt-version|vars|models|seeds|snapshots|sources|tests|flags|[a-z]+-paths?")

Texts = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Found:
    """What a commit holds."""

    projects: tuple[str, ...]
    """Directories, shallowest first, `""` being the root."""
    left_out: tuple[LeftOut, ...]
    files: int
    unspoken: tuple[str, ...] = ()
    """Directories with a `dbt_project.yml` that tools put there: installed packages and the like."""


def projects(paths: Iterable[str], texts: Texts, told: Settings) -> Found:
    """Return the dbt projects among `paths`, `texts` as for `project.lay_out`.

    Without `texts` names alone decide, and not even they where there is a `.github/freshet.yml` that was not read.
    """
    files = list(paths)
    directories = sorted({posixpath.dirname(path) for path in files if posixpath.basename(path) == PROJECT_FILE}, key=_nearest_first)
    unread = not texts and settings.PATH in files
    look = _Look(files, texts, frozenset(told.projects) - told.ignored, told.ignored, frozenset(directories), unread)
    reasons = {directory: look.by_itself(directory) for directory in directories}
    kept = [directory for directory in directories if reasons[directory] is None]
    look.read.update(directory for directory in kept if posixpath.join(directory, PROJECT_FILE) in texts)
    for rule in (look.nothing_of_dbt, look.installed, look.trying_out, look.packages, look.copies, _too_many):
        reasons |= (out := {directory: reason for directory, reason in rule(kept).items() if directory not in look.listed})
        kept = [directory for directory in kept if directory not in out]
    reasons |= dict.fromkeys(look.listed - look.directories, f"is listed in `{settings.PATH}` and {_MISSING}")
    return Found(
        projects=tuple(kept),
        left_out=tuple(LeftOut(directory, reason) for directory, reason in reasons.items() if reason),
        files=len(files),
        unspoken=tuple(directory for directory, reason in reasons.items() if reason == ""),
    )


def choose(found: Found, wanted: str | None, label: str) -> str:
    """Return the project directory to extract: `wanted`, also when it was left out, or the first. Raises NoProjectError."""
    doing = f"looking for a dbt project in {label}"
    if wanted is not None:
        if wanted in {*found.projects, *found.unspoken, *(out.directory for out in found.left_out if not out.reason.endswith(_MISSING))}:
            return wanted
        raise NoProjectError(doing, f"there is no `{PROJECT_FILE}` in {shown(wanted)}", "If the project has moved, push again or re-run.")
    if found.projects:
        return found.projects[0]
    if found.left_out:
        named = "; ".join(f"{shown(out.directory)} {out.reason}" for out in found.left_out[:MAX_SHOWN])
        more = f"; and {len(found.left_out) - MAX_SHOWN:,} more" if len(found.left_out) > MAX_SHOWN else ""
        example = f"`projects: [{{dir: {plain(found.left_out[0].directory)}}}]`"
        step = f"To have one of them extracted, list it in `{settings.PATH}`, as in {example}."
        raise NoProjectError(doing, f"what has a `{PROJECT_FILE}` is left out: {named}{more}", step)
    reason = f"none of its {found.files:,} files is a `{PROJECT_FILE}` of a dbt project" if found.files else "the commit is empty"
    step = f"Add a dbt project (a directory with a `{PROJECT_FILE}`), or take this repository out of the App's installation."
    raise NoProjectError(doing, reason, step)


def _too_many(kept: Sequence[str]) -> dict[str, str]:
    return dict.fromkeys(kept[MAX_PROJECTS:], f"is one of more than {MAX_PROJECTS} projects")


@dataclass(frozen=True, slots=True)
class _Look:
    """The rules. Each takes the projects that are left and returns those that are none, with the reason, `""` for unspoken ones."""

    files: Sequence[str]
    texts: Texts
    listed: frozenset[str]
    ignored: frozenset[str]
    directories: frozenset[str]
    unread: bool
    """There is a `.github/freshet.yml` that was not read: it may list any of them."""
    read: set[str] = field(default_factory=set)
    """The projects whose file was read: there is nothing to say of others."""
    loaded: dict[str, Any] = field(default_factory=dict)
    locals: dict[str, list[str]] = field(default_factory=dict)
    """What was read before: YAML takes its time."""

    def by_itself(self, directory: str) -> str | None:
        if directory in self.listed:
            return None
        if any(is_below(directory + "/", ignored) for ignored in self.ignored if ignored or not directory):
            return f"is ignored by `{settings.PATH}`"
        if is_installed(directory) or "/." in "/" + directory:
            return ""
        if not directory.isprintable() or len(directory) > MAX_PATH_CHARACTERS:
            return "has a name that cannot be used"
        if _TEMPLATE_NAME.search(self._text(directory) or b""):
            return f"is a template: the name in its `{PROJECT_FILE}` is to be filled in"
        return None if self.unread else kind(directory) or self._old(directory)

    def _old(self, directory: str) -> str | None:
        above, _, name = directory.rpartition("/")
        match = _OLD.fullmatch(re.sub(r"[-. ]+", "_", name.lower()))
        if match is None:
            return None
        length = len(match[1] or match[2])
        original = posixpath.join(above, name[:length] if match[1] else name[-length:])
        return f"is an old copy of {shown(original)} by its name" if original in self.directories else None

    def nothing_of_dbt(self, kept: Sequence[str]) -> dict[str, str]:
        """What is wrong with an empty or mistaken file is for dbt to say, but not where there are projects that are fine."""
        nothing = [directory for directory in kept if directory in self.read and directory and self._says_nothing(directory)]
        if len(nothing) == len(kept):
            return {}
        return dict.fromkeys(nothing, f"has a `{PROJECT_FILE}` that says nothing dbt knows")

    def _says_nothing(self, directory: str) -> bool:
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

    def _locals(self, directory: str) -> list[str]:
        if directory not in self.locals:
            self.locals[directory] = list(local_packages(directory, self.texts))
        return self.locals[directory]

    def _text(self, directory: str) -> bytes | None:
        """A symbolic link's text is where it points."""
        text = self.texts.get(posixpath.join(directory, PROJECT_FILE))
        if text and len(text) < MAX_PATH_CHARACTERS and b"\n" not in text and b":" not in text:
            target = join(directory, text.decode(errors="replace"))
            return self.texts.get(target, text) if target else text
        return text

    def installed(self, kept: Sequence[str]) -> dict[str, str]:
        """Packages that are committed where a project has its own name for `dbt_packages`."""
        places: set[str] = set()
        for directory in self.read:
            path = self._setting(directory, "packages-install-path")
            place = join(directory, path) if path else None
            if place and not is_below(directory + "/", place):
                places.add(place + "/")
        return dict.fromkeys((directory for directory in kept if places and directory.startswith(tuple(places))), "")

    def trying_out(self, kept: Sequence[str]) -> dict[str, str]:
        """A project inside a package that installs it from there is the package's own test, whatever its name."""
        others = set(kept)
        return {
            directory: f"tries out the package around it: it installs `{plain(local)}`"
            for directory in kept
            if directory in self.read
            for local in self._locals(directory)
            if (around := join(directory, local)) in others and around != directory and is_below(directory, around or "")
        }

    def packages(self, kept: Sequence[str]) -> dict[str, str]:
        """Local packages of the others, and theirs."""
        out: dict[str, str] = {}
        for directory in kept:
            pending = [] if directory in out or directory not in self.read else [directory]
            while pending:
                installer = pending.pop()
                for local in self._locals(installer):
                    package = join(installer, local)
                    if package is not None and package in self.directories and package != directory and package not in out:
                        out[package] = f"is a local package of {shown(installer)}"
                        pending.append(package)
        return {directory: out[directory] for directory in kept if directory in out}

    def copies(self, kept: Sequence[str]) -> dict[str, str]:
        """Of projects with the very same project file and mostly the same files, those further from the root than another.

        One name alone may be an accident, and two of them side by side are somebody's wish.
        """
        named: dict[bytes, list[str]] = {}
        for directory in kept:
            if text := self.texts.get(posixpath.join(directory, PROJECT_FILE)):
                named.setdefault(text, []).append(directory)
        groups = [group for group in named.values() if len(group) > 1]
        below = self._files_below({directory for group in groups for directory in group})
        out: dict[str, str] = {}
        for group in groups:
            for index, directory in enumerate(group):
                nearer = [other for other in group[:index] if other not in out and _depth(other) < _depth(directory)]
                originals = (other for other in nearer if self._is_copy(below[directory], below[other]))
                if (original := next(originals, None)) is not None:
                    out[directory] = f"is a copy of {shown(original)}"
        return out

    def _files_below(self, directories: set[str]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {directory: set() for directory in directories}
        deepest = max((directory.count("/") + 1 for directory in directories), default=-1)
        for path in self.files if directories else ():
            if not path.endswith((".sql", ".py", ".csv", ".yml", ".yaml")):
                continue
            parts = path.split("/", deepest + 1)
            for depth in range(len(parts) - 1):
                directory = "/".join(parts[:depth])
                if directory in found:
                    found[directory].add("/".join(parts[depth:]))
        return found

    @staticmethod
    def _is_copy(one: set[str], other: set[str]) -> bool:
        fewer = min(len(one), len(other))
        return 2 * len(one & other) >= fewer and bool(fewer or one == other)


def _nearest_first(directory: str) -> tuple[int, str]:
    return _depth(directory), directory


def _depth(directory: str) -> int:
    return directory.count("/") if directory else -1

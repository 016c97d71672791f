"""Which files dbt reads for a project or package, as `dbt/parser/read_files.py` does."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.core.errors import TreeTooBigError
from app.core.yaml_text import join, listed, mapping
from app.project.checkout import UNKNOWN_SIZE, Checkout, Entry
from app.project.directories import Directories
from app.project.expressions import Values, resolved
from app.project.package_files import PACKAGE_TEXTS, PROJECT_FILE

ROOT_FILES = (*PACKAGE_TEXTS, "selectors.yml", "vars.yml", ".dbtignore")
"""Without `catalogs.yml`: it says where tables are written, and an adapter that stands in for the project's own may refuse it."""
DEFAULT_PATHS: Mapping[str, Sequence[str]] = {
    "model-paths": ["models"],
    "seed-paths": ["seeds"],
    "snapshot-paths": ["snapshots"],
    "test-paths": ["tests"],
    "macro-paths": ["macros"],
    "analysis-paths": ["analyses"],
    "function-paths": ["functions"],
    # Names from before dbt 1.0.
    "source-paths": [],
    "data-paths": [],
    "docs-paths": [],
}
SEARCHED_APART = ("generic", "fixtures")
"""Directories below those of tests in which dbt searches, too: it follows them if they are symbolic links."""
OSI_PATHS = ["osi", "OSI"]
"""Definitions of a semantic layer in JSON, since dbt 1.12."""
READ_BY_DBT = (".sql", ".yml", ".yaml", ".py", ".csv", ".md")
PACKAGED = (*READ_BY_DBT, ".json", ".dbtignore")
HIDDEN = ("!", ".", "#", "~")
"""dbt ignores files whose names begin like this."""
SEED_LIMIT_MIB = 1
"""dbt compares seeds up to this size by their contents, and longer ones by their paths: it does not read them."""
MAX_SEED_BYTES = (SEED_LIMIT_MIB << 20) + 1
"""A longer seed is cut here: dbt has to see that it is over the limit."""
NOT_FETCHED = "is a git submodule, which Freshet does not fetch"
MAX_FILES = 50_000
MAX_BYTES = 512 << 20

Texts = Mapping[str, bytes]
_Kind = tuple[Directories, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Member:
    """A file for the container. A blob longer than `size` (a seed) is cut there, unless that is `UNKNOWN_SIZE`."""

    path: str
    oid: str
    size: int
    target: str | None = None
    """Of a symbolic link to a directory, as it was written; links to files are files."""


@dataclass(frozen=True, slots=True)
class ReadPaths:
    """The directories that dbt reads, and the files at the root of each project."""

    directories: frozenset[str]
    osi: frozenset[str]
    files: frozenset[str]
    whole: frozenset[str] = frozenset()
    """Committed packages."""
    seed_bytes: int | None = MAX_SEED_BYTES
    """Where seeds are cut; None: nowhere."""

    def members(self, checkout: Checkout, label: str) -> tuple[Member, ...]:
        """Choose the files, sorted by path. Raises TreeTooBigError beyond `MAX_FILES` or `MAX_BYTES`."""
        chosen: dict[str, Member] = {}
        total = 0
        for entry in self._entries(checkout):
            size = self._cut(entry)
            chosen[entry.path] = Member(entry.path, entry.oid, size)
            total += max(0, min(size, entry.size))
            if len(chosen) > MAX_FILES or total > MAX_BYTES:
                raise _too_big(label, entry.path)
        chosen |= {link.path: link for link in self._links(checkout)}
        return tuple(chosen[path] for path in sorted(chosen))

    def omitted(self, checkout: Checkout, more: Iterable[str] = ()) -> dict[str, str]:
        """The files that dbt would read and Freshet cannot, with the reasons; so are links and submodules at or above directories.

        `more` are directories that the project names besides those that dbt searches, such as local packages.
        """
        directories = self.directories | self.osi | self.whole
        searched = Directories(directories)
        kinds = self._kinds(checkout)
        omitted = {
            path: reason
            for path, reason in checkout.omitted.items()
            if path in self.files or searched.lead_through(path) or _reads(path, kinds)
        }
        found = (checkout.submodule_at(path) for path in (*more, *directories, *omitted))
        return dict.fromkeys((path for path in found if path is not None), NOT_FETCHED) | omitted

    def long_seeds(self, members: Iterable[Member]) -> tuple[str, ...]:
        """The seeds that dbt compares by their paths only."""
        return tuple(member.path for member in members if member.size == self.seed_bytes and member.path.lower().endswith(".csv"))

    def _kinds(self, checkout: Checkout) -> list[_Kind]:
        """Tests of directories without symbolic links, and the ends of names that dbt reads there."""
        kinds = ((self.directories, READ_BY_DBT), (self.osi, (".json",)), (self.whole, PACKAGED))
        return [(Directories(real for one in kind if (real := checkout.resolve(one)) is not None), endings) for kind, endings in kinds]

    def _entries(self, checkout: Checkout) -> Iterator[Entry]:
        kinds = self._kinds(checkout)
        places = {directory: checkout.resolve(directory) or "" for directory in map(posixpath.dirname, self.files)}
        files = {posixpath.join(places[posixpath.dirname(path)], posixpath.basename(path)) for path in self.files}
        return (entry for entry in checkout.files if entry.path in files or _reads(entry.path, kinds))

    def _links(self, checkout: Checkout) -> Iterator[Member]:
        """The symbolic links on the way to a directory. dbt follows these, and none below a directory that it searches."""
        directories = (self.directories | self.osi | self.whole).union(map(posixpath.dirname, self.files)) if checkout.links else ()
        for link in {link: None for directory in directories for link in checkout.links_to(directory)}:
            yield Member(link, checkout.links[link], 0, checkout.links[link])

    def _cut(self, entry: Entry) -> int:
        # What a unit test expects may stand in a file of its own, below `fixtures`.
        if not entry.path.lower().endswith(".csv") or self.seed_bytes is None or "/fixtures/" in entry.path:
            return entry.size
        return self.seed_bytes if entry.size == UNKNOWN_SIZE else min(entry.size, self.seed_bytes)


def _reads(path: str, kinds: Iterable[_Kind]) -> bool:
    return any(is_read(path, endings) and directories.hold(path) for directories, endings in kinds)


def _too_big(label: str, path: str) -> TreeTooBigError:
    reason = f"dbt would read more than {MAX_FILES:,} files or {MAX_BYTES >> 20} MiB (the limit was reached at {path})"
    return TreeTooBigError(f"collecting the files of {label}", reason, "Move data files out of the project's paths.")


def is_read(path: str, endings: tuple[str, ...] = READ_BY_DBT) -> bool:
    """Whether dbt reads a file with this name in a directory that it searches. Case does not matter, as in dbt."""
    name = posixpath.basename(path)
    return name.lower().endswith(endings) and (not name.startswith(HIDDEN) or name == ".dbtignore")


def read_paths(roots: Sequence[str], texts: Texts, values: Values, packages: Iterable[str] = ()) -> ReadPaths:
    """What dbt reads for the project at `roots[0]` and the packages at the others; `packages` are committed ones."""
    configs = {root: mapping(texts.get(posixpath.join(root, PROJECT_FILE))) for root in roots}
    return ReadPaths(
        directories=frozenset(path for root in roots for path in _directories(root, configs[root], DEFAULT_PATHS, values)),
        osi=frozenset(path for root in roots for path in _directories(root, configs[root], {"osi-paths": OSI_PATHS}, values)),
        files=frozenset(posixpath.join(root, name) for root in roots for name in ROOT_FILES),
        whole=frozenset(packages),
        seed_bytes=_seed_bytes(configs[roots[0]]),
    )


def _directories(root: str, config: Mapping[str, object], keys: Mapping[str, Sequence[str]], values: Values) -> Iterator[str]:
    """The directories below or beside `root`; all of it if its configuration cannot be read."""
    if not config:
        yield root
        return
    for key, default in keys.items():
        for value in listed(config.get(key, default)):
            written = resolved(value, values)
            path = None if written is None else join(root, written)
            if written is None:
                yield root
            elif path is not None:
                yield from (path, *(posixpath.join(path, name) for name in SEARCHED_APART if key == "test-paths"))


def _seed_bytes(config: Mapping[str, object]) -> int | None:
    """Since dbt 1.12 a project may set the limit: https://docs.getdbt.com/reference/global-configs/about-global-configs."""
    flags = config.get("flags")
    limit = flags.get("maximum_seed_size_mib") if isinstance(flags, dict) else None
    if limit == 0 and limit is not False:
        return None
    return ((limit << 20) + 1) if type(limit) is int and SEED_LIMIT_MIB < limit <= MAX_BYTES >> 20 else MAX_SEED_BYTES

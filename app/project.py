"""A dbt project inside a commit: where it is, which files dbt reads, which packages and which warehouse it names.

Pure: from a listing of the commit and the texts of its small YAML files to a `Layout`. Where YAML cannot be read, the answer is the
generous one (the whole directory, a network for packages), so that dbt itself says what is wrong, in its own words.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.errors import NoProjectError, TreeTooBigError
from app.texts import UNREADABLE, is_below, join, listed, literal, load, mapping
from app.warehouse import Warehouse, infer

PROJECT_FILE = "dbt_project.yml"
PACKAGE_FILES = ("packages.yml", "dependencies.yml")
ROOT_FILES = (PROJECT_FILE, *PACKAGE_FILES, "package-lock.yml", "selectors.yml", ".dbtignore")
DEFAULT_PATHS = {
    "model-paths": "models",
    "seed-paths": "seeds",
    "snapshot-paths": "snapshots",
    "test-paths": "tests",
    "macro-paths": "macros",
    "analysis-paths": "analyses",
    "function-paths": "functions",
}
OTHER_PATHS = ("docs-paths", "source-paths", "data-paths")
"""Path settings without a directory of their own by default; the last two are the names of before dbt 1.0."""
READ_BY_DBT = (".sql", ".yml", ".yaml", ".py", ".csv", ".md", ".jinja", ".jinja2")
NOT_PROJECTS = frozenset(
    {
        *("dbt_packages", "dbt_modules", "target", "venv", ".venv", "env", ".env", "site-packages", "node_modules"),
        *("integration_tests", "fixtures", "test", "tests", "templates", "template", "examples", "example"),
    }
)
"""Directory names below which a `dbt_project.yml` is a package, a copy, a fixture or a template, not a project of its own."""

MAX_CONFIG_BYTES = 1 << 20
MAX_CONFIG_FILES = 500
MAX_SEED_BYTES = 64 << 10
"""A longer seed is cut at a line end: dbt parses the header only."""
MAX_FILES = 50_000
MAX_BYTES = 512 << 20

FILE_MODES = frozenset({"100644", "100755"})
LINK_MODE = "120000"

Packages = Literal["none", "local", "network"]
Texts = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """A blob of a commit: `git ls-tree -r --long`. Directories and submodules are left out."""

    path: str
    mode: str
    oid: str
    size: int


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file of the archive that goes into the container; `size` may be less than the blob's (a cut seed)."""

    path: str
    oid: str
    size: int


@dataclass(frozen=True, slots=True)
class Layout:
    """All that running dbt on one project needs to know of the commit."""

    project_dir: str
    project_name: str | None
    profile: str
    warehouse: Warehouse
    packages: Packages
    members: tuple[Member, ...]
    others: tuple[str, ...] = ()
    """Other dbt projects of the repository."""
    unreadable: tuple[str, ...] = ()
    """Files that steer dbt and are not YAML: dbt stops over them without naming them."""


def find(paths: Iterable[str]) -> list[str]:
    """Return the directories of the dbt projects among `paths`, shallowest first, `""` being the repository's root.

    >>> find(["transform/dbt_project.yml", "transform/dbt_packages/dbt_utils/dbt_project.yml", "README.md"])
    ['transform']
    """
    directories = [
        posixpath.dirname(path)
        for path in paths
        if posixpath.basename(path) == PROJECT_FILE and NOT_PROJECTS.isdisjoint(path.lower().split("/")[:-1])
    ]
    return sorted(directories, key=lambda directory: (directory.count("/") if directory else -1, directory))


def choose(paths: Sequence[str], texts: Texts, wanted: str | None, label: str) -> str:
    """Return the project directory to extract: `wanted`, or the first that is found. Raises NoProjectError.

    `texts` as for `lay_out`: a directory that another project has for a local package is a project only when there is no other.
    """
    doing = f"looking for a dbt project in {label}"
    if wanted is not None:
        if posixpath.join(wanted, PROJECT_FILE) in paths:
            return wanted
        where = f"`{wanted}`" if wanted else "the root of the repository"
        raise NoProjectError(doing, f"there is no `{PROJECT_FILE}` in {where}", "If the project has moved, push again or re-run.")
    found = projects(paths, texts)
    if found:
        return found[0]
    reason = "the commit is empty" if not paths else f"none of its {len(paths):,} files is a `{PROJECT_FILE}` of a dbt project"
    raise NoProjectError(
        doing, reason, f"Add a dbt project (a directory with a `{PROJECT_FILE}`), or take this repository out of the App's installation."
    )


def projects(paths: Sequence[str], texts: Texts) -> list[str]:
    """Return the dbt projects of a commit: what `find` finds, without directories that another of them has for a local package."""
    found = find(paths)
    packages = {package for root in found for package in _package_roots(root, texts) if package != root}
    return [root for root in found if root not in packages] or found[:1]


def config_entries(entries: Sequence[Entry]) -> list[Entry]:
    """Return what has to be read before `lay_out`: small YAML files that steer dbt, and symbolic links."""
    names = {PROJECT_FILE, *PACKAGE_FILES, "profiles.yml"}
    wanted = [
        entry
        for entry in entries
        if (entry.mode in FILE_MODES and posixpath.basename(entry.path) in names and entry.size <= MAX_CONFIG_BYTES)
        or (entry.mode == LINK_MODE and entry.size < 4096)  # noqa: PLR2004 - PATH_MAX
    ]
    return sorted(wanted, key=lambda entry: entry.path.count("/"))[:MAX_CONFIG_FILES]


def lay_out(entries: Sequence[Entry], texts: Texts, project_dir: str, label: str) -> Layout:
    """Decide what of a commit goes into the container, laid out as in the repository.

    `texts` holds the contents of `config_entries` by path. Raises TreeTooBigError over `MAX_FILES` or `MAX_BYTES`.
    """
    entries = [*(entry for entry in entries if entry.mode in FILE_MODES and is_clean(entry.path)), *_follow_links(entries, texts)]
    texts = {**texts, **{entry.path: texts[other] for entry, other in _linked_texts(entries, texts)}}
    config = mapping(texts.get(posixpath.join(project_dir, PROJECT_FILE)))
    roots = list(_package_roots(project_dir, texts))
    wanted = {path for root in roots for path in _read_paths(root, texts)}
    install_dir = join(project_dir, literal(config.get("packages-install-path")) or "dbt_packages") or "dbt_packages"
    committed = any(is_below(entry.path, install_dir) for entry in entries)
    if committed:
        wanted.add(install_dir)
    members = _members(entries, roots, wanted, label)
    profile = literal(config.get("profile"))
    return Layout(
        project_dir=project_dir,
        project_name=literal(config.get("name")),
        profile=profile or "freshet",
        warehouse=infer(project_dir, profile, texts),
        packages="none" if committed else _packages(project_dir, texts),
        members=tuple(members),
        others=tuple(other for other in projects([entry.path for entry in entries], texts) if other not in roots),
        unreadable=tuple(
            path
            for path in (posixpath.join(project_dir, name) for name in (PROJECT_FILE, *PACKAGE_FILES))
            if load(texts.get(path)) is UNREADABLE
        ),
    )


def input_hash(layout: Layout, *more: str) -> bytes:
    """Return 16 bytes that stand for all that the lineage follows from: every file that dbt reads, the settings, and `more`.

    Two commits with the same input have the same lineage, however far apart they are.
    """
    digest = hashlib.blake2b(digest_size=16)
    warehouse = layout.warehouse
    for text in (layout.project_dir, layout.profile, warehouse.adapter_type, warehouse.target, layout.packages, *more):
        digest.update(text.encode() + b"\0")
    for member in layout.members:
        digest.update(f"{member.path}\0{member.oid}\0{member.size}\0".encode("utf-8", "surrogateescape"))
    return digest.digest()


def is_clean(path: str) -> bool:
    r"""Tell whether a path can be a name in the archive: relative, normal, printable.

    >>> [is_clean(p) for p in ("models/a.sql", "../a.sql", "/a.sql", "a//b.sql", ".git/config", "a\nb.sql")]
    [True, False, False, False, False, False]
    """
    parts = path.split("/")
    return path.isprintable() and len(path.encode(errors="replace")) < 1024 and not {"", ".", "..", ".git"} & {*parts}  # noqa: PLR2004


def _members(entries: Iterable[Entry], roots: Sequence[str], wanted: set[str], label: str) -> list[Member]:
    root_files = {join(root, name) for root in roots for name in ROOT_FILES}
    chosen: dict[str, Member] = {}
    total = 0
    for entry in entries:
        if entry.path not in root_files and not _is_read(entry.path, wanted):
            continue
        size = min(entry.size, MAX_SEED_BYTES) if entry.path.endswith(".csv") else entry.size
        chosen[entry.path] = Member(entry.path, entry.oid, size)
        total += size
        if len(chosen) > MAX_FILES or total > MAX_BYTES:
            reason = f"dbt would read more than {MAX_FILES:,} files or {MAX_BYTES >> 20} MiB ({entry.path} is where it went over)"
            raise TreeTooBigError(f"collecting the files of {label}", reason, "Take data files out of the project's paths.")
    return [chosen[path] for path in sorted(chosen)]


def _is_read(path: str, wanted: set[str]) -> bool:
    if not path.lower().endswith(READ_BY_DBT) and posixpath.basename(path) != ".dbtignore":
        return False
    directory = posixpath.dirname(path)
    while directory not in wanted:
        if not directory:
            return False
        directory = posixpath.dirname(directory)
    return True


def _read_paths(root: str, texts: Texts) -> Iterator[str]:
    """Yield the directories that dbt reads for the project or package at `root`."""
    config = mapping(texts.get(posixpath.join(root, PROJECT_FILE)))
    if not config:
        yield root
        return
    for key in (*DEFAULT_PATHS, *OTHER_PATHS):
        default = [DEFAULT_PATHS[key]] if key in DEFAULT_PATHS else []
        for value in listed(config.get(key, default)):
            path = None if not isinstance(value, str) or "{{" in value else join(root, value)
            if not isinstance(value, str) or "{{" in value:
                yield root
            elif path is not None:
                yield path


def _package_roots(project_dir: str, texts: Texts) -> Iterator[str]:
    """Yield the project's directory and those of its local packages, theirs included.

    dbt resolves a nested `local:` against the root project; people also write it relative to the package, so both are looked at.
    """
    pending, seen = [project_dir], {project_dir}
    while pending:
        root = pending.pop()
        yield root
        for package in _package_specs(root, texts):
            local = literal(package.get("local"))
            for base in (project_dir, root):
                path = join(base, local) if local else None
                if path is not None and path not in seen and posixpath.join(path, PROJECT_FILE) in texts:
                    seen.add(path)
                    pending.append(path)


def _package_specs(root: str, texts: Texts) -> list[dict[str, Any]]:
    specs = [spec for name in PACKAGE_FILES for spec in listed(mapping(texts.get(posixpath.join(root, name))).get("packages"))]
    return [spec if isinstance(spec, dict) else {} for spec in specs]


def _packages(project_dir: str, texts: Texts) -> Packages:
    specs = [spec for root in _package_roots(project_dir, texts) for spec in _package_specs(root, texts)]
    unreadable = any(load(texts.get(posixpath.join(project_dir, name))) is UNREADABLE for name in PACKAGE_FILES)
    if unreadable or any("local" not in spec for spec in specs):
        return "network"
    return "local" if specs else "none"


def _follow_links(entries: Sequence[Entry], texts: Texts) -> list[Entry]:
    """Return entries for what symbolic links inside the repository point at, under the links' own names."""
    files = {entry.path: entry for entry in entries if entry.mode in FILE_MODES and is_clean(entry.path)}
    found: list[Entry] = []
    for link in entries:
        if link.mode != LINK_MODE or link.path not in texts or not is_clean(link.path):
            continue
        target = join(posixpath.dirname(link.path), texts[link.path].decode(errors="replace"))
        if target is None or is_below(link.path, target):
            continue
        if target in files:
            found.append(Entry(link.path, "100644", files[target].oid, files[target].size))
        found.extend(
            Entry(link.path + path[len(target) :], "100644", entry.oid, entry.size)
            for path, entry in files.items()
            if path.startswith(target + "/")
        )
        if len(found) > MAX_FILES:
            break
    return found


def _linked_texts(entries: Sequence[Entry], texts: Texts) -> Iterator[tuple[Entry, str]]:
    by_oid = {entry.oid: entry.path for entry in entries if entry.path in texts}
    return ((entry, by_oid[entry.oid]) for entry in entries if entry.path not in texts and entry.oid in by_oid)

"""A dbt project inside a commit: where it is, which files dbt reads, which packages and which warehouse it names.

Pure: from a listing of the commit and the texts of its small YAML files to a `Layout`. Where YAML cannot be read, the answer is the
generous one (the whole directory, a network for packages), so that dbt itself says what is wrong, in its own words.
"""

from __future__ import annotations

import hashlib
import posixpath
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app import settings
from app.errors import TreeTooBigError
from app.images import Wish
from app.inference import evidence, specs, versions
from app.inference.discovery import Found
from app.inference.evidence import written
from app.inference.names import is_installed
from app.inference.specs import PACKAGE_FILES, PACKAGE_TEXTS, package_roots, unreadable
from app.inference.warehouse import Warehouse, infer, is_settled
from app.settings import Settings
from app.texts import is_below, join, listed, literal, mapping

PROJECT_FILE = specs.PROJECT_FILE
ROOT_FILES = (*PACKAGE_TEXTS, "selectors.yml", ".dbtignore")
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
NO_PROFILE = "freshet"
"""What the profile is called of a project that names none."""
MAX_CONFIG_BYTES = 1 << 20
MAX_EVIDENCE_BYTES = 256 << 10
MAX_LOCK_BYTES = 4 << 20
MAX_LOCK_FILES = 50
MAX_CONFIG_FILES = 500
MAX_CONFIG_TOTAL_BYTES = 8 << 20
MAX_LOCK_TOTAL_BYTES = 24 << 20
MAX_CODE_BYTES = 64 << 10
MAX_CODE_FILES = 300
MAX_CODE_TOTAL_BYTES = 4 << 20
MAX_SEED_BYTES = 64 << 10
"""A longer seed is cut at a line end: dbt parses the header only."""
MAX_FILES = 50_000
MAX_BYTES = 512 << 20

UNKNOWN_SIZE = -1
"""Of a blob that a partial clone does not hold; it counts as none where sizes are bounded."""

FILE_MODES = frozenset({"100644", "100755"})
LINK_MODE = "120000"

Texts = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """A blob of a commit: `git ls-tree -r --long`, `size` may be `UNKNOWN_SIZE`. Directories and submodules are left out."""

    path: str
    mode: str
    oid: str
    size: int


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file of the archive that goes into the container; cut at `size` if the blob is longer (a seed), not at `UNKNOWN_SIZE`."""

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
    dbt: Wish
    settings: Settings
    """The repository's `.github/freshet.yml`."""
    found: Found
    """All projects of the repository, this one included."""
    packages: bool
    """True when there are any to install (never when they are committed)."""
    install_dir: str
    """Where packages go, in the repository."""
    package_texts: Mapping[str, bytes]
    """See `ports.PackageRequest.texts`."""
    members: tuple[Member, ...]
    unreadable: tuple[str, ...] = ()
    """Files that steer dbt and are not YAML: dbt stops over them without naming them."""


def config_entries(entries: Sequence[Entry]) -> list[Entry]:
    """Return what has to be read before `lay_out`: what steers dbt, what tells the warehouse and the version, and symbolic links."""
    ranked = [(rank, entry.path.count("/"), entry.path, entry) for entry in entries if (rank := _rank(entry)) is not None]
    nearest = [entry for *_, entry in sorted(ranked, key=lambda item: item[:3])]
    locks = _bounded((entry for entry in nearest if evidence.is_lock(entry.path)), MAX_LOCK_FILES, MAX_LOCK_TOTAL_BYTES)
    others = (entry for entry in nearest if not evidence.is_lock(entry.path))
    return [*_bounded(others, MAX_CONFIG_FILES - len(locks), MAX_CONFIG_TOTAL_BYTES), *locks]


def code_entries(entries: Sequence[Entry], texts: Texts, project_dir: str, told: Settings) -> list[Entry]:
    """Return files of models and macros that `lay_out` may read besides: none when `texts` tell the warehouse already."""
    config = mapping(texts.get(posixpath.join(project_dir, PROJECT_FILE)))
    if is_settled(project_dir, written(config.get("profile")), texts, told.of(project_dir)):
        return []
    models = [name for key in ("model-paths", "source-paths", "snapshot-paths") for name in listed(config.get(key)) if literal(name)]
    macros = [name for name in listed(config.get("macro-paths", "macros")) if literal(name)]
    below = [path for name in (*(models or ["models"]), *macros) if (path := join(project_dir, name)) is not None]
    code = [entry for entry in entries if entry.path.endswith((".sql", ".yml", ".yaml")) and entry.size <= MAX_CODE_BYTES]
    code = [entry for entry in code if entry.mode in FILE_MODES and any(is_below(entry.path, directory) for directory in below)]
    return _bounded(code[:: max(1, -(-len(code) // MAX_CODE_FILES))], MAX_CODE_FILES, MAX_CODE_TOTAL_BYTES)


def lay_out(entries: Sequence[Entry], texts: Texts, project_dir: str, label: str, told: Settings, found: Found) -> Layout:
    """Decide what of a commit goes into the container, laid out as in the repository.

    `texts` holds the contents of `config_entries` and `code_entries` by path. Raises TreeTooBigError over `MAX_FILES` or `MAX_BYTES`.
    """
    entries = [*(entry for entry in entries if entry.mode in FILE_MODES and is_clean(entry.path)), *_follow_links(entries, texts)]
    texts = {**texts, **{entry.path: texts[other] for entry, other in _linked_texts(entries, texts)}}
    config = mapping(texts.get(posixpath.join(project_dir, PROJECT_FILE)))
    roots = list(package_roots(project_dir, texts))
    wanted = {path for root in roots for path in _read_paths(root, texts)}
    install_dir = specs.install_dir(project_dir, written(config.get("packages-install-path")))
    committed = sum(posixpath.split(posixpath.dirname(entry.path))[0] == install_dir for entry in entries if _is_project(entry.path))
    packages = specs.are_missing(roots, texts, committed)
    if committed and not packages:
        wanted.add(install_dir)
    profile = written(config.get("profile"))
    return Layout(
        project_dir=project_dir,
        project_name=literal(config.get("name")),
        profile=profile or NO_PROFILE,
        warehouse=infer(project_dir, profile, texts, told.of(project_dir)),
        dbt=versions.wish(project_dir, texts, told.of(project_dir)),
        settings=told,
        found=found,
        packages=packages,
        install_dir=install_dir,
        package_texts={path: texts[path] for root in roots for name in PACKAGE_TEXTS if (path := posixpath.join(root, name)) in texts},
        members=tuple(_members(entries, roots, wanted, label)),
        unreadable=tuple(unreadable(project_dir, texts, (PROJECT_FILE, *PACKAGE_FILES))),
    )


def input_hash(layout: Layout, *more: str) -> bytes:
    """Return 16 bytes that stand for all that the lineage follows from: files that dbt reads, packages, settings, and `more`.

    What the image and the adapter really are has to be among `more`: versions and evidence only lead to them.

    Two commits with the same input have the same lineage, however far apart they are.
    """
    digest = hashlib.blake2b(digest_size=16)
    warehouse, told = layout.warehouse, layout.settings
    for text in (layout.project_dir, layout.profile, warehouse.adapter_type, warehouse.target, layout.install_dir, str(layout.packages)):
        digest.update(text.encode(errors="surrogateescape") + b"\0")
    for text in (repr(told.of(layout.project_dir)), repr(told.packages), *more):
        digest.update(text.encode(errors="surrogateescape") + b"\0")
    for path in sorted(layout.package_texts):
        content = layout.package_texts[path]
        digest.update(f"{path}\0{len(content)}\0".encode(errors="surrogateescape") + content)
    for member in layout.members:
        digest.update(f"{member.path}\0{member.oid}\0".encode("utf-8", "surrogateescape"))
    return digest.digest()


def is_clean(path: str) -> bool:
    r"""Tell whether a path can be a name in the archive: relative, normal, printable.

    >>> [is_clean(p) for p in ("models/a.sql", "../a.sql", "/a.sql", "a//b.sql", ".git/config", "a\nb.sql")]
    [True, False, False, False, False, False]
    """
    parts = path.split("/")
    return path.isprintable() and len(path.encode(errors="replace")) < 1024 and not {"", ".", "..", ".git"} & {*parts}  # noqa: PLR2004


def _rank(entry: Entry) -> int | None:
    """Return what is read first, None for what is not read."""
    if entry.mode == LINK_MODE:
        return 1 if entry.size < 4096 else None  # noqa: PLR2004 - PATH_MAX
    if entry.mode not in FILE_MODES or entry.size > MAX_LOCK_BYTES:
        return None
    directory, name = posixpath.split(entry.path)
    if name in PACKAGE_TEXTS or entry.path == settings.PATH:
        rank, most = 9 if is_installed(directory) else 0, MAX_CONFIG_BYTES
    else:
        weight = evidence.weight(entry.path)
        if weight is None or is_installed(directory):
            return None
        rank, most = 2 + weight, MAX_LOCK_BYTES if evidence.is_lock(entry.path) else MAX_EVIDENCE_BYTES
    return rank if entry.size <= most else None


def _bounded(entries: Iterable[Entry], count: int, size: int) -> list[Entry]:
    chosen: list[Entry] = []
    for entry in entries:
        if len(chosen) < count and entry.size <= size:
            chosen.append(entry)
            size -= max(0, entry.size)
    return chosen


def _is_project(path: str) -> bool:
    return path.endswith("/" + PROJECT_FILE)


def _members(entries: Iterable[Entry], roots: Sequence[str], wanted: set[str], label: str) -> list[Member]:
    root_files = {posixpath.join(root, name) for root in roots for name in ROOT_FILES}
    chosen: dict[str, Member] = {}
    read = {"": "" in wanted, **dict.fromkeys(wanted, True)}
    total = 0
    for entry in entries:
        if entry.path not in root_files and not _is_read(entry.path, read):
            continue
        size = _cut_size(entry)
        chosen[entry.path] = Member(entry.path, entry.oid, size)
        total += max(0, min(size, entry.size))
        if len(chosen) > MAX_FILES or total > MAX_BYTES:
            reason = f"dbt would read more than {MAX_FILES:,} files or {MAX_BYTES >> 20} MiB ({entry.path} is where it went over)"
            raise TreeTooBigError(f"collecting the files of {label}", reason, "Take data files out of the project's paths.")
    return [chosen[path] for path in sorted(chosen)]


def _cut_size(entry: Entry) -> int:
    if not entry.path.endswith(".csv"):
        return entry.size
    return MAX_SEED_BYTES if entry.size == UNKNOWN_SIZE else min(entry.size, MAX_SEED_BYTES)


def _is_read(path: str, read: dict[str, bool]) -> bool:
    """`read` remembers of directories whether dbt reads them."""
    if not path.lower().endswith(READ_BY_DBT) and posixpath.basename(path) != ".dbtignore":
        return False
    directory, passed = posixpath.dirname(path), []
    while directory not in read:
        passed.append(directory)
        directory = posixpath.dirname(directory)
    read |= dict.fromkeys(passed, read[directory])
    return read[directory]


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


def _follow_links(entries: Sequence[Entry], texts: Texts) -> list[Entry]:
    """Return entries for what symbolic links inside the repository point at, under the links' own names."""
    files = {entry.path: entry for entry in entries if entry.mode in FILE_MODES and is_clean(entry.path)}
    paths = sorted(files)
    found: list[Entry] = []
    for link in (entry for entry in entries if entry.mode == LINK_MODE):
        if link.path not in texts or not is_clean(link.path):
            continue
        target = join(posixpath.dirname(link.path), texts[link.path].decode(errors="replace"))
        if target is None or is_below(link.path, target):
            continue
        if target in files:
            found.append(Entry(link.path, "100644", files[target].oid, files[target].size))
        found.extend(
            Entry(link.path + path[len(target) :], "100644", files[path].oid, files[path].size)
            for path in paths[bisect_left(paths, target + "/") : bisect_left(paths, target + "0")]  # "0" follows "/"
        )
        if len(found) > MAX_FILES:
            break
    return found


def _linked_texts(entries: Sequence[Entry], texts: Texts) -> Iterator[tuple[Entry, str]]:
    by_oid = {entry.oid: entry.path for entry in entries if entry.path in texts}
    return ((entry, by_oid[entry.oid]) for entry in entries if entry.path not in texts and entry.oid in by_oid)

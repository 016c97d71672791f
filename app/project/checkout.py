"""A commit as a checkout on Linux shows it: symbolic links lead to other files, and some names cannot exist.

Contents are those that git stores: nothing in `.gitattributes` (line ends, encodings, Git LFS) is applied.
"""

from __future__ import annotations

import posixpath
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.core.yaml_text import is_below
from app.project.directory_names import quoted

UNKNOWN_SIZE = -1
"""The size of a blob that a partial clone does not have; it counts as 0 towards limits."""
FILE_MODES = frozenset({"100644", "100755"})
LINK_MODE = "120000"
SUBMODULE_MODE = "160000"
MAX_LINKS = 2_000
MAX_FOLLOWED = 40
"""Linux's own limit, for links that lead to links: https://man7.org/linux/man-pages/man7/path_resolution.7.html."""
MAX_STEPS = 300
"""Directories on the way of one path, with all links followed."""
OUTSIDE, ABSOLUTE, LOOP = (
    "leads out of the repository",
    "leads to an absolute path",
    f"leads back to itself, or to more than {MAX_FOLLOWED} other links",
)
TOO_DEEP = "leads through too many directories"
UNREAD = f"is a symbolic link that was not followed, because there are more than {MAX_LINKS:,} or it is too long"
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 2048

Texts = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """A blob or submodule of a commit, as in `git ls-tree -r --long`, without directories. `size` may be `UNKNOWN_SIZE`.

    A name that is not UTF-8 has surrogates, as from `os.fsdecode`.
    """

    path: str
    mode: str
    oid: str
    size: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a path leads: a path without links, or the reason why it leads nowhere, which continues "a symbolic link …"."""

    path: str = ""
    reason: str = ""
    links: tuple[str, ...] = ()
    """Those on the way."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """The files of a commit under their names, links to files included."""

    files: Sequence[Entry]
    """Sorted by path. A link to a file has the file's mode, object id and size."""
    links: Mapping[str, str] = field(default_factory=dict)
    """The targets of all symbolic links, as written."""
    submodules: Mapping[str, str] = field(default_factory=dict)
    """The commits of submodules by path."""
    omitted: Mapping[str, str] = field(default_factory=dict)
    """Files and links that cannot be read, with the reason, which continues "`models/a.sql` …"."""
    names: Sequence[str] = ()
    """The paths of all entries, sorted."""

    def resolve(self, path: str) -> str | None:
        """The path without symbolic links, or None if it leads out of the repository or to a broken link. It need not exist."""
        found = self._follow(path) if self.links else _Place(path)
        return None if found.reason else found.path

    def file(self, path: str) -> Entry | None:
        """The file at a path, under this name; None if there is none."""
        real = self.resolve(path)
        at = len(self.files) if real is None else bisect_left(self.files, real, key=_path)
        return replace(self.files[at], path=path) if at < len(self.files) and self.files[at].path == real else None

    def links_to(self, path: str) -> tuple[str, ...]:
        """The symbolic links on the way to a path; none if it leads nowhere."""
        found = self._follow(path) if self.links else _Place()
        return () if found.reason else found.links

    def below(self, directory: str) -> Iterator[Entry]:
        """The files below a directory, under its name: it may be, or be behind, a symbolic link; links below it are not followed.

        This is what dbt finds, too: it uses `os.walk`.
        """
        real = self.resolve(directory)
        if real is None:
            return
        first = bisect_left(self.files, real + "/", key=_path) if real else 0
        for entry in self.files[first:]:
            if not is_below(entry.path, real):
                return
            yield entry if real == directory else replace(entry, path=posixpath.join(directory, entry.path[len(real) + bool(real) :]))

    def submodule_at(self, path: str) -> str | None:
        """The submodule that a path leads to, or into."""
        here = self.resolve(path) if self.submodules and len(path) <= MAX_PATH_BYTES else None
        while here:
            if here in self.submodules:
                return here
            here = posixpath.dirname(here)
        return None

    def with_links(self, texts: Texts) -> Texts:
        """Contents by path, also for paths with links on their way."""
        return _LinkedTexts(self, texts) if self.links else texts

    def _follow(self, path: str) -> _Place:
        pending, real, links = path.split("/")[::-1], [""], list[str]()
        for _ in range(MAX_STEPS):
            if not pending:
                return _Place(real[-1], links=tuple(links))
            name = pending.pop()
            if name == "..":
                if len(real) == 1 or not self._is_directory(real[-1]):
                    return _Place(reason=OUTSIDE if len(real) == 1 else _missing(real[-1]))
                real.pop()
            elif name not in {"", "."}:
                here = posixpath.join(real[-1], name)
                target = self.links.get(here)
                if target is None:
                    real.append(here)
                    continue
                links.append(here)
                if target.startswith("/") or len(links) > MAX_FOLLOWED:
                    return _Place(reason=ABSOLUTE if target.startswith("/") else LOOP)
                # Only the last steps can matter: with more, the path is refused anyway.
                pending.extend(target.split("/")[: -MAX_STEPS - 2 : -1])
        return _Place(reason=TOO_DEEP)

    def _is_directory(self, path: str) -> bool:
        at = bisect_left(self.names, path + "/") if path else 0
        return not path or (at < len(self.names) and is_below(self.names[at], path))

    def _exists(self, path: str) -> bool:
        at = bisect_left(self.names, path)
        return self._is_directory(path) or (at < len(self.names) and self.names[at] == path)

    def lost(self, link: str) -> str:
        """Why a link leads to no file or directory of the repository; `""` if it does."""
        found = self._follow(link)
        if found.reason:
            return found.reason
        if (submodule := self.submodule_at(found.path)) is not None:
            return f"leads into the git submodule {quoted(submodule)}"
        if found.path in self.omitted:
            return f"leads to {quoted(found.path)}, which was not read"
        return "" if self._exists(found.path) else _missing(found.path)


def check_out(entries: Sequence[Entry], texts: Texts) -> Checkout:
    """Follow the links of a commit; `texts` has their targets by path, as far as they were read."""
    omitted = {entry.path: reason for entry in entries if (reason := unusable_name(entry.path))}
    usable = [entry for entry in entries if entry.path not in omitted]
    regular = {entry.path: entry for entry in usable if entry.mode in FILE_MODES}
    submodules = {entry.path: entry.oid for entry in usable if entry.mode == SUBMODULE_MODE}
    written = [entry.path for entry in usable if entry.mode == LINK_MODE]
    links = {path: texts[path].decode("utf-8", "surrogateescape") for path in written if path in texts}
    omitted |= dict.fromkeys((path for path in written if path not in links), UNREAD)
    view = Checkout((), links, submodules, omitted, sorted(entry.path for entry in usable) if links else ())
    linked = []
    for path in links:
        if lost := view.lost(path):
            omitted[path] = f"is a symbolic link that {lost}"
        elif (target := regular.get(view.resolve(path) or "")) is not None:
            linked.append(replace(target, path=path))
    return replace(view, files=sorted([*regular.values(), *linked], key=_path))


def links_of(entries: Sequence[Entry]) -> list[Entry]:
    """The symbolic links to read, those nearest to the root first."""
    links = [entry for entry in entries if entry.mode == LINK_MODE and entry.size < 4096 and is_clean(entry.path)]  # noqa: PLR2004 - PATH_MAX
    return sorted(links, key=lambda entry: (entry.path.count("/"), entry.path))[:MAX_LINKS]


def is_clean(path: str) -> bool:
    r"""Whether a path is safe in the archive: relative, normalized, of a length that Linux allows, without control characters.

    >>> [is_clean(p) for p in ("models/a.sql", "../a.sql", "/a.sql", "a//b.sql", ".git/config", "a\nb.sql")]
    [True, False, False, False, False, False]
    """
    return not unusable_name(path)


def unusable_name(path: str) -> str:
    """Why a path cannot be used; `""` if it can."""
    if not path.isascii() or not path.isprintable():
        categories = {unicodedata.category(character) for character in path}
        if "Cs" in categories:
            return "has a name that is not UTF-8"
        if not categories.isdisjoint({"Cc", "Zl", "Zp"}):
            return "has control characters in its name"
    parts = path.split("/")
    if not {"", ".", "..", ".git"}.isdisjoint(parts):
        return "has a name that git does not allow"
    size = len(path) if path.isascii() else len(path.encode())
    if size > MAX_PATH_BYTES or (size > MAX_NAME_BYTES and max(len(part.encode()) for part in parts) > MAX_NAME_BYTES):
        return "has a name that is too long"
    return ""


@dataclass(frozen=True, slots=True)
class _LinkedTexts(Mapping[str, bytes]):
    checkout: Checkout
    texts: Texts

    def __getitem__(self, path: str) -> bytes:
        if path in self.texts:
            return self.texts[path]
        real = self.checkout.resolve(path)
        if real is None:
            raise KeyError(path)
        return self.texts[real]

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    def __len__(self) -> int:
        return len(self.texts)


def _missing(path: str) -> str:
    return f"leads to {quoted(path)}, which does not exist"


def _path(entry: Entry) -> str:
    return entry.path

"""Recognizes copies of a project: the same project file, and mostly the same files."""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence

from app.project.package_files import PROJECT_FILE

MAX_COMPARED = 1_000
"""Files of a project that are compared with those of a possible copy: the first ones by name."""
ENDINGS = (".sql", ".py", ".csv", ".yml", ".yaml")


def find_copies(candidates: Iterable[str], texts: Mapping[str, bytes], files: Iterable[str]) -> dict[str, str]:
    """The directories of copies, each with the project nearer to the root that it is a copy of.

    The same name alone may be an accident, and copies at the same depth may be deliberate.
    """
    by_text: dict[bytes, list[str]] = {}
    for directory in candidates:
        if text := texts.get(posixpath.join(directory, PROJECT_FILE)):
            by_text.setdefault(text, []).append(directory)
    groups = [group for group in by_text.values() if len(group) > 1]
    below = _files_below({directory for group in groups for directory in group}, files)
    out: dict[str, str] = {}
    for group in groups:
        for index, directory in enumerate(group):
            nearer = [other for other in group[:index] if other not in out and _depth(other) < _depth(directory)]
            originals = (other for other in nearer if _is_copy(below[directory], below[other]))
            if (original := next(originals, None)) is not None:
                out[directory] = original
    return out


def nearest_first(directory: str) -> tuple[int, str]:
    """Sorts directories by their distance from the root."""
    return _depth(directory), directory


def _depth(directory: str) -> int:
    return directory.count("/") if directory else -1


def _files_below(directories: Collection[str], files: Iterable[str]) -> dict[str, set[int]]:
    """Hashes of the files' names relative to each directory: of long names in many directories, copies would fill the memory."""
    paths = sorted(path for path in files if path.endswith(ENDINGS)) if directories else []
    return {directory: {hash(path[len(directory) :].lstrip("/")) for path in _first_below(directory, paths)} for directory in directories}


def _first_below(directory: str, paths: Sequence[str]) -> Sequence[str]:
    """At most `MAX_COMPARED` of the sorted paths."""
    first = bisect_left(paths, f"{directory}/") if directory else 0
    end = bisect_left(paths, f"{directory}0") if directory else len(paths)  # "0" follows "/"
    return paths[first : min(end, first + MAX_COMPARED)]


def _is_copy(one: set[int], other: set[int]) -> bool:
    fewer = min(len(one), len(other))
    return 2 * len(one & other) >= fewer and bool(fewer or one == other)

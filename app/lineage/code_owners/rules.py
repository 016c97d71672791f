"""The lines of CODEOWNERS, and who owns files by them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from app.lineage.code_owners.file_tree import FileTree, TooManyStepsError
from app.lineage.code_owners.patterns import parse

MAX_OWNER = 200
MAX_OWNERS = 20
LINE_STEPS = 10
"""What reading a line takes, unless it names a directory of others."""
_ROOT = re.compile(r"/([^/\s*?\\]+)(?![^/\s])")
"""A first name without wildcards."""
_RULE = re.compile(r"((?:[^\\\s]|\\.)+)(?:\s+(.*))?", re.DOTALL)


def owners_of(text: bytes, paths: Iterable[str]) -> dict[str, str]:
    """The owners of those files that have any, as one text each: `@acme/data, ann@example.com`. Paths are relative to the repository.

    If the file takes more than `file_tree.MAX_STEPS` to apply, its first lines have no effect.
    """
    files, owners = FileTree(paths), dict[str, str]()
    try:
        # Of equal lines, only the last one has an effect.
        for line in dict.fromkeys(reversed(text.decode("utf-8-sig", "replace").split("\n"))):
            if _may_match(line, files):
                files.step(LINE_STEPS + (len(line) >> 6))
                _apply(line, files, owners)
            if files.is_empty:
                break
    except TooManyStepsError:
        pass
    return owners


def _may_match(line: str, files: FileTree) -> bool:
    """False for most lines of a repository with many projects: they begin with another directory, or with a comment."""
    files.step()
    root = _ROOT.match(line)
    return not line.startswith("#") and (root is None or files.has_at_root(root[1]))


def _apply(line: str, files: FileTree, owners: dict[str, str]) -> None:
    rule = _RULE.match(line.strip())
    if rule is None or line.lstrip().startswith("#"):
        return
    pattern, named = parse(rule[1]), _owners(rule[2] or "")
    if pattern is None or named is None:
        return
    taken = files.take(pattern)
    if named:
        owners.update(dict.fromkeys(taken, ", ".join(named[:MAX_OWNERS])[:MAX_OWNER]))


def _owners(text: str) -> list[str] | None:
    """The owners in the rest of a line; None if one is no owner: GitHub then ignores the line."""
    named = []
    for word in text.split():
        if word.startswith("#"):
            break
        if "@" not in word[:-1]:
            return None
        named.append(word)
    return named

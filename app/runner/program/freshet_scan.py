"""Finds calls of `env_var()` and `var()` with a literal name in a project's files, and how the value is used. Independent of dbt."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

import freshet_entries
from freshet_entries import EntryRead

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDINGS = (".sql", ".yml", ".yaml")
"""Files that dbt renders with these functions. Documentation blocks and Python models do not have them."""
MAX_FILES, MAX_BYTES, MAX_FILE_BYTES = 50_000, 256 << 20, 2 << 20
IGNORED = ("profiles.yml", "profiles.yaml")
"""dbt gets its profile from Freshet."""
PROJECT_FILE = "dbt_project.yml"

CALL = re.compile(
    r"""\b(?P<kind>env_var|var)\s*\(\s*(?P<q>\\?["']|'')(?P<name>[^'"\\{}]{1,200}?)(?P=q)\s*(?P<more>,\s*(?i:none)\s*\)|[,)])"""
)
COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
YAML_COMMENT = re.compile(r"^[ \t]*#.*", re.MULTILINE)
MACRO = re.compile(r"\{%-?\s*(?:macro|test|materialization)\b")
ALIAS = re.compile(r"\bset\s+(\w+)\s*=\s*$")
TEST_BEFORE = re.compile(r"\b(?:if|elif|and|or|not)\s+$")
TEST_AFTER = re.compile(r"\s*(?:-?%\}|(?:and|or|else)\b|is\s+(?:not\s+)?(?:none|defined|undefined)\b)", re.IGNORECASE)
FILTERS = re.compile(r"\s*\|\s*(\w+)(?:\([^()]*\))?")

OPENING = re.compile(r"(?:^|[^\w\s])\s*(\(\s*)$")
CLOSING = re.compile(r"\s*\)")
MAKES_NAMES = re.compile(r"\bmacro\s+\w*generate_(?:schema|database|alias)_name\b")
NAME_KEYS = r"(?:schema|database|alias|identifier|project|dataset|catalog)"
JSON_BEFORE = re.compile(r"\bfrom(?:json|yaml)\s*\(\s*$")
MAX_ALIAS = 200_000
"""Characters in which another name of a value is looked for."""
YAML_KEY = r"^\s*-?\s*\+?(?:{})\s*:\s*[\"']?\{{\{{-?\s*$"
BEFORE = (
    ("list", re.compile(r"\bin\s+$")),
    ("json", JSON_BEFORE),
    ("number", re.compile(r"\brange\s*\([^()]*$|\d\s*(?:[<>]=?|[-+*/%])\s*$|[\w)]\s*[*/]\s*$|[\w)]\s+-\s*$")),
    ("number", re.compile(YAML_KEY.format("threads|port|count"), re.MULTILINE)),
    ("bool", re.compile(YAML_KEY.format(r"enabled|full_refresh|store_failures|quote\w*"), re.MULTILINE)),
    ("bool", re.compile(r"\b(?:enabled|full_refresh|store_failures)\s*=\s*$")),
    ("list", re.compile(YAML_KEY.format(r"tags"), re.MULTILINE)),
    ("name", re.compile(rf"\b{NAME_KEYS}[\"']?\s*[:=][^\n,:=]*$")),
)
AFTER = (
    ("dict", re.compile(r"\s*\.\s*(?:items|keys|values|get)\s*\(")),
    ("list", re.compile(r"\s*\.\s*(?:append|extend)\s*\(")),
    ("number", re.compile(r"\s*(?:[<>]=?|[!=]=|[-+*/%]|//)\s*\d|\s*(?:\*\*?|//?|-)\s*[A-Za-z_(]")),
    ("bool", re.compile(r"\s*(?:[!=]=|is)\s*(?:true|false)\b", re.IGNORECASE)),
)
CASTS = {
    **dict.fromkeys(("int", "float", "as_number", "round", "abs"), "number"),
    "as_bool": "bool",
    **dict.fromkeys(("join", "map", "select", "reject", "selectattr", "rejectattr", "unique", "sort", "batch", "length", "count"), "list"),
    **dict.fromkeys(("items", "dictsort"), "dict"),
}
STRENGTH = ("json", "dict", "list", "items", "number", "bool", "name")
"""Of several uses the strongest decides: a value that is iterated in one place may only be tested in another."""


class Use(NamedTuple):
    """One call with a literal name. `path` is in the repository; `needed`: without a default."""

    kind: str
    name: str
    path: str
    line: int
    needed: bool
    wants: str | None
    """One of `STRENGTH`, or None for a text."""
    rendered: bool
    """Whether dbt renders this file in any case: it is not in a package, and has no macros, which may never be called."""
    tested: bool
    """Whether the value is only used as a condition: `{% if var('x') %}`."""
    entries: tuple[EntryRead, ...] = ()
    """The entries that are read of it. Then it is a `dict`, or a list from which items are taken (`items`)."""


def uses(source: str, project: str) -> list[Use]:
    """Return all calls in the files below `source`: those of the project (a directory below it) first, then by path and line."""
    found = []
    for path, own in _files(source, project):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read(MAX_FILE_BYTES)
        except OSError:
            continue
        if "var" in text:
            found.extend(_uses(text, os.path.relpath(path, source), own))
    return sorted(found, key=lambda use: (not use.rendered, use.path, use.line))


def package_roots(source: str, project: str) -> list[str]:
    """Return the directories of the other dbt projects below `source`: packages."""
    return [directory for directory, _, files in _walk(source, project) if PROJECT_FILE in files and directory != project]


def read(text: str, path: str, *, own: bool = True) -> list[Use]:
    """Return the calls in the text of one file, in order."""
    return list(_uses(text, path, own))


def _uses(text: str, path: str, own: bool) -> Iterator[Use]:  # noqa: FBT001 - internal
    text = COMMENT.sub(_blank, text)
    if path.endswith((".yml", ".yaml")):
        text = YAML_COMMENT.sub(_blank, text)
    rendered = own and MACRO.search(text) is None
    least = {"name"} if MAKES_NAMES.search(text) else set()
    for call in CALL.finditer(text):
        needed = call["more"] == ")" or (call["more"] != "," and call["kind"] == "env_var")
        line = text.count("\n", 0, call.start()) + 1
        end = call.end() if call["more"] != "," else _closing(text, call.end())
        reads = list(_reads(text, call.start(), end))
        entries = tuple(dict.fromkeys(read for read in reads if read.keys))
        types = {*least, *(_outer_type(read) for read in reads)}
        tested = not entries and all(read.tested for read in reads[:1])
        yield Use(call["kind"], call["name"], path, line, needed, strongest(types), rendered, tested, entries)


def _reads(text: str, start: int, end: int) -> Iterator[EntryRead]:
    """How a value is used, and how its other name is, if it is set to one; without keys as a whole."""
    start, end = _unwrapped(text, start, end)
    if JSON_BEFORE.search(text, max(0, start - 80), start):
        yield EntryRead((), "json", tested=False)
        closing = CLOSING.match(text, end)
        end = closing.end() if closing else end
        start -= len(JSON_BEFORE.search(text, max(0, start - 80), start)[0])
    keys, end = freshet_entries.keys_at(text, end)
    tested = bool(TEST_BEFORE.search(text[max(0, start - 40) : start]) and TEST_AFTER.match(text, end))
    yield EntryRead(keys, _type_of_use(text, start, end), tested)
    alias = ALIAS.search(text, max(0, start - 80), start)
    if alias is None:
        return
    for other in re.finditer(rf"(?<![.\w]){re.escape(alias[1])}\b", text[end : end + MAX_ALIAS]):
        inner, after = freshet_entries.keys_at(text, end + other.end())
        before = end + other.start()
        tested = bool(TEST_BEFORE.search(text[max(0, before - 40) : before]) and TEST_AFTER.match(text, after))
        yield EntryRead(keys + inner, _type_of_use(text, before, after), tested)


def _outer_type(read: EntryRead) -> str | None:
    """The type of the whole value, of which an entry is read."""
    if not read.keys:
        return read.wants
    return "items" if read.keys[0] == 0 else "dict"


def _unwrapped(text: str, start: int, end: int) -> tuple[int, int]:
    """Where a value begins and ends with the brackets around it."""
    while True:
        opening, closing = OPENING.search(text[max(0, start - 80) : start]), CLOSING.match(text, end)
        if opening is None or closing is None:
            return start, end
        start, end = start - len(opening[1]), closing.end()


def strongest(types: object) -> str | None:
    """Return the strongest of several types."""
    return next((kind for kind in STRENGTH if kind in types), None)


def _type_of_use(text: str, start: int, end: int) -> str | None:
    before, after = text[max(0, start - 80) : start], text[end : end + 120]
    for name in _filters(after):
        if name in CASTS:
            return CASTS[name]
    for kind, pattern in AFTER:
        if pattern.match(after):
            return kind
    return next((kind for kind, pattern in BEFORE if pattern.search(before)), None)


def _filters(after: str) -> Iterator[str]:
    at = 0
    while True:
        found = FILTERS.match(after, at)
        if found is None:
            return
        yield found[1]
        at = found.end()


def _closing(text: str, at: int) -> int:
    """The position after the closing bracket, or `at` if it is too far away."""
    depth = 1
    for index in range(at, min(len(text), at + 400)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index + 1
    return at


def _blank(found: re.Match) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def _files(source: str, project: str) -> Iterator[tuple[str, bool]]:
    count = size = 0
    packages = []
    for directory, _, names in _walk(source, project):
        if PROJECT_FILE in names and directory != project:
            packages.append(directory + os.sep)
        own = (directory + os.sep).startswith(project + os.sep) and not (directory + os.sep).startswith(tuple(packages))
        for name in names:
            path = os.path.join(directory, name)
            if not name.endswith(ENDINGS) or name in IGNORED or os.path.islink(path):
                continue
            count, size = count + 1, size + min(os.stat(path).st_size, MAX_FILE_BYTES)
            if count > MAX_FILES or size > MAX_BYTES:
                return
            yield path, own


def _walk(source: str, project: str) -> Iterator[tuple[str, list, list]]:
    """Walk the tree, without the test projects of packages, which dbt does not read."""
    for directory, names, files in os.walk(source):
        names[:] = sorted(
            name for name in names if name != ".git" and (name != "integration_tests" or _holds(os.path.join(directory, name), project))
        )
        yield directory, names, sorted(files)


def _holds(directory: str, project: str) -> bool:
    return (project + os.sep).startswith(directory + os.sep)

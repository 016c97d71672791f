"""Where the files of a project ask for `env_var` and `var` by a literal name, and what they do with the value. Knows nothing of dbt."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDINGS = (".sql", ".yml", ".yaml")
"""The files whose Jinja dbt renders with these functions: the text of documentation blocks and of Python models knows neither."""
MAX_FILES, MAX_BYTES, MAX_FILE_BYTES = 50_000, 256 << 20, 2 << 20
LEFT_OUT = ("profiles.yml", "profiles.yaml")
"""dbt gets a profile from us."""
PROJECT_FILE = "dbt_project.yml"

CALL = re.compile(
    r"""\b(?P<kind>env_var|var)\s*\(\s*(?P<q>\\?["']|'')(?P<name>[^'"\\{}]{1,200}?)(?P=q)\s*(?P<more>,\s*(?i:none)\s*\)|[,)])"""
)
COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
YAML_COMMENT = re.compile(r"^[ \t]*#.*", re.MULTILINE)
MACRO = re.compile(r"\{%-?\s*(?:macro|test|materialization)\b")
ALIAS = re.compile(r"\bset\s+(\w+)\s*=\s*$")
TEST_BEFORE = re.compile(r"\b(?:if|elif|and|or|not)\s+$")
TEST_AFTER = re.compile(r"\s*(?:-?%\}|(?:and|or|else)\b)")
FILTERS = re.compile(r"\s*\|\s*(\w+)(?:\([^()]*\))?")

YAML_KEY = r"^\s*-?\s*\+?(?:{})\s*:\s*[\"']?\{{\{{-?\s*$"
BEFORE = (
    ("list", re.compile(r"\bin\s+$")),
    ("json", re.compile(r"\bfrom(?:json|yaml)\s*\(\s*$")),
    ("number", re.compile(r"\brange\s*\([^()]*$|\d\s*(?:[<>]=?|[-+*/%])\s*$")),
    ("number", re.compile(YAML_KEY.format("threads|port|count"), re.MULTILINE)),
    ("bool", re.compile(YAML_KEY.format(r"enabled|full_refresh|store_failures|quote\w*"), re.MULTILINE)),
)
AFTER = (
    ("dict", re.compile(r"\s*\.\s*(?:items|keys|values|get)\s*\(")),
    ("list", re.compile(r"\s*\.\s*(?:append|extend)\s*\(")),
    ("number", re.compile(r"\s*(?:[<>]=?|[!=]=|[-+*/%]|//)\s*\d")),
    ("bool", re.compile(r"\s*(?:[!=]=|is)\s*(?:true|false)\b", re.IGNORECASE)),
)
CASTS = {
    **dict.fromkeys(("int", "float", "as_number", "round", "abs"), "number"),
    "as_bool": "bool",
    **dict.fromkeys(("join", "map", "select", "reject", "selectattr", "rejectattr", "unique", "sort", "batch"), "list"),
    **dict.fromkeys(("items", "dictsort"), "dict"),
}
STRENGTH = ("list", "dict", "json", "number", "bool")
"""Of several uses the strongest decides: what is iterated in one place may well be tested in another."""


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
    """dbt renders this file of the project in any case: it is no package's, and no macro's that nobody may call."""
    tested: bool
    """Nothing is done with the value but to look whether there is one: `{% if var('x') %}`."""


def uses(source: str, project: str) -> list[Use]:
    """Return every call in the files below `source`, those of the project (a directory below it) first, then by path and line."""
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
    """Return the calls of one file's text, in order."""
    return list(_uses(text, path, own))


def _uses(text: str, path: str, own: bool) -> Iterator[Use]:  # noqa: FBT001 - internal
    text = COMMENT.sub(_blank, text)
    if path.endswith((".yml", ".yaml")):
        text = YAML_COMMENT.sub(_blank, text)
    rendered = own and MACRO.search(text) is None
    for call in CALL.finditer(text):
        needed = call["more"] == ")" or (call["more"] != "," and call["kind"] == "env_var")
        line = text.count("\n", 0, call.start()) + 1
        tested = bool(TEST_BEFORE.search(text[max(0, call.start() - 40) : call.start()]) and TEST_AFTER.match(text, call.end()))
        yield Use(call["kind"], call["name"], path, line, needed, _wants(text, call), rendered, tested)


def _wants(text: str, call: re.Match) -> str | None:
    end = call.end() if call["more"] != "," else _closing(text, call.end())
    alias = ALIAS.search(text, max(0, call.start() - 80), call.start())
    wanted = {_wanted(text, call.start(), end)}
    if alias:
        rest = text[end:]
        wanted.update(_wanted(rest, other.start(), other.end()) for other in re.finditer(rf"(?<![.\w]){re.escape(alias[1])}\b", rest))
    return strongest(wanted)


def strongest(wanted: object) -> str | None:
    """Return the strongest of several wishes."""
    return next((kind for kind in STRENGTH if kind in wanted), None)


def _wanted(text: str, start: int, end: int) -> str | None:
    before, after = text[max(0, start - 80) : start], text[end : end + 120]
    while before.rstrip().endswith("(") and after.lstrip().startswith(")") and not re.search(r"\w\s*\(\s*$", before):
        before, after = before.rstrip()[:-1], after.lstrip()[1:]
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
    """Return where the bracket ends that is open at `at`, or a place near to it."""
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
            if not name.endswith(ENDINGS) or name in LEFT_OUT or os.path.islink(path):
                continue
            count, size = count + 1, size + min(os.stat(path).st_size, MAX_FILE_BYTES)
            if count > MAX_FILES or size > MAX_BYTES:
                return
            yield path, own


def _walk(source: str, project: str) -> Iterator[tuple[str, list, list]]:
    """Walk the tree without what dbt does not read of packages: their own test projects."""
    for directory, names, files in os.walk(source):
        names[:] = sorted(
            name for name in names if name != ".git" and (name != "integration_tests" or _holds(os.path.join(directory, name), project))
        )
        yield directory, names, sorted(files)


def _holds(directory: str, project: str) -> bool:
    return (project + os.sep).startswith(directory + os.sep)

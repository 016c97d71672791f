"""The files and lines of the repository that dbt's message names."""

from __future__ import annotations

import posixpath
import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from app.core.models.annotations import Annotation
from app.core.plurals import count
from app.lineage.resource_types import RESOURCE_TYPES
from app.project.layout import PROJECT_FILE, ProjectLayout
from app.reports.advice import Advisor
from app.reports.dbt_errors import split_errors
from app.reports.markdown import cut

Location = tuple[str, int | None]
"""A path in the repository and a line from 1."""

MAX_SEARCHED_CHARACTERS = 50_000
"""Of one error: half at its beginning, half at its end."""
MAX_LOCATIONS = 10
"""Of one error, such as a list of duplicates."""
MAX_ANNOTATIONS = 100
MAX_MESSAGE_BYTES = 4_000
MAX_MESSAGE_LINES = 60

_TOKEN = re.compile(r"[^\s'\"`(),:;\[\]<>|]+")
_ENDING = re.compile(r"\.(?:sql|py|ya?ml|csv|md)\b")
_LINE = re.compile(r"\blines?[: ]+(\d{1,7})\b|(?:@|\bat) (\d{1,7}):\d+\b", re.IGNORECASE)
_FILE_PATH = re.compile(r"FilePath\(searched_path='([^'\n]{0,500})', relative_path='([^'\n]{0,500})'[^()\n]{0,2000}+\)")
"""The `repr()` of dbt's record of a file, in messages about exposures, metrics and unit tests."""
_PACKAGE = re.compile(r"\b(\w+):\Z")
_CALLERS = re.compile(r"^[^\S\n]*+> .*$", re.MULTILINE)
_UNIQUE_ID = re.compile(rf"\b(?:{'|'.join(row.name for row in RESOURCE_TYPES if row.has_own_file)})\.(\w{{1,200}})\.(\w{{1,200}})\b")
_FILE_OF_CLASS = {
    **dict.fromkeys(("config_version", "missing_name", "project_file"), PROJECT_FILE),
    **dict.fromkeys(("packages_file", "missing_package"), "packages.yml"),
    "package_lock": "package-lock.yml",
    "selectors": "selectors.yml",
}
"""The file that a class is about, where dbt does not name it."""
_REMARK = "\n\nThis was in "
"""As in `app/runner/program/freshet_current_file.py`."""
_CLASSES_WITHOUT_PLACE = frozenset({"missing_time_spine"})
"""The file that dbt was at has nothing to do with it."""
_JINJA_CLASSES = frozenset({"jinja_syntax", "unclosed_block", "undefined_macro", "macro_arguments"})
"""In YAML and Markdown, their line numbers count from the start of a string, not of the file."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What dbt's output means for a commit: title and advice of its first error, and its place, if it has one."""

    output: str
    """Without remarks that name another file than that of the cause."""
    title: str
    next_step: str
    place: Location | None
    annotations: tuple[Annotation, ...]
    """One failure for each file of the repository that an error names, with dbt's message and what to do; at most `MAX_ANNOTATIONS`."""


def explain(output: str, layout: ProjectLayout) -> Explanation:
    """Explain dbt's output."""
    advisor, files = Advisor(layout), _ProjectFiles(layout)
    errors = split_errors(output)
    advice = [advisor.advise(error) for error in errors]
    places = [
        [one.place] if one.place else _locations(error, layout, files, one.known.code) for error, one in zip(errors, advice, strict=True)
    ]
    annotations = [
        Annotation("failure", one.known.title, f"{_head(error)}\n\n{one.known.next_step}", path, line)
        for error, one, found in zip(errors, advice, places, strict=True)
        for path, line in found
    ]
    first = next((place for found in places for place in found), None)
    for error, one in zip(errors, advice, strict=True):
        if one.place or one.known.code in _CLASSES_WITHOUT_PLACE:
            output = output.replace(error, _without_remark(error), 1)
    return Explanation(output, advice[0].known.title, advice[0].known.next_step, first, tuple(annotations[:MAX_ANNOTATIONS]))


def _without_remark(error: str) -> str:
    """An error without the last line that says which file dbt read: the cause is known to be elsewhere."""
    message, found, place = error.rpartition(_REMARK)
    return message if found and "\n" not in place.strip() else error


def _locations(error: str, layout: ProjectLayout, files: _ProjectFiles, error_code: str) -> list[Location]:
    """The files that an error names; the callers of a macro only if it names no other file."""
    if error_code in _CLASSES_WITHOUT_PLACE:
        return []
    text = error
    if len(text) > MAX_SEARCHED_CHARACTERS:
        text = f"{text[: MAX_SEARCHED_CHARACTERS // 2]}\n{text[-MAX_SEARCHED_CHARACTERS // 2 :]}"
    text = _FILE_PATH.sub(r"\1/\2", text)
    found = files.named_in(_CALLERS.sub("", text)) or files.named_in(text)
    if not found and layout.unreadable:
        return [(layout.unreadable[0], _line(text, 0, len(text)))]
    if not found:
        found = files.implied_by(text, _FILE_OF_CLASS.get(error_code))
    if error_code not in _JINJA_CLASSES:
        return found
    return [(path, None if path.endswith((".yml", ".yaml", ".md")) else line) for path, line in found]


class _ProjectFiles:
    """The files that dbt reads. It names them relative to the project, to a path setting, or after a package name."""

    def __init__(self, layout: ProjectLayout) -> None:
        self._dir = layout.project_dir
        self._project = layout.project_name
        self._paths = {*(member.path for member in layout.members), posixpath.join(layout.project_dir, PROJECT_FILE)}
        self._by_name: dict[str, list[str]] = {}
        for path in self._paths:
            self._by_name.setdefault(posixpath.basename(path), []).append(path)
        self._backwards = sorted(path[::-1] for path in self._paths)
        """Paths with the same ending are neighbours."""

    def named_in(self, text: str) -> list[Location]:
        """The files that a text names, each once, at most `MAX_LOCATIONS`."""
        found: dict[str, tuple[int, int]] = {}
        for path, start, end in self._files(text):
            found.setdefault(path, (start, end))
            if len(found) == MAX_LOCATIONS:
                break
        starts = [*(start for start, _ in found.values()), len(text)]
        lines = [_line(text, end, starts[number + 1]) for number, (_, end) in enumerate(found.values())]
        if len(lines) == 1 and lines[0] is None:
            lines = [_line(text, 0, len(text))]
        return list(zip(found, lines, strict=True))

    def implied_by(self, text: str, default: str | None) -> list[Location]:
        """The file of the first unique_id in a text without file names, or else `default` if the project has it; one or none."""
        node = next((one for one in _UNIQUE_ID.finditer(text) if one[1] == self._project), None)
        if node:
            files = [path for ending in ("sql", "py", "csv") for path in self._by_name.get(f"{node[2]}.{ending}", ())]
            return [(files[0], _line(text, node.end(), len(text)))] if len(files) == 1 else []
        path = posixpath.join(self._dir, default) if default else ""
        return [(path, _line(text, 0, len(text)))] if path in self._by_name.get(default or "", ()) else []

    def _files(self, text: str) -> Iterator[tuple[str, int, int]]:
        for token in _TOKEN.finditer(text):
            ending = _ENDING.search(token[0])
            if ending is None or len(token[0]) > 1000:  # noqa: PLR2004 - no path is that long
                continue
            package = _PACKAGE.search(text, max(token.start() - 100, 0), token.start()) if token[0].startswith("//") else None
            path = self._path(posixpath.normpath(token[0][: ending.end()].lstrip("/")), package[1] if package else None)
            if path:
                yield path, token.start(), token.end()

    def _path(self, name: str, package: str | None) -> str | None:
        if package in (None, self._project):
            for path in (posixpath.normpath(posixpath.join(self._dir, name)), name):
                if path in self._paths:
                    return path
        own = None if package in (None, self._project) else posixpath.join(self._dir, name)
        ending = f"/{name}"[::-1]
        place = bisect_left(self._backwards, ending)
        likely = [path[::-1] for path in self._backwards[place : place + 3] if path.startswith(ending)]  # three: one of them may be `own`
        others = [path for path in likely if path != own]
        return others[0] if len(others) == 1 else None


def _line(text: str, start: int, end: int) -> int | None:
    found = _LINE.search(text, start, end)
    return (int(found[1] or found[2]) or None) if found else None


def _head(message: str) -> str:
    lines = message.strip().splitlines()
    rest = f"\n… {count(len(lines) - MAX_MESSAGE_LINES, 'more line')}" if len(lines) > MAX_MESSAGE_LINES else ""
    return cut("\n".join(lines[:MAX_MESSAGE_LINES]), MAX_MESSAGE_BYTES) + rest

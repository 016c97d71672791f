"""Where in the repository dbt stopped, read off its message."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from app.inference.project import PROJECT_FILE, Layout
from app.remarks import Remark
from app.wording import advice
from app.wording.markdown import cut

Place = tuple[str, int | None]

MAX_LOOKED_AT = 50_000
MAX_PLACES = 10
"""Places of one error: of a list of duplicates, say."""
MAX_REMARKS = 100
MAX_MESSAGE_BYTES = 4_000
MAX_MESSAGE_LINES = 60

_TOKEN = re.compile(r"[^\s'\"`(),:;\[\]<>|]+")
_ENDING = re.compile(r"\.(?:sql|py|ya?ml|csv|md)\b")
_LINE = re.compile(r"\blines?[: ]+(\d{1,7})\b|(?:@|\bat) (\d{1,7}):\d+\b", re.IGNORECASE)
_FILE_PATH = re.compile(r"FilePath\(searched_path='([^'\n]{0,500})', relative_path='([^'\n]{0,500})'[^)\n]{0,2000}\)")
"""dbt's record of a file, as Python shows it, in the messages on exposures, metrics and unit tests."""
_CALLERS = re.compile(r"^\s*> .*$", re.MULTILINE)
_UNIQUE_ID = re.compile(r"\b(?:model|seed|snapshot|analysis)\.(\w{1,200})\.(\w{1,200})\b")
_STEERING = {
    **dict.fromkeys(("config_version", "missing_name", "project_file"), PROJECT_FILE),
    **dict.fromkeys(("packages_file", "missing_package"), "packages.yml"),
    "package_lock": "package-lock.yml",
    "selectors": "selectors.yml",
}
"""The files that some classes are about, where dbt takes for granted that one knows."""
_IN_TEXTS = frozenset({"jinja_syntax", "unclosed_block", "undefined_macro", "macro_arguments"})
"""In YAML these are in a text, and the line is the text's own."""


def place(output: str, layout: Layout) -> Place | None:
    """Return the file of the repository, and the line, that dbt's message names first."""
    return next((found for part in advice.parts(output) for found in _places(part, layout)), None)


def failures(output: str, layout: Layout) -> tuple[Remark, ...]:
    """Return what dbt says of each file of the repository that it names: the class of the error, its words, and what to do."""
    found = []
    for part in advice.parts(output):
        advised = advice.advise(part)
        message = f"{_head(part)}\n\n{advised.next_step}"
        found += [Remark("failure", advised.title, message, path, line) for path, line in _places(part, layout)]
    return tuple(found[:MAX_REMARKS])


def _places(message: str, layout: Layout) -> list[Place]:
    """Return the files that one message names, the callers of a macro only where it names nothing else."""
    text = message if len(message) <= MAX_LOOKED_AT else f"{message[: MAX_LOOKED_AT // 2]}\n{message[-MAX_LOOKED_AT // 2 :]}"
    text = _FILE_PATH.sub(r"\1/\2", text)
    known = _Known(layout)
    code = advice.advise(message).code
    found = known.named(_CALLERS.sub("", text)) or known.named(text)
    if not found and layout.unreadable:
        return [(layout.unreadable[0], _line(text, 0, len(text)))]
    if not found:
        found = known.implied(text, _STEERING.get(code))
    in_text = code in _IN_TEXTS
    return [(path, None if in_text and path.endswith((".yml", ".yaml", ".md")) else line) for path, line in found]


class _Known:
    """The files that may be named: dbt names them relative to the project, to a path setting, or with a package's name."""

    def __init__(self, layout: Layout) -> None:
        self._dir = layout.project_dir
        self._project = layout.project_name
        self._by_name: dict[str, list[str]] = {}
        for path in {*(member.path for member in layout.members), posixpath.join(layout.project_dir, PROJECT_FILE)}:
            self._by_name.setdefault(posixpath.basename(path), []).append(path)

    def named(self, text: str) -> list[Place]:
        """Return the places that a text names, each file once."""
        found: dict[str, tuple[int, int]] = {}
        for path, start, end in self._files(text):
            found.setdefault(path, (start, end))
            if len(found) == MAX_PLACES:
                break
        starts = [*(start for start, _ in found.values()), len(text)]
        lines = [_line(text, end, starts[number + 1]) for number, (_, end) in enumerate(found.values())]
        if len(lines) == 1 and lines[0] is None:
            lines = [_line(text, 0, len(text))]
        return list(zip(found, lines, strict=True))

    def implied(self, text: str, steering: str | None) -> list[Place]:
        """Return the place that a text is about without naming it: that of the first node by its unique_id, or a file that steers dbt."""
        node = next((one for one in _UNIQUE_ID.finditer(text) if one[1] == self._project), None)
        if node:
            files = [path for ending in ("sql", "py", "csv") for path in self._by_name.get(f"{node[2]}.{ending}", ())]
            return [(files[0], _line(text, node.end(), len(text)))] if len(files) == 1 else []
        path = posixpath.join(self._dir, steering) if steering else ""
        return [(path, _line(text, 0, len(text)))] if path in self._by_name.get(steering or "", ()) else []

    def _files(self, text: str) -> Iterator[tuple[str, int, int]]:
        for token in _TOKEN.finditer(text):
            ending = _ENDING.search(token[0])
            if ending is None or len(token[0]) > 1000:  # noqa: PLR2004 - no path of ours is as long
                continue
            package = re.search(r"(\w+):$", text[max(token.start() - 100, 0) : token.start()]) if token[0].startswith("//") else None
            path = self._path(posixpath.normpath(token[0][: ending.end()].lstrip("/")), package[1] if package else None)
            if path:
                yield path, token.start(), token.end()

    def _path(self, name: str, package: str | None) -> str | None:
        same_name = self._by_name.get(posixpath.basename(name), ())
        if package in (None, self._project):
            for path in (posixpath.normpath(posixpath.join(self._dir, name)), name):
                if path in same_name:
                    return path
        own = None if package in (None, self._project) else posixpath.join(self._dir, name)
        endings = [path for path in same_name if path.endswith(f"/{name}") and path != own]
        return endings[0] if len(endings) == 1 else None


def _line(text: str, start: int, end: int) -> int | None:
    found = _LINE.search(text, start, end)
    return (int(found[1] or found[2]) or None) if found else None


def _head(message: str) -> str:
    kept = message.strip().splitlines()
    rest = f"\n… {len(kept) - MAX_MESSAGE_LINES} more lines" if len(kept) > MAX_MESSAGE_LINES else ""
    return cut("\n".join(kept[:MAX_MESSAGE_LINES]), MAX_MESSAGE_BYTES) + rest

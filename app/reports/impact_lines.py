"""Lines of a node's code: where it names a column, and where a column went.

Lines count from the first line of dbt's `raw_code`, which is the file without the blank lines that it begins with: nobody says how many
these were. So a line is right unless the file begins with blank lines, and then it is too small by their number. Blocks (`{% snapshot %}`,
tests in YAML) begin anywhere in their file: they have no lines here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

MAX_CODE = 1 << 20
"""Characters that are searched."""
COMMENTS = {"--": "\n", "/*": "*/", "{#": "#}"}
_STARTS = re.compile(r"--|/\*|\{#")
_WORD = re.compile(r"[\w$]+")


def line_of_column(code: str, column: str) -> int | None:
    """The first line that names a column outside of comments; None if none does, for example because a macro names it."""
    names = _naming(column)
    return next((number for number, line in enumerate(_lines(code), 1) if names(line)), None)


def line_of_change(base: str, head: str, column: str) -> int | None:
    """The line of `head` at which a line of `base` with a column's name is gone; None if no such line is.

    It is the line after the nearest one above that both have exactly once, so that moved code does not count.
    """
    old, new = _lines(base), _lines(head)
    gone = _gone(old, new, column)
    if gone is None:
        return None
    once_old, once_new = _once(old), _once(new)
    for number in range(gone - 1, -1, -1):
        text = old[number].strip()
        if text in once_old and text in once_new:
            return min(once_new[text] + 2, len(new))
    return 1


def _gone(old: list[str], new: list[str], column: str) -> int | None:
    """The position of the first line that names the column and has no equal in the other code."""
    names, left = _naming(column), Counter(line.strip() for line in new)
    return next((number for number, line in enumerate(old) if names(line) and not left[line.strip()]), None)


def _once(lines: list[str]) -> dict[str, int]:
    """The positions of the lines that are there exactly once."""
    counts = Counter(line.strip() for line in lines)
    return {text: number for number, line in enumerate(lines) if (text := line.strip()) and counts[text] == 1}


def _naming(column: str) -> Callable[[str], bool]:
    """Whether a line names the column: as a word, if it is one."""
    wanted = column.casefold()
    if _WORD.fullmatch(wanted):
        return lambda line: wanted in _WORD.findall(line.casefold())
    return lambda line: wanted in line.casefold()


def _lines(code: str) -> list[str]:
    """The lines without comments."""
    return _without_comments(code[:MAX_CODE]).split("\n")


def _without_comments(code: str) -> str:
    """The code with only the line ends of its comments. One pass over the text: a comment that does not end is none."""
    parts, at, unended = [], 0, set()
    while found := _STARTS.search(code, at):
        start = found[0]
        end = -1 if start in unended else code.find(COMMENTS[start], found.end())
        end = len(code) if end < 0 and start == "--" else end
        if end < 0:
            unended.add(start)
            parts.append(code[at : found.end()])
            at = found.end()
            continue
        end += 0 if start == "--" else len(COMMENTS[start])
        parts += [code[at : found.start()], "\n" * code.count("\n", found.start(), end)]
        at = end
    return "".join([*parts, code[at:]])

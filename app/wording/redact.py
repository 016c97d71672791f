"""What dbt logged, made safe to be kept and shown: no secrets, and nothing that a terminal or a browser would obey.

A project decides what its log says, so this is a net for what people log by mistake; it keeps nothing from somebody who means to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.wording.summary import is_secret

MASK = "***"
MAX_BYTES = 1 << 20
"""Of a log that is kept, in UTF-8."""
HEAD_BYTES = MAX_BYTES // 4
"""How much of that is its beginning, when the middle is left out."""
GAP_BYTES = 100
"""For the line that says what was left out."""
MIN_SECRET = 4
"""Shorter values are part of too many words."""
MAX_KEY_LINES = 200
"""Of a private key."""

MAX_PIECE = 16 << 10
"""Of a line, looked at at once: an expression holds the interpreter as long as it looks."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LINE_ENDS = re.compile(r"\r\n?")
_HIDING = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180e\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Printable for Python, but without ink: see `markdown`."""
_NAME = r"[\w.-]{0,60}(?:passw(?:or)?d|pwd|passphrase|secret|token|credential|private[_-]?key|(?:api|access|account)[_-]?key)[\w.-]{0,60}"
_VALUE = r"""(?!["']?\{[{%])(?:"(?:[^"\\]|\\.)+"|'(?:[^'\\]|\\.)+'|[^\s"',;(){}\[\]]+)"""
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Also within words: what a program quotes may have `\\n` before it.
    # GitHub's, AWS', GitLab's, Slack's, dbt Cloud's, Google's, Databricks'.
    (re.compile(r"(?:gh[pousr]_|github_pat_)[\w.-]{8,}"), MASK),
    (re.compile(r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"), MASK),
    (re.compile(r"(?:glpat-|xox[abeoprs]-|dbt[cu]_|AIza|ya29\.)[\w.~+/-]{10,}"), MASK),
    (re.compile(r"dapi[0-9a-f]{32}"), MASK),
    # https://www.rfc-editor.org/rfc/rfc7519
    (re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"), MASK),
    (re.compile(r"(authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:\w{1,20} )?)[^\s\"',]+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"(bearer\s{1,3})[\w.~+/-]{8,}=*", re.IGNORECASE), rf"\1{MASK}"),
    # https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1
    (re.compile(r"(?<=://)[^\s/?#]{1,2000}@"), f"{MASK}@"),
    (re.compile(rf"""(--{_NAME}\s{{1,3}}|(?<![\w.-]){_NAME}["']?\s{{0,3}}[:=]\s{{0,3}}){_VALUE}""", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"-----BEGIN [A-Z0-9 ]{0,60}-----.*?-----END [A-Z0-9 ]{0,60}-----"), MASK),
)
_MAY_BE = re.compile(
    r"gh[pousr]_|github_pat_|A[KSBC][IC]A|glpat-|xox|dbt[cu]_|AIza|ya29\.|dapi|eyJ|bearer|://|-----BEGIN"
    r"|authorization|passw|pwd|passphrase|secret|token|credential|private|(?:api|access|account)[_-]?key",
    re.IGNORECASE,
)
"""What every match of the patterns holds: most lines hold none of it, and are soon done with."""
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,60}-----")
_KEY_ENDS = re.compile(r"-----END [A-Z0-9 ]{0,60}-----")
_KEY_LINE = re.compile(r"(?:.{0,40}[\s\"'|>])?[A-Za-z0-9+/=]{16,}\W{0,4}")


def log(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a log without secrets, in printable characters and lines, within `MAX_BYTES`: of a longer one the middle is left out.

    `secrets` are to go wherever they stand, besides whatever looks like one.
    """
    return _within(safe(_shortened(text), secrets))


def safe(text: str, secrets: Iterable[str] = ()) -> str:
    r"""Return text of any length without secrets, in printable characters, tabs and lines.

    >>> safe("GET https://bob:pw@hub.example\x1b]0;owned\x07 password=hunter2")
    'GET https://***@hub.example\\x1b]0;owned\\x07 password=***'
    """
    text = _LINE_ENDS.sub("\n", _COLOURS.sub("", text))
    for secret in sorted({*secrets}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return "\n".join(_masked(_visible(line)) for line in _without_keys(text.split("\n")))


def secrets_of(values: Mapping[str, Any]) -> set[str]:
    """Return what is secret among the values of `env` and `vars`, by their names; as it is and as JSON writes it."""
    found = {text for text in _secret_texts(values, named=False) if len(text) >= MIN_SECRET}
    return found | {json.dumps(text)[1:-1] for text in found}


def _secret_texts(value: object, *, named: bool) -> Iterator[str]:
    match value:
        case Mapping():
            for name, below in value.items():
                yield from _secret_texts(below, named=named or is_secret(str(name)))
        case list() | tuple():
            for below in value:
                yield from _secret_texts(below, named=named)
        case str() if named:
            yield from {value, value.strip()}
        case int() | float() if named and not isinstance(value, bool):
            yield str(value)


def _without_keys(lines: list[str]) -> Iterator[str]:
    """Give the lines, those of a PEM block as one mask: https://www.rfc-editor.org/rfc/rfc7468."""
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        begin = _KEY_BEGINS.search(line)
        if begin is None or _KEY_ENDS.search(line, begin.end()):
            yield line
            continue
        yield line[: begin.start()] + MASK
        number = _end_of_key(lines, number)


def _end_of_key(lines: list[str], number: int) -> int:
    """Return the number of the line behind a PEM block; one that has no end ends where lines do not look like one."""
    for last in range(number, min(number + MAX_KEY_LINES, len(lines))):
        if _KEY_ENDS.search(lines[last]):
            return last + 1
    while number < len(lines) and _KEY_LINE.fullmatch(lines[number].strip()):
        number += 1
    return number


def _masked(line: str) -> str:
    if len(line) > MAX_PIECE:
        return "".join(_masked(piece) for piece in _pieces(line))
    if not _MAY_BE.search(line):
        return line
    for pattern, mask in _PATTERNS:
        line = pattern.sub(mask, line)
    return line


def _pieces(line: str) -> Iterator[str]:
    """Give a long line in pieces, cut at spaces where there are any."""
    start = 0
    while start < len(line):
        end = start + MAX_PIECE
        if end < len(line):
            end = line.rfind(" ", start + MAX_PIECE // 2, end) + 1 or end
        yield line[start:end]
        start = end


def _shown(number: int) -> str:
    """Return what is shown of a character, by its number."""
    char = chr(number)
    is_space = char.isspace() and char > "\xa0" and char not in "\u2028\u2029"
    if char == "\t" or ((char.isprintable() or is_space) and not _HIDING.match(char)):
        return char
    return char.encode("unicode_escape").decode()


class _Shown(dict[int, str]):
    """For `str.translate`. Nothing is added: a log may hold every character that there is."""

    def __missing__(self, number: int) -> str:
        return _shown(number)


_SHOWN = _Shown({number: _shown(number) for number in range(256)})


def _visible(line: str) -> str:
    return line if line.isprintable() and not _HIDING.search(line) else line.translate(_SHOWN)


def _shortened(text: str) -> str:
    """Leave out the middle at the ends of lines, before it is looked through: that takes time."""
    if len(text) <= MAX_BYTES - GAP_BYTES:
        return text
    # What is cut in two would not look like a secret any more.
    head = text[:HEAD_BYTES].rpartition("\n")[0]
    tail = text[len(text) - (MAX_BYTES - HEAD_BYTES - GAP_BYTES) :].partition("\n")[2]
    return f"{head}\n[... {len(text) - len(head) - len(tail):,} characters left out ...]\n{tail}"


def _within(text: str) -> str:
    """Cut what has become longer, as characters that cannot be seen have names of many."""
    encoded = text.encode()
    return (
        text if len(encoded) <= MAX_BYTES else f"{encoded[: MAX_BYTES - GAP_BYTES].decode(errors='ignore')}\n[... the rest is left out ...]"
    )

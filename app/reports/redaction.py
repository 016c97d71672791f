"""Makes dbt's output safe to store and show: without secrets, and without characters that control a terminal or a browser.

This catches secrets that are logged by mistake. A project decides what it logs, so it can still print a secret on purpose.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from app.core.plurals import count
from app.reports.placeholders import looks_secret

MASK = "***"
MAX_BYTES = 1 << 20
"""Of a stored log, in UTF-8."""
HEAD_BYTES = MAX_BYTES // 4
"""Of its beginning, when the middle is left out."""
GAP_BYTES = 100
"""For the line that says how much was left out."""
MIN_SECRET = 4
"""Characters. Shorter values occur in ordinary words."""
MAX_KEY_LINES = 200
"""Of a PEM block."""

MAX_PIECE = 16 << 10
"""Characters of a line that are searched at once: the interpreter is blocked while an expression searches."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LINE_ENDS = re.compile(r"\r\n?")
_HIDING = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180e\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Printable for Python, but invisible: see `markdown`."""
_WORD = r"(?:passw(?:or)?d|pwd|passphrase|secret|token|credential|private[_-]?key|(?:api|access|account)[_-]?key)"
_NAME = rf"(?=[\w.-]*{_WORD})[\w.-]++"
_OPTION = rf"(?=(?>[\w.-]*?--)[\w.-]*{_WORD})[\w.-]++"
"""Both are whole words, looked at once: a search that may begin anywhere in a word and go on to its end takes the square of its length."""
_VALUE = r"""(?!["']?\{[{%])(?:"(?:[^"\\]|\\.)++"|'(?:[^'\\]|\\.)++'|[^\s"',;(){}\[\]]+)"""
_JWT = re.compile(r"eyJ[\w-]{8,}+(\.[\w-]{8,}+(?:\.[\w-]*+)?)?")
"""https://www.rfc-editor.org/rfc/rfc7519. Without the group it is none: matched all the same, so that no search begins within it again."""
_Masks = tuple[tuple[re.Pattern[str], str], ...]
_TOKENS: _Masks = (
    # Tokens of GitHub, AWS, GitLab, Slack, dbt Cloud, Google and Databricks. Also within words: quoted output may have `\\n` before them.
    (re.compile(r"(?:gh[pousr]_|github_pat_)[\w.-]{8,}"), MASK),
    (re.compile(r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"), MASK),
    (re.compile(r"(?:glpat-|xox[abeoprs]-|dbt[cu]_|AIza|ya29\.)[\w.~+/-]{10,}"), MASK),
    (re.compile(r"dapi[0-9a-f]{32}"), MASK),
    (re.compile(r"(bearer\s{1,3})[\w.~+/-]{8,}=*", re.IGNORECASE), rf"\1{MASK}"),
    # https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1
    (re.compile(r"(?<=://)[^\s/?#]{1,2000}@"), f"{MASK}@"),
)
_BY_NAME: _Masks = (
    (re.compile(r"(authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:\w{1,20} )?)[^\s\"',]+", re.IGNORECASE), rf"\1{MASK}"),
    (
        re.compile(rf"""((?<![\w.-])(?:{_OPTION}\s{{1,3}}|{_NAME}["']?\s{{0,3}}[:=]\s{{0,3}})){_VALUE}""", re.IGNORECASE),
        rf"\1{MASK}",
    ),
)
_HINT = re.compile(
    r"gh[pousr]_|github_pat_|A[KSBC][IC]A|glpat-|xox|dbt[cu]_|AIza|ya29\.|dapi|eyJ|bearer|://|-----BEGIN"
    r"|authorization|passw|pwd|passphrase|secret|token|credential|private|(?:api|access|account)[_-]?key",
    re.IGNORECASE,
)
"""Every match of the patterns contains one of these; most lines contain none and are skipped quickly."""
_SIGNS = (
    *(f"gh{kind}_" for kind in "pousr"),
    *(f"A{kind}A" for kind in ("KI", "SI", "BI", "CC")),
    "dbtc_",
    "dbtu_",
    "github_pat_",
    "glpat-",
)
_SIGNS += ("xox", "AIza", "ya29.", "dapi", "eyJ", "://", "-----BEGIN")
"""Every match of `_TOKENS` and every key contains one of these, or `bearer`. They are searched for faster than an expression is."""
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,60}-----")
_KEY_ENDS = re.compile(r"-----END [A-Z0-9 ]{0,60}-----")
_KEY_LINE = re.compile(r"(?:.{0,40}[\s\"'|>])?[A-Za-z0-9+/=]{16,}\W{0,4}")


def redact_log(text: str, secrets: Iterable[str] = ()) -> str:
    """`redact`, and shorten the log to `MAX_BYTES` by leaving out the middle."""
    return _within(redact(_shortened(text), secrets))


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    r"""Mask `secrets` and everything that looks like a secret, and escape all control characters but tabs and line ends.

    >>> redact("GET https://bob:pw@hub.example\x1b]0;owned\x07 password=hunter2")
    'GET https://***@hub.example\\x1b]0;owned\\x07 password=***'
    """
    text = _without_secrets(_LINE_ENDS.sub("\n", _COLOURS.sub("", text)), secrets)
    return "\n".join(_masked(_visible(line)) if line else line for line in _without_keys(text.split("\n")))


def redact_code(text: str, secrets: Iterable[str] = (), tick: Callable[[], None] = lambda: None) -> str:
    """Mask `secrets`, tokens, keys and the passwords in URLs in SQL. The rest stays as it is: `a.token = b.token` compares two columns.

    `tick` is called every few milliseconds of processor time at most; it may raise to stop.

    >>> redact_code("select 'ghp_0123456789abcdef' from a join b on a.access_key = b.access_key")
    "select '***' from a join b on a.access_key = b.access_key"
    """
    text = _without_secrets(text, secrets, tick)
    if not _has_sign(text):
        return text
    return "\n".join(_masked_code(line, tick) for line in _without_keys(text.split("\n")))


def redact_short(text: str, secrets: Iterable[str], length: int, cut_at: int) -> str:
    """`redact` a text of a sentence or two, at most `length` characters of it; it may have been cut anywhere if it has `cut_at`."""
    if len(text) >= cut_at:
        text = _without_end_of(text, secrets)
    return redact(text, secrets)[:length]


def secret_values(values: Mapping[str, Any]) -> set[str]:
    """The values of `env` and `vars` whose names look secret, plain and as JSON escapes them."""
    found = {text for text in _secret_texts(values, named=False) if len(text) >= MIN_SECRET}
    return found | {json.dumps(text)[1:-1] for text in found}


def _secret_texts(value: object, *, named: bool) -> Iterator[str]:
    match value:
        case Mapping():
            for name, below in value.items():
                yield from _secret_texts(below, named=named or looks_secret(str(name)))
        case list() | tuple():
            for below in value:
                yield from _secret_texts(below, named=named)
        case str() if named:
            yield from {value, value.strip()}
        case int() | float() if named and not isinstance(value, bool):
            yield str(value)


def _without_secrets(text: str, secrets: Iterable[str], tick: Callable[[], None] = lambda: None) -> str:
    for secret in sorted({*secrets}, key=len, reverse=True):
        tick()
        text = text.replace(secret, MASK)
    return text


def _without_end_of(text: str, secrets: Iterable[str]) -> str:
    """Mask the beginning of a secret at the end of a text."""
    for secret in sorted({*secrets}, key=len, reverse=True):
        for size in range(min(len(secret), len(text)), MIN_SECRET - 1, -1):
            if text.endswith(secret[:size]):
                return text[:-size] + MASK
    return text


def _without_keys(lines: list[str]) -> Iterator[str]:
    """Replace PEM blocks by one mask each: https://www.rfc-editor.org/rfc/rfc7468."""
    ends = [number for number, line in enumerate(lines) if "-----END " in line and _KEY_ENDS.search(line)]
    number = 0
    while number < len(lines):
        line = _without_whole_keys(lines[number])
        number += 1
        begin = _KEY_BEGINS.search(line)
        if begin is None:
            yield line
            continue
        yield line[: begin.start()] + MASK
        number = _end_of_key(lines, number, ends)


def _without_whole_keys(line: str) -> str:
    """Replace the PEM blocks that begin and end in a line."""
    found, place = [], 0
    while (begin := _KEY_BEGINS.search(line, place)) and (end := _KEY_ENDS.search(line, begin.end())):
        found += [line[place : begin.start()], MASK]
        place = end.end()
    return "".join([*found, line[place:]])


def _end_of_key(lines: list[str], number: int, ends: list[int]) -> int:
    """The number of the line after a PEM block. A block without an end line ends at the first line that is not base64."""
    following = bisect_left(ends, number)
    if following < len(ends) and ends[following] < number + MAX_KEY_LINES:
        return ends[following] + 1
    while number < len(lines) and _KEY_LINE.fullmatch(lines[number].strip()):
        number += 1
    return number


def _masked(line: str, masks: _Masks = (*_TOKENS, *_BY_NAME), tick: Callable[[], None] = lambda: None) -> str:
    tick()
    if len(line) > MAX_PIECE:
        return "".join(_masked(piece, masks, tick) for piece in _pieces(line))
    if not _HINT.search(line):
        return line
    line = _JWT.sub(lambda found: MASK if found[1] else found[0], line)
    for pattern, mask in masks:
        line = pattern.sub(mask, line)
    return line


def _masked_code(line: str, tick: Callable[[], None]) -> str:
    tick()
    return _masked(line, _TOKENS, tick) if _has_sign(line) else line


def _has_sign(text: str) -> bool:
    return any(sign in text for sign in _SIGNS) or "bearer" in text.lower()


def _pieces(line: str) -> Iterator[str]:
    """Cut a long line into pieces, at spaces where possible."""
    start = 0
    while start < len(line):
        end = start + MAX_PIECE
        if end < len(line):
            end = line.rfind(" ", start + MAX_PIECE // 2, end) + 1 or end
        yield line[start:end]
        start = end


def _shown(number: int) -> str:
    char = chr(number)
    is_space = char.isspace() and char > "\xa0" and char not in "\u2028\u2029"
    if char == "\t" or ((char.isprintable() or is_space) and not _HIDING.match(char)):
        return char
    return char.encode("unicode_escape").decode()


class _Shown(dict[int, str]):
    """For `str.translate`. Nothing is cached: a log may contain every character of Unicode."""

    def __missing__(self, number: int) -> str:
        return _shown(number)


_SHOWN = _Shown({number: _shown(number) for number in range(256)})


def _visible(line: str) -> str:
    return line if line.isprintable() and not _HIDING.search(line) else line.translate(_SHOWN)


def _shortened(text: str) -> str:
    """Leave out the middle before the search, which is slow. Cuts are at line ends: half a secret would not be recognized."""
    if len(text) <= MAX_BYTES - GAP_BYTES:
        return text
    head = text[:HEAD_BYTES].rpartition("\n")[0]
    tail = text[len(text) - (MAX_BYTES - HEAD_BYTES - GAP_BYTES) :].partition("\n")[2]
    return f"{head}\n[... {count(len(text) - len(head) - len(tail), 'character')} left out ...]\n{tail}"


def _within(text: str) -> str:
    """Cut again: escaping makes invisible characters longer."""
    encoded = text.encode()
    return (
        text if len(encoded) <= MAX_BYTES else f"{encoded[: MAX_BYTES - GAP_BYTES].decode(errors='ignore')}\n[... the rest is left out ...]"
    )

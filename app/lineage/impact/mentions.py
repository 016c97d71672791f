"""Reads text like SQL by tokens: which names it mentions, and whether two texts say the same. Linear, whatever a stranger writes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest

from app.lineage.impact.versions import folded

MAX_TEXT = 1 << 18
"""Characters. Longer text is not searched and is the same as equal text only."""
MAX_DIFFERING = 20
_COMMENTS = {"--": "\n", "/*": "*/", "{#": "#}"}
_REMARKS = ("--", "/*")
_QUOTES = {"'": "'", '"': '"', "`": "`"}
_STEP = re.compile(r"\s+|--|/\*|\{#|['\"`]|[^\W\d]\w*|\d[\w.]*|.", re.DOTALL)
_OF_A_RUN = re.compile(
    r"'?(?:\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|[\da-fA-F]{8}-(?:[\da-fA-F]{4}-){3}[\da-fA-F]{12}|\d{8,})'?"
)
INLINED = "__dbt__cte__"
"""What dbt's name begins with for an ephemeral model in the SQL of its readers."""
RUN_VARIABLES = ("run_started_at", "invocation_id", "modules.datetime")
"""What code names that writes them into SQL."""


def tokens(text: str, *, rendered: bool = True) -> Iterator[str]:
    """The words, numbers, signs and quoted texts (with their quotes) without spaces and comments.

    Of text that is not `rendered` yet, comments of SQL that have Jinja are tokens: it may make more than a comment.
    """
    place, ends = 0, dict.fromkeys((*_COMMENTS.values(), *_QUOTES.values()), 0)
    while place < len(text):
        found = _STEP.match(text, place)
        assert found is not None  # noqa: S101 - the last alternative matches any character
        token, place = found[0], found.end()
        close = _COMMENTS.get(token) or _QUOTES.get(token)
        if close is None:
            if not token.isspace():
                yield token
            continue
        end = _find(text, close, place, ends)
        if token in _QUOTES:
            yield token + text[place : max(end, place)] + close if end >= 0 else token
        elif not rendered and token in _REMARKS and (end >= 0 or close == "\n"):
            remark = text[place:end] if end >= 0 else text[place:]
            if "{{" in remark or "{%" in remark:
                yield remark
        if end >= 0:
            place = end + len(close)
        elif close == "\n":
            return


def own_tokens(code: str) -> list[str]:
    """Compiled SQL without that of the ephemeral models that dbt has put into it.

    >>> own_tokens("with __dbt__cte__a as (select (1)), b as (select 2) select * from b")
    ['with', 'b', 'as', '(', 'select', '2', ')', 'select', '*', 'from', 'b']
    """
    found: list[str] = []
    depth, after = 0, False
    for one in tokens(code):
        if depth:
            depth += (one == "(") - (one == ")")
            after = not depth
        elif one == "(" and [bare(word)[: len(INLINED)] for word in found[-2:]] == [INLINED, "as"]:
            del found[-2:]
            depth = 1
        elif not (after and one == ","):
            found.append(one)
            after = False
    return found


def mentioned(text: str) -> set[str]:
    """The folded names that SQL-like text mentions, quoted ones too, but nothing in its comments and texts."""
    found: set[str] = set()
    if len(text) > MAX_TEXT:
        return found
    for token in tokens(text):
        if token[0] in '"`' and len(token) > 1:
            found.add(folded(token[1:-1]))
        elif token[0].isalpha() or token[0] == "_":
            found.add(folded(token))
    return found


def is_name(text: str) -> bool:
    """Whether a text is nothing but a name, quoted or not."""
    found = list(tokens(text[: MAX_TEXT + 1]))
    return len(found) == 1 and (found[0][0] in '"`_' or found[0][0].isalpha())


def same_but_for(base: str, head: str, renamed: Mapping[str, str], *, in_texts: bool = False) -> bool:
    """Whether two texts differ in nothing but spaces, comments and the case of words, and new names for old ones (both folded).

    `in_texts`: names may also be whole texts in single quotes, as in `ref('orders')`.
    """
    found = differing(base, head, renamed)
    if found and in_texts:
        found = [pair for pair in found if renamed.get(folded(pair[0].strip("'"))) != folded(pair[1].strip("'"))]
    return found == []


def differing(base: str, head: str, renamed: Mapping[str, str]) -> list[tuple[str, str]] | None:
    """The first tokens that differ, in pairs, at most `MAX_DIFFERING`; None if there are more, or not the same number of tokens."""
    if max(len(base), len(head)) > MAX_TEXT:
        return [] if base == head else None
    found: list[tuple[str, str]] = []
    before, after = tokens(base), tokens(head)
    while True:
        old, new = next(before, None), next(after, None)
        if old is None or new is None:
            return found if old is new else None
        if not is_same(old, new, renamed):
            if len(found) == MAX_DIFFERING:
                return None
            found.append((old, new))


def differs_by_comments(base: str, head: str) -> bool:
    """Whether the code of a project differs in nothing but spaces and comments."""
    pairs = zip_longest(tokens(base, rendered=False), tokens(head, rendered=False))
    return max(len(base), len(head)) <= MAX_TEXT and all(old == new for old, new in pairs)


def differs_by_run(base: str, head: str) -> bool:
    """Whether two texts differ in nothing but times and ids that are other ones in each run, as macros write them into SQL."""
    pairs = zip_longest(tokens(base), tokens(head), fillvalue="\0")
    return all(is_same(old, new, {}) or (_OF_A_RUN.fullmatch(old) and _OF_A_RUN.fullmatch(new)) for old, new in pairs)


def is_same(old: str, new: str, renamed: Mapping[str, str]) -> bool:
    """Whether two tokens are the same word but for its case, or an old name and its new one (both folded)."""
    if old == new:
        return True
    if old[0] == "'" or new[0] == "'":
        return False
    one, other = bare(old), bare(new)
    return one == other or renamed.get(one) == other


def bare(token: str) -> str:
    """A token as a name: folded, without quotation marks."""
    return folded(token[1:-1] if token[0] in '"`' and len(token) > 1 else token)


def _find(text: str, close: str, place: int, ends: dict[str, int]) -> int:
    """The place of the next `close`, -1 without one. That there is none is looked for once only."""
    if ends[close] >= 0:
        ends[close] = text.find(close, place)
    return ends[close]

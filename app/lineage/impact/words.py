"""Sentences about names: what strangers have written is shortened, and cannot close the quotes that it stands in."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.plurals import plural

MAX_NAMED = 5
"""Names in one sentence; the rest is counted."""
MAX_NAME = 80
"""Characters."""


def name(text: str) -> str:
    """A name in backticks."""
    short = text if len(text) <= MAX_NAME else f"{text[: MAX_NAME - 1]}…"
    return f"`{' '.join(short.replace('`', chr(39)).split())}`"


def names(texts: Sequence[str], more: str = "") -> str:
    """Names in backticks with commas, `and` before the last. `more`: what those are called that are only counted.

    >>> names(["a"]), names(["a", "b", "c"]), names(list("abcdefg"), "column")
    ('`a`', '`a`, `b` and `c`', '`a`, `b`, `c`, `d`, `e` and 2 more columns')
    """
    return joined([name(text) for text in texts], more)


def joined(texts: Sequence[str], more: str = "") -> str:
    """The same of parts of a sentence."""
    listed = list(texts[:MAX_NAMED])
    rest = len(texts) - len(listed)
    if rest:
        listed.append(f"{rest:,} more {more if rest == 1 else plural(more)}" if more else f"{rest:,} more")
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"


def is_are(texts: Sequence[str]) -> str:
    """The verb for that many."""
    return "is" if len(texts) == 1 else "are"


def lost_by(text: str, owner: str, new_name: str | None) -> str:
    """What is gone, and from where: "`amount` of `orders`, which no longer has it". `owner`: in backticks where it is a name."""
    return f"{name(text)} of {owner}, {f'where it is now named {name(new_name)}' if new_name else 'which no longer has it'}"


def sentence(text: str) -> str:
    """With a full stop, and a capital letter unless it begins with a name."""
    return f"{text[:1].upper()}{text[1:]}."

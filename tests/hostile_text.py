"""Texts that make a regular expression work hardest, derived from the expression itself.

An expression is super-linear where a repetition can run far, fails after it, and starts again elsewhere. So for each repetition: what leads
to it, then what it repeats, many times, then something that fits nowhere; what leads to it, many times; and what it repeats mixed with what
follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

_parser: Any = re._parser  # type: ignore[attr-defined] # no other parser reads what `re` reads
_REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}
_CHARACTERS = {"NOT_LITERAL", "IN", "ANY"}
_CATEGORIES = {"SPACE": r"\s", "WORD": r"\w", "DIGIT": r"\d", "NOT_SPACE": r"\S", "NOT_WORD": r"\W", "NOT_DIGIT": r"\D"}
_COMMON = "a0 \n-_./\"'A\t:,@#{(=é\0"
_FITTING_NOWHERE = "\0\n!\"')"
_TURNS = 5
"""Different turns that are tried for one repetition."""
_SHORT = 5
"""A repetition of at most so many turns costs little."""
_SOME = 30
"""Turns between two beginnings."""

Items = Iterable[Any]


class Recipe(NamedTuple):
    """A text of any size: `turn` is repeated."""

    before: str
    turn: str
    after: str

    def text(self, size: int) -> str:
        """About `size` characters."""
        return self.before + self.turn * max(1, size // len(self.turn)) + self.after


def recipes(pattern: re.Pattern[Any]) -> set[Recipe]:
    """The hostile texts for an expression."""
    parsed = _parser.parse(pattern.pattern, pattern.flags)
    alphabet = "".join(dict.fromkeys([*_literals(parsed), *_COMMON]))
    found: set[Recipe] = set()
    for before, body, following in _repetitions(parsed, "", alphabet):
        turns = list(dict.fromkeys(_bodies(body, alphabet)))
        ends = [following, *(char for char in _FITTING_NOWHERE if char not in turns)][:3]
        for turn in turns[:_TURNS]:
            found |= {Recipe(before, turn, end) for end in ends}
            found |= {Recipe("", before + turn, ""), Recipe("", before + turn * _SOME, ""), Recipe("", turn, "\0")}
            found |= {Recipe("", turn + following, ""), Recipe(before, turn + following, "\0"), Recipe("", before or turn, "")}
    return found or {Recipe("", _sample(parsed, alphabet) or "a", "")}


def _repetitions(items: Items, before: str, alphabet: str) -> Iterator[tuple[str, Any, str]]:
    """Every repetition that may run far: a text that leads to it, its body, and what follows it."""
    items = list(items)
    for number, (operation, argument) in enumerate(items):
        name, rest = str(operation), items[number + 1 :]
        if name in _REPEATS:
            low, high, body = argument
            if high > _SHORT:
                yield before, body, _sample(rest, alphabet)
            if low == 0:  # the rest is reached with and without it
                yield from _repetitions(rest, before + _sample(body, alphabet), alphabet)
        for inner in _inner(name, argument):
            yield from _repetitions(inner, before, alphabet)
        before += _sample([(operation, argument)], alphabet)


def _inner(name: str, argument: Any) -> list[Any]:
    match name:
        case "SUBPATTERN":
            return [argument[3]]
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return [argument[2]]
        case "BRANCH":
            return list(argument[1])
        case "ASSERT" | "ASSERT_NOT":
            return [argument[1]]
        case "ATOMIC_GROUP":
            return [argument]
    return []


def _sample(items: Items, alphabet: str) -> str:
    """A short text that the items match, as far as that can be said without trying."""
    return "".join(_sample_of(str(operation), argument, alphabet) for operation, argument in items)


def _sample_of(name: str, argument: Any, alphabet: str) -> str:
    if name == "LITERAL":
        return chr(argument)
    if name in _CHARACTERS:
        return next(iter(_characters(name, argument, alphabet)), "")
    if name in _REPEATS:
        return _sample(argument[2], alphabet) * min(int(argument[0]), 100)
    return "" if name.startswith("ASSERT") or not _inner(name, argument) else _sample(_inner(name, argument)[0], alphabet)


def _bodies(body: Items, alphabet: str) -> Iterator[str]:
    """What one turn of a repetition may be: each kind of character, each branch."""
    items = list(body)
    name, argument = (str(items[0][0]), items[0][1]) if len(items) == 1 else ("", None)
    if name in _CHARACTERS:
        yield from _characters(name, argument, alphabet)
    elif name in {"BRANCH", "SUBPATTERN", "ATOMIC_GROUP"}:
        for inner in _inner(name, argument):
            yield from _bodies(inner, alphabet)
    elif turn := _sample(items, alphabet):
        yield turn


def _characters(name: str, argument: Any, alphabet: str) -> Iterator[str]:
    if name == "NOT_LITERAL":
        return (char for char in alphabet if ord(char) != argument)
    if name == "ANY":
        return (char for char in alphabet if char != "\n")
    own = [chr(code) for kind, code in argument if str(kind) == "LITERAL"]
    own += [chr(code) for kind, ends in argument if str(kind) == "RANGE" for code in ends]
    one = re.compile(f"[{''.join(map(_written, argument))}]")
    return (char for char in dict.fromkeys([*alphabet, *own]) if one.fullmatch(char))


def _written(part: tuple[Any, Any]) -> str:
    """A part of a character class as text, from what the parser made of it."""
    kind, value = str(part[0]), part[1]
    match kind:
        case "NEGATE":
            return "^"
        case "RANGE":
            return "-".join(re.escape(chr(code)) for code in value)
        case "CATEGORY":
            return _CATEGORIES[str(value).removeprefix("CATEGORY_")]
    return re.escape(chr(value))


def _literals(items: Items) -> Iterator[str]:
    for operation, argument in items:
        name = str(operation)
        if name == "LITERAL":
            yield chr(argument)
        elif name == "IN":
            yield from (chr(code) for kind, code in argument if str(kind) == "LITERAL")
        for inner in _inner(name, argument):
            yield from _literals(inner)

"""The code that dbt renders only where the table of an incremental model exists: it is never in the compiled code that is compared.

No SQL is parsed here. What people rewrite without another meaning is brought into one form, as far as words alone show it; what is left is
a possible change. Linear in the code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from app.lineage.impact.mentions import MAX_TEXT, tokens
from app.lineage.impact.versions import Definition, folded

TAG = re.compile(r"\{%[-+]?\s*(if|elif|else|endif)\b([^%]*)%\}")
IS_INCREMENTAL = re.compile(r"(not\s+)?is_incremental\s*\(")
QUOTES = "'\"`"
READ = frozenset({"from", "join"})
BEFORE_CTE = frozenset({"with", "recursive", ","})
CONDITION = frozenset({"where", "on", "having", "qualify"})
BEHIND = frozenset({"group", "order", "limit", "union", "qualify", "window", "intersect", "except", ")", ";"})
"""What can come after a whole condition."""


def same_later(old: Definition, new: Definition) -> bool:
    """Whether two versions of a model add the same rows, as far as words alone show it."""
    before, after = _code(old), _code(new)
    return before == after or (max(len(before), len(after)) <= MAX_TEXT and _canonical(before) == _canonical(after))


def _code(definition: Definition) -> str:
    code = str(definition.get("raw_code") or "")
    return code if "is_incremental" in code else ""


def _canonical(code: str) -> list[str]:
    ctes, found = _ctes(_words(code)), _words(_later(code))
    joined = [one for one, follows in zip(found, [*found[1:], ""], strict=False) if not _is_filler(one, follows)]
    return _without_parentheses(_by_number(joined, ctes))


def _words(code: str) -> list[str]:
    """The tokens; case means something in quotes only."""
    return [one if one[0] in QUOTES else folded(one) for one in tokens(code)]


def _is_filler(word: str, follows: str) -> bool:
    """INNER and OUTER of joins say nothing."""
    return word in {"inner", "outer"} and follows == "join"


def _ctes(found: Sequence[str]) -> dict[str, str]:
    """The names before `as (`, behind WITH or a comma, each with its number."""
    ctes: dict[str, str] = {}
    for before, name, word, bracket in zip(found, found[1:], found[2:], found[3:], strict=False):
        if before in BEFORE_CTE and (word, bracket) == ("as", "("):
            ctes.setdefault(name, f"\0{len(ctes)}")
    return ctes


def _by_number(found: Sequence[str], ctes: Mapping[str, str]) -> list[str]:
    """CTEs by their numbers, where a word is certainly a table or begins a CTE: they may have other names."""
    around = zip(["", *found], found, [*found[1:], ""], [*found[2:], "", ""], strict=False)
    return [ctes.get(word, word) if _is_table(before, *behind) else word for before, word, *behind in around]


def _is_table(before: str, follows: str, then: str) -> bool:
    return before in READ or follows == "." or (before in BEFORE_CTE and (follows, then) == ("as", "("))


def _without_parentheses(found: Sequence[str]) -> list[str]:
    """Leave out the parentheses around a whole condition."""
    closes: dict[int, int] = {}
    opened: list[int] = []
    for place, word in enumerate(found):
        if word == "(":
            opened.append(place)
        elif word == ")" and opened:
            closes[opened.pop()] = place
    left_out: set[int] = set()
    for place, word in enumerate(found):
        begins = word == "(" and place > 0 and (found[place - 1] in CONDITION or place - 1 in left_out)
        if begins and place in closes and _ends(found, closes[place] + 1, left_out):
            left_out |= {place, closes[place]}
    return [word for place, word in enumerate(found) if place not in left_out]


def _ends(found: Sequence[str], place: int, left_out: set[int]) -> bool:
    return place >= len(found) or place in left_out or found[place] in BEHIND


def _later(code: str) -> str:
    found: list[str] = []
    blocks: list[bool | None] = []
    """Of each block around a place whether it is for later runs; None: it does not depend on that."""
    place = 0
    for tag in TAG.finditer(code):
        if True in blocks:
            found.append(code[place : tag.start()])
        place = tag.end()
        asked = IS_INCREMENTAL.search(tag[2])
        if tag[1] == "if":
            blocks.append(None if asked is None else asked[1] is None)
        elif blocks and tag[1] == "endif":
            blocks.pop()
        elif blocks and blocks[-1] is not None:
            blocks[-1] = not blocks[-1]
    return "\n".join(found)

"""Edits of a model's file that say nothing: its SQL means the same. Each returns the new pieces, None where there is no place for it.

They work on the text, as people do, and know nothing of the engine's own parser.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence

from tests.accuracy.impact.dbt_text import Piece, joined, pieces

CLAUSES = ("select", "from", "join", "where", "group", "having", "qualify", "order", "limit", "union", "inner", "cross")
OTHERS = (
    "on",
    "and",
    "or",
    "not",
    "in",
    "is",
    "null",
    "as",
    "case",
    "when",
    "then",
    "else",
    "end",
    "by",
    "all",
    "distinct",
    "with",
    "between",
)
KEYWORDS = frozenset((*CLAUSES, *OTHERS))
CLAUSE_END = frozenset((*CLAUSES, "window", "except", "intersect", "left", "right", "full"))
Pieces = Sequence[Piece]
Edit = Callable[[Pieces, random.Random], list[Piece] | None]
MAX_PLACES = 12
"""Places in a file that one edit touches."""
COMMENT = "it's a note; select 1 from nowhere"


def edited(text: str, dialect: str, name: str, r: random.Random) -> str | None:
    """A file after one edit; None where there is no place for it. Raises UnreadableError."""
    found = EDITS[name](pieces(text, dialect), r)
    new = None if found is None else joined(found)
    return None if new == text else new


def comment_lines(found: Pieces, r: random.Random) -> list[Piece] | None:
    """Lines with a comment."""
    return _replaced(found, _line_ends(found), r, lambda piece: f"\n-- {COMMENT}{piece.text}")


def comments_at_line_ends(found: Pieces, r: random.Random) -> list[Piece] | None:
    """Comments behind what is on a line."""
    return _replaced(found, _line_ends(found), r, lambda piece: f"  -- {COMMENT}{piece.text}")


def comments_between(found: Pieces, r: random.Random) -> list[Piece] | None:
    """Comments in the middle of lines."""
    return _replaced(found, _gaps(found), r, lambda piece: f" /* {COMMENT} */{piece.text}")


def jinja_comments(found: Pieces, r: random.Random) -> list[Piece] | None:
    """Comments that Jinja removes."""
    return _replaced(found, _gaps(found), r, lambda piece: f" {{# {COMMENT} #}}{piece.text}")


def wider_spaces(found: Pieces, r: random.Random) -> list[Piece] | None:
    """More space, and tabs."""
    return _replaced(found, _gaps(found), r, lambda piece: f"{piece.text}{r.choice(['  ', chr(9), ' ' + chr(9)])}")


def line_breaks(found: Pieces, r: random.Random) -> list[Piece] | None:
    """Lines broken up."""
    return _replaced(found, [place for place in _gaps(found) if "\n" not in found[place].text], r, lambda _: "\n        ")


def joined_lines(found: Pieces, r: random.Random) -> list[Piece] | None:
    """Lines put together."""
    places = [place for place in _line_ends(found) if found[place - 1].kind != "comment"]
    return _replaced(found, places, r, lambda _: " ")


def blank_lines(found: Pieces, r: random.Random) -> list[Piece] | None:
    """Empty lines."""
    return _replaced(found, _line_ends(found), r, lambda piece: f"\n\n{piece.text}")


def keyword_case(found: Pieces, r: random.Random) -> list[Piece] | None:
    """Keywords in the other case, or in capitals and small letters."""
    places = [place for place, piece in enumerate(found) if _is_keyword(found, place, KEYWORDS) and not piece.fixed]
    form = r.choice([str.swapcase, str.capitalize])
    changed = {place: form(found[place].text) for place in places}
    return [piece._replace(text=changed.get(place, piece.text)) for place, piece in enumerate(found)] if places else None


def join_words(found: Pieces, r: random.Random) -> list[Piece] | None:
    """Words of a join that may be left out: INNER, OUTER."""
    changed = {}
    for place, piece in enumerate(found):
        if piece.fixed or not _is_keyword(found, place, frozenset({"join"})):
            continue
        behind, before = _neighbour(found, place, -1), _word_before(found, place)
        if behind is None or behind.is_jinja:
            continue
        if before in ("left", "right", "full"):
            changed[place] = f"outer {piece.text}"
        elif before not in ("inner", "outer", "cross", "lateral", "semi", "anti", "asof", "natural", "positional", "array", "any", "all"):
            changed[place] = f"inner {piece.text}"
    return [piece._replace(text=changed.get(place, piece.text)) for place, piece in enumerate(found)] if changed else None


def renamed_cte(found: Pieces, r: random.Random) -> list[Piece] | None:
    """A CTE under another name, in all places."""
    names = [name for name in dict.fromkeys(_cte_names(found)) if _may_be_renamed(found, name)]
    if not names:
        return None
    name = r.choice(names)
    return [piece._replace(text=f"{name}_again") if _is_word(piece, name) else piece for piece in found]


def parentheses_around_conditions(found: Pieces, r: random.Random) -> list[Piece] | None:
    """A whole condition in parentheses."""
    spans = [span for place in range(len(found)) if (span := _condition(found, place)) is not None]
    return _wrapped(found, [r.choice(spans)]) if spans else None


def parentheses_around_columns(found: Pieces, r: random.Random) -> list[Piece] | None:
    """A column with an alias in parentheses."""
    spans = [span for place in range(len(found)) if (span := _plain_column(found, place)) is not None]
    return _wrapped(found, sorted(r.sample(spans, min(3, len(spans))))) if spans else None


EDITS: dict[str, Edit] = {
    "comment lines": comment_lines,
    "comments at the ends of lines": comments_at_line_ends,
    "comments in the middle of lines": comments_between,
    "Jinja comments": jinja_comments,
    "wider spaces": wider_spaces,
    "line breaks": line_breaks,
    "joined lines": joined_lines,
    "blank lines": blank_lines,
    "case of keywords": keyword_case,
    "INNER and OUTER of joins": join_words,
    "a renamed CTE": renamed_cte,
    "parentheses around a condition": parentheses_around_conditions,
    "parentheses around columns": parentheses_around_columns,
}


def _replaced(found: Pieces, places: Sequence[int], r: random.Random, new: Callable[[Piece], str]) -> list[Piece] | None:
    """Other text in some of these places."""
    if not places:
        return None
    chosen = set(r.sample(places, min(MAX_PLACES, len(places))))
    return [piece._replace(text=new(piece)) if place in chosen else piece for place, piece in enumerate(found)]


def _gaps(found: Pieces) -> list[int]:
    """Spaces between two pieces that Jinja does not touch; a line that ends with a comment has to end there."""
    return [
        place
        for place, piece in enumerate(found)
        if piece.kind == "space"
        and not piece.fixed
        and 0 < place < len(found) - 1
        and not (found[place - 1].is_jinja or found[place + 1].is_jinja)
        and found[place - 1].kind != "comment"
    ]


def _line_ends(found: Pieces) -> list[int]:
    """Ends of lines where another line of SQL follows: before Jinja the end of the line may go."""
    return [
        place
        for place, piece in enumerate(found)
        if "\n" in piece.text
        and piece.kind == "space"
        and not piece.fixed
        and 0 < place < len(found) - 1
        and not (found[place - 1].is_jinja or found[place + 1].is_jinja)
    ]


def _is_word(piece: Piece, name: str) -> bool:
    return piece.kind == "word" and piece.text.lower() == name.lower()


def _neighbour(found: Pieces, place: int, step: int) -> Piece | None:
    """The next piece that is neither space nor comment."""
    place += step
    while 0 <= place < len(found) and found[place].kind in ("space", "comment"):
        place += step
    return found[place] if 0 <= place < len(found) else None


def _word_before(found: Pieces, place: int) -> str:
    before = _neighbour(found, place, -1)
    return before.text.lower() if before is not None and before.kind == "word" else ""


def _is_keyword(found: Pieces, place: int, words: frozenset[str]) -> bool:
    """A keyword that is no part of a longer name, and no name or alias."""
    piece = found[place]
    if piece.kind != "word" or piece.text.lower() not in words:
        return False
    before, after = _neighbour(found, place, -1), _neighbour(found, place, 1)
    beside = [one.text for one in (before, after) if one is not None]
    glued = [found[at] for at in (place - 1, place + 1) if 0 <= at < len(found)]
    return "." not in beside and ":" not in beside and _word_before(found, place) != "as" and not any(one.is_jinja for one in glued)


def _cte_names(found: Pieces) -> Iterable[str]:
    """Names before `as (`, behind WITH or a comma."""
    for place, piece in enumerate(found):
        if piece.kind != "word" or piece.fixed:
            continue
        follows = [one.text.lower() for one in found[place + 1 :][:12] if one.kind not in ("space", "comment")][:2]
        before = _neighbour(found, place, -1)
        if follows == ["as", "("] and before is not None and (before.text == "," or before.text.lower() in ("with", "recursive")):
            yield piece.text.lower()


def _may_be_renamed(found: Pieces, name: str) -> bool:
    """Whether every place that has this word is the CTE's."""
    body = _body(found, name)
    for place, piece in enumerate(found):
        if piece.is_jinja and _is_named_in(piece.text, name):
            return False
        if not _is_word(piece, name):
            continue
        before, after = _neighbour(found, place, -1), _neighbour(found, place, 1)
        glued = [found[at] for at in (place - 1, place + 1) if 0 <= at < len(found)]
        if piece.fixed or before is None or any(one.is_jinja for one in glued) or before.text == ".":
            return False
        defined = before.text.lower() in ("with", "recursive", ",") and after is not None and after.text.lower() == "as"
        read = before.text.lower() in ("from", "join")
        qualifies = after is not None and after.text == "." and before.text != "." and place not in body
        if not (defined or read or qualifies):
            return False
    quoted = (one.text[1:-1].lower() for one in found if one.kind == "text")
    return name not in quoted


def _is_named_in(jinja: str, name: str) -> bool:
    """Whether Jinja may mean the CTE: other than in ref and source, and in comments."""
    text = re.sub(r"\b(?:ref|source)\s*\([^)]*\)", "", jinja)
    return not jinja.startswith("{#") and re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE) is not None


def _body(found: Pieces, name: str) -> range:
    """The places of a CTE's own SQL. What has its name before it there is a column of a table of the same name."""
    begins = next((place for place, piece in enumerate(found) if _is_word(piece, name)), len(found))
    depth = 0
    for place in range(begins, len(found)):
        depth += {"(": 1, ")": -1}.get(found[place].text, 0)
        if found[place].text == ")" and not depth:
            return range(begins, place)
    return range(begins, len(found))


def _condition(found: Pieces, place: int) -> tuple[int, int] | None:
    """First and last piece of the condition behind a WHERE."""
    if not _is_keyword(found, place, frozenset({"where"})) or found[place].fixed:
        return None
    depth, last, first = 0, None, None
    for at in range(place + 1, len(found)):
        piece = found[at]
        if piece.kind == "tag" or (piece.fixed and not piece.is_jinja):
            return None
        if depth == 0 and (piece.text in (")", ";") or _is_keyword(found, at, CLAUSE_END)):
            break
        depth += {"(": 1, ")": -1}.get(piece.text, 0)
        if piece.kind not in ("space", "comment"):
            first, last = at if first is None else first, at
    return (first, last) if first is not None and last is not None else None


def _plain_column(found: Pieces, place: int) -> tuple[int, int] | None:
    """First and last piece of `NAME as ALIAS` or `TABLE.NAME as ALIAS` in a SELECT list."""
    before = _neighbour(found, place, -1)
    starts = before is not None and (before.text == "," or (before.kind == "word" and before.text.lower() == "select"))
    if not starts or found[place].kind != "word" or found[place].fixed or found[place].text.lower() in KEYWORDS:
        return None
    end = place
    if joined(found[place + 1 : place + 2]) == "." and found[place + 2].kind == "word":
        end = place + 2
    follows = [one.text.lower() for one in found[end + 1 :][:12] if one.kind not in ("space", "comment")][:3]
    is_column = len(follows) == 3 and follows[0] == "as" and follows[1].isidentifier() and follows[2] != "("
    return (place, end) if is_column and not found[place].text[0].isdigit() and _clause_of(found, place) == "select" else None


def _clause_of(found: Pieces, place: int) -> str:
    """The keyword that begins the clause; empty in parentheses that are no query, and behind statements of Jinja."""
    depth = 0
    for at in range(place - 1, -1, -1):
        piece = found[at]
        depth += {")": 1, "(": -1}.get(piece.text, 0)
        if depth < 0 or piece.kind == "tag":
            return ""
        if depth == 0 and _is_keyword(found, at, CLAUSE_END):
            return piece.text.lower()
    return ""


def _wrapped(found: Pieces, spans: Sequence[tuple[int, int]]) -> list[Piece]:
    starts, ends = {first for first, _ in spans}, {last for _, last in spans}
    new = list[Piece]()
    for place, piece in enumerate(found):
        new += [Piece("sign", "(")] * (place in starts) + [piece] + [Piece("sign", ")")] * (place in ends)
    return new

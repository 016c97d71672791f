"""Words of names and texts: `fct_orders_daily`, `FctOrdersDaily` and `fct.orders.daily` are the same three.

Everything is linear in the text, and what is longer than the limits is cut: strangers write these texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from unicodedata import normalize

MAX_TEXT = 2000
"""Characters that are looked at."""
MAX_WORD, MAX_KEY = 60, 200
"""Characters of a word, and of a whole name."""
_PIECE = 200
"""Characters that are normalised at a time: Python takes the square of a row of combining marks."""
_RUN = re.compile(r"[^\W_]+")
_ASCII_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PART = re.compile(r"\d+|[^\W\d_]+")


def words_of(text: str) -> list[str]:
    """The words in their order, in lower case. They consist of letters and digits.

    >>> words_of("stg_customerOrders2024"), words_of("HTTPServer.v2"), words_of("%_'&|!")
    (['stg', 'customer', 'orders', '2024'], ['http', 'server', 'v', '2'], [])
    """
    return [part for _, parts in _runs(text) for part in parts]


def found_by(text: str) -> list[str]:
    """The words, and for those who type no capitals, what is written together as one word too.

    >>> found_by("customerId, order_total")
    ['customer', 'id', 'customerid', 'order', 'total']
    """
    return [word for run, parts in _runs(text) for word in (parts if len(parts) == 1 else [*parts, run.casefold()[:MAX_WORD]])]


def key_of(text: str) -> str:
    """One word for a whole name.

    >>> key_of("fctOrders"), key_of("fct orders")
    ('fct_orders', 'fct_orders')
    """
    return "_".join(words_of(text))[:MAX_KEY]


def _runs(text: str) -> Iterator[tuple[str, list[str]]]:
    """What is written together, and its words."""
    text = text[:MAX_TEXT]
    if not text.isascii():
        text = "".join(normalize("NFKC", text[start : start + _PIECE]) for start in range(0, len(text), _PIECE))
    for run in _RUN.findall(text):
        yield run, [part.casefold()[:MAX_WORD] for part in (_ASCII_PART if run.isascii() else _PART).findall(run)]

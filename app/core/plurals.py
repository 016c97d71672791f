"""English plurals, for numbers with nouns in every text that users read."""

from __future__ import annotations

import re

IRREGULAR = {"analysis": "analyses"}
"""Irregular plurals, by the last word of the noun."""
_SIBILANT = re.compile(r"(?:s|x|z|ch|sh)$")
_CONSONANT_Y = re.compile(r"(?<=[^aeiou])y$")


def count(number: int, noun: str) -> str:
    """A number with its noun; thousands are separated by commas.

    >>> count(1, "edge"), count(0, "node"), count(17_400, "model"), count(2, "analysis"), count(5, "saved query")
    ('1 edge', '0 nodes', '17,400 models', '2 analyses', '5 saved queries')
    """
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """The plural of a noun of one or several words.

    >>> plural("unit test"), plural("branch"), plural("day")
    ('unit tests', 'branches', 'days')
    """
    before, space, last = noun.rpartition(" ")
    if last in IRREGULAR:
        return f"{before}{space}{IRREGULAR[last]}"
    if _CONSONANT_Y.search(noun):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if _SIBILANT.search(noun) else f"{noun}s"

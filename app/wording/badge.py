"""The badge of a connection: what it says, and its picture as SVG: https://www.w3.org/TR/SVG2/. Nothing of it comes from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from app.jobs import Connection

LABEL = "dbt lineage"
GREEN, AMBER, RED, GREY = "#2a7d3f", "#8f5a00", "#b3261e", "#5c636a"
"""White text is read on each of them: their contrast is 4.5 and more, https://www.w3.org/TR/WCAG22/#contrast-minimum."""
LABEL_COLOUR = "#3d444d"
HEIGHT = 20
BASELINE = 14
FONT_SIZE = 11
PADDING = 6
NARROW, WIDE, USUAL = 3.6, 9.2, 6.6
"""Widths of characters in pixels at `FONT_SIZE`; the picture tells the reader's font how wide the text is to be."""


@dataclass(frozen=True, slots=True)
class Badge:
    """What it says."""

    words: str
    colour: str
    title: str
    """All of it in one sentence, for those who do not see it."""


def badge(connection: Connection) -> Badge:
    """Return what is said of a connection: `fresh`, `stale`, `failing` or `no lineage`, and the commit that its lineage is of."""
    at = connection.lineage_sha[:7] if connection.lineage_sha else None
    if connection.stale and connection.head_status == "failed":
        return Badge(
            "failing", RED, f"{LABEL}: failing for the newest commit, {f'the last good one is {at}' if at else 'there is none yet'}"
        )
    if at is None:
        return Badge("no lineage", GREY, f"{LABEL}: there is none yet")
    if connection.stale:
        return Badge(f"stale {at}", AMBER, f"{LABEL}: stale, of {at}")
    return Badge(f"fresh {at}", GREEN, f"{LABEL}: fresh, of {at}")


def svg(of: Badge) -> str:
    """Return the picture."""
    left, right = width(LABEL), width(of.words)
    whole, title = left + right, escape(of.title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="{HEIGHT}" viewBox="0 0 {whole} {HEIGHT}" role="img" '
        f'aria-label="{title}"><title>{title}</title>'
        f'<clipPath id="r"><rect width="{whole}" height="{HEIGHT}" rx="4"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="{HEIGHT}" fill="{LABEL_COLOUR}"/>'
        f'<rect x="{left}" width="{right}" height="{HEIGHT}" fill="{of.colour}"/></g>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="{FONT_SIZE}" text-rendering="geometricPrecision" '
        f'aria-hidden="true">{_text(LABEL, 0, left)}{_text(of.words, left, right)}</g></svg>\n'
    )


def width(text: str) -> int:
    """Return how many pixels a text takes, with the space around it."""
    return (
        round(sum(NARROW if character in " fijlt.,:;'|!" else WIDE if character in "mwMW@%" else USUAL for character in text)) + 2 * PADDING
    )


def _text(text: str, x: int, of: int) -> str:
    return f'<text x="{x + PADDING}" y="{BASELINE}" textLength="{of - 2 * PADDING}">{escape(text)}</text>'

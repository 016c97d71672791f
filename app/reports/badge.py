"""The badges of a connection, as SVG (https://www.w3.org/TR/SVG2/) without external resources."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from app.core.models.connections import Connection

LABEL, QUALITY_LABEL = "dbt lineage", "dbt quality"
GREEN, BLUE, AMBER, RED, GREY = "#2a7d3f", "#1f5fa8", "#8f5a00", "#b3261e", "#5c636a"
"""White text on each of them has a contrast of at least 4.5: https://www.w3.org/TR/WCAG22/#contrast-minimum."""
LABEL_COLOR = "#3d444d"
HEIGHT = 20
BASELINE = 14
GOOD, FAIR = 75, 40
"""Scores from which a badge is green, and amber."""
FONT_SIZE = 11
PADDING = 6
NARROW, WIDE, USUAL = 3.6, 9.2, 6.6
"""Character widths in pixels at `FONT_SIZE`. The SVG stretches the reader's font to the computed width."""


@dataclass(frozen=True, slots=True)
class Badge:
    """The content of a badge."""

    text: str
    color: str
    title: str
    """The whole badge in one phrase, for screen readers."""
    label: str = LABEL


def badge(connection: Connection) -> Badge:
    """`fresh`, `updating`, `stale`, `failing` or `no lineage`, with the commit of the lineage."""
    at = connection.lineage_sha[:7] if connection.lineage_sha else None
    state = connection.state()
    if state == "failed":
        last = f"last success at {at}" if at else "none yet"
        return Badge("failing", RED, f"{LABEL}: failing at the newest commit, {last}")
    if at is None:
        return Badge("no lineage", GREY, f"{LABEL}: none yet")
    if state == "updating":
        return Badge(f"updating {at}", BLUE, f"{LABEL}: at {at}, updating to a newer commit")
    if state == "stale":
        return Badge(f"stale {at}", AMBER, f"{LABEL}: stale at {at}")
    return Badge(f"fresh {at}", GREEN, f"{LABEL}: fresh at {at}")


def quality_badge(connection: Connection, score: float | None) -> Badge:
    """The score of the connection's lineage, or `no score`."""
    if score is None or connection.lineage_sha is None:
        return Badge("no score", GREY, f"{QUALITY_LABEL}: no score yet", QUALITY_LABEL)
    color = GREEN if score >= GOOD else AMBER if score >= FAIR else RED
    return Badge(f"{score:.0f}", color, f"{QUALITY_LABEL}: {score:.0f} of 100 at {connection.lineage_sha[:7]}", QUALITY_LABEL)


def svg(badge: Badge) -> str:
    """The badge as an SVG document."""
    left, right = width(badge.label), width(badge.text)
    whole, title = left + right, escape(badge.title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="{HEIGHT}" viewBox="0 0 {whole} {HEIGHT}" role="img" '
        f'aria-label="{title}"><title>{title}</title>'
        f'<clipPath id="r"><rect width="{whole}" height="{HEIGHT}" rx="4"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="{HEIGHT}" fill="{LABEL_COLOR}"/>'
        f'<rect x="{left}" width="{right}" height="{HEIGHT}" fill="{badge.color}"/></g>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="{FONT_SIZE}" text-rendering="geometricPrecision" '
        f'aria-hidden="true">{_text(badge.label, 0, left)}{_text(badge.text, left, right)}</g></svg>\n'
    )


def width(text: str) -> int:
    """The width of a text in pixels, padding included."""
    widths = (NARROW if character in " fijlt.,:;'|!" else WIDE if character in "mwMW@%" else USUAL for character in text)
    return round(sum(widths)) + 2 * PADDING


def _text(text: str, x: int, box: int) -> str:
    return f'<text x="{x + PADDING}" y="{BASELINE}" textLength="{box - 2 * PADDING}">{escape(text)}</text>'

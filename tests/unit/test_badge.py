from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from app.jobs import Connection, Repository
from app.wording.badge import AMBER, GREEN, GREY, LABEL_COLOUR, RED, Badge, badge, svg, width

FRESH = Connection(
    "c", Repository(7, "octo/shop", 3, "main"), "", None, datetime(2026, 11, 2, tzinfo=UTC), head_sha="a" * 40, lineage_sha="a" * 40
)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("connection", "words", "colour"),
    [
        (FRESH, "fresh aaaaaaa", GREEN),
        (replace(FRESH, head_sha="b" * 40, head_status="running"), "stale aaaaaaa", AMBER),
        (replace(FRESH, head_sha="b" * 40, head_status="failed"), "failing", RED),
        (replace(FRESH, lineage_sha=None, head_status="failed"), "failing", RED),
        (replace(FRESH, lineage_sha=None, head_status="queued"), "no lineage", GREY),
        (replace(FRESH, lineage_sha=None, head_sha=None), "no lineage", GREY),
    ],
)
def test_it_says_how_a_connection_stands(connection: Connection, words: str, colour: str) -> None:
    said = badge(connection)
    assert (said.words, said.colour) == (words, colour)
    assert words.split(maxsplit=1)[0] in said.title


def test_the_picture_is_whole_and_says_it_to_those_who_do_not_see() -> None:
    said = badge(FRESH)
    picture = ET.fromstring(svg(said))  # noqa: S314 - our own
    assert (picture.get("role"), picture.get("aria-label")) == ("img", said.title)
    assert picture.findtext(f"{SVG}title") == "dbt lineage: fresh, of aaaaaaa"
    assert [text.text for text in picture.iter(f"{SVG}text")] == ["dbt lineage", "fresh aaaaaaa"]
    assert picture.get("width") == str(width("dbt lineage") + width("fresh aaaaaaa"))
    assert "style=" not in svg(said), "a strict Content-Security-Policy takes no styles"


def test_what_it_says_is_escaped() -> None:
    picture = svg(Badge("<b>&", GREY, '"<script>'))
    assert "<b>" not in picture
    assert "<script>" not in picture
    assert ET.fromstring(picture).get("aria-label") == '"<script>'  # noqa: S314 - our own


@pytest.mark.parametrize("colour", [GREEN, AMBER, RED, GREY, LABEL_COLOUR])
def test_white_is_read_on_every_colour(colour: str) -> None:
    """https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    assert 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) >= 4.5

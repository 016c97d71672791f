from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from app.core.models.connections import Connection
from app.core.models.github import Repository
from app.reports.badge import AMBER, BLUE, GREEN, GREY, LABEL_COLOR, RED, Badge, badge, quality_badge, svg, width

FRESH = Connection(
    "c",
    Repository(7, "octo/shop", 3, "main"),
    "",
    None,
    datetime(2026, 11, 2, tzinfo=UTC),
    head_sha="a" * 40,
    lineage_sha="a" * 40,
    lineage_branch="main",
)
LONG_AGO = datetime(2026, 11, 2, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("connection", "text", "color"),
    [
        (FRESH, "fresh aaaaaaa", GREEN),
        (replace(FRESH, head_sha="b" * 40, head_status="running"), "updating aaaaaaa", BLUE),
        (replace(FRESH, head_sha="b" * 40, head_status="running", stale_since=LONG_AGO), "stale aaaaaaa", AMBER),
        (replace(FRESH, head_sha="b" * 40, head_status="running", lineage_branch="dev"), "stale aaaaaaa", AMBER),
        (replace(FRESH, head_sha="b" * 40, head_status="cancelled"), "stale aaaaaaa", AMBER),
        (replace(FRESH, head_sha="b" * 40, head_status="failed"), "failing", RED),
        (replace(FRESH, lineage_sha=None, head_status="failed"), "failing", RED),
        (replace(FRESH, lineage_sha=None, head_status="queued"), "no lineage", GREY),
        (replace(FRESH, lineage_sha=None, head_sha=None), "no lineage", GREY),
    ],
)
def test_a_badge_shows_the_state_of_a_connection(connection: Connection, text: str, color: str) -> None:
    shown = badge(connection)
    assert (shown.text, shown.color) == (text, color)
    assert text.split(maxsplit=1)[0] in shown.title


def test_the_svg_is_complete_and_accessible() -> None:
    shown = badge(FRESH)
    picture = ET.fromstring(svg(shown))  # noqa: S314 - our own
    assert (picture.get("role"), picture.get("aria-label")) == ("img", shown.title)
    assert picture.findtext(f"{SVG}title") == "dbt lineage: fresh at aaaaaaa"
    assert [text.text for text in picture.iter(f"{SVG}text")] == ["dbt lineage", "fresh aaaaaaa"]
    assert picture.get("width") == str(width("dbt lineage") + width("fresh aaaaaaa"))
    assert "style=" not in svg(shown), "a strict Content-Security-Policy takes no styles"


@pytest.mark.parametrize(
    ("score", "text", "color"), [(75, "75", GREEN), (74.4, "74", AMBER), (40, "40", AMBER), (0, "0", RED), (None, "no score", GREY)]
)
def test_a_badge_shows_a_score(score: float | None, text: str, color: str) -> None:
    shown = quality_badge(FRESH, score)
    assert (shown.text, shown.color) == (text, color)
    picture = ET.fromstring(svg(shown))  # noqa: S314 - our own
    assert [found.text for found in picture.iter(f"{SVG}text")] == ["dbt quality", text]
    assert picture.get("width") == str(width("dbt quality") + width(text))


def test_text_is_escaped() -> None:
    picture = svg(Badge("<b>&", GREY, '"<script>'))
    assert "<b>" not in picture
    assert "<script>" not in picture
    assert ET.fromstring(picture).get("aria-label") == '"<script>'  # noqa: S314 - our own


@pytest.mark.parametrize("color", [GREEN, AMBER, RED, GREY, LABEL_COLOR])
def test_white_text_is_readable_on_every_color(color: str) -> None:
    """https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    assert 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) >= 4.5

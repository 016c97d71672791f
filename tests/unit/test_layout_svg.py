"""A neighbourhood as a picture: well-formed whatever names there are, and readable in both themes and without color."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any
from xml.etree import ElementTree as ET

import orjson
import pytest

from app.lineage.graph import Graph, GraphFilter, GraphNode
from app.lineage.layout import svg
from app.lineage.layout.neighbourhood import Expansion, around, neighbourhood
from app.lineage.layout.scene import Marks, Scene
from app.lineage.layout.shapes import appearances
from app.lineage.resource_types import RESOURCE_TYPES, ResourceTypeRow

SVG = "{http://www.w3.org/2000/svg}"
FOCUS = "model.shop.orders"
BLACK, WHITE = "#1f2328", "#f0f6fc"


def picture(names: dict[str, str], marks: Marks | None = None, **more: Any) -> ET.Element:
    """Of a model with readers: names by unique_id."""
    nodes = {FOCUS: "orders", **names}
    content = orjson.dumps({"materialized": more.pop("materialized", "table")})
    graph = Graph(
        [GraphNode(unique_id, unique_id.partition(".")[0], name, "shop", content) for unique_id, name in nodes.items()],
        [[] if unique_id == FOCUS else [FOCUS] for unique_id in nodes],
    )
    drawn = neighbourhood(around(Scene(graph, GraphFilter(), marks=marks), [Expansion(0, 1, 1)]))
    heading = {"repository": "octo/shop", "sha": "6dcb09b" * 5, "base": None, "stale": False, "focus": FOCUS}
    return ET.fromstring(svg.svg({**heading, **drawn, **more}).decode())  # noqa: S314 - our own


def texts(found: ET.Element) -> list[str]:
    return [element.text or "" for element in found.iter(f"{SVG}text")]


def test_nodes_have_names_codes_and_their_ids_as_titles() -> None:
    found = picture({"exposure.shop.board": "board"})
    assert {"orders", "board", "M", "E"} <= {*texts(found)}
    assert {title.text for title in found.iter(f"{SVG}title")} >= {FOCUS, "exposure.shop.board"}
    description = found.find(f"{SVG}desc")
    assert description is not None
    assert description.text == "2 nodes, upstream on the left. Edges: orders to board."
    assert found.get("role") == "img"


def test_a_long_name_keeps_both_ends() -> None:
    assert "stg_shopify_w…_freight__line" in texts(picture({"model.shop.x": "stg_shopify_with_a_long_and_a_longer_freight__line"}))


def test_changes_have_signs() -> None:
    found = picture(
        {"model.shop.new": "new", "model.shop.old": "old"},
        Marks({"model.shop.new": "added", "model.shop.old": "removed", FOCUS: "changed"}),
    )
    assert {"+", "−", "~"} <= {*texts(found)}


@pytest.mark.parametrize(
    "text", ["</title><script>alert(1)</script>", '" onload="alert(1)', "]]>", "\ufffe\uffff\x00\x1b", "&lt;", "\u202e"]
)
def test_a_hostile_name_is_text_and_nothing_else(text: str) -> None:
    found = picture({f"model.shop.{text}": text, f"odd {text}.shop.b": "b"}, repository=text, materialized=text)
    assert {element.tag.removeprefix(SVG) for element in found.iter()} == {"svg", "title", "desc", "style", "g", "path", "text"}
    attributes = {name for element in found.iter() for name in element.attrib}
    assert attributes <= {
        "width",
        "height",
        "viewBox",
        "role",
        "class",
        "d",
        "transform",
        "x",
        "y",
        "text-anchor",
        "textLength",
        "lengthAdjust",
    }
    assert all(re.fullmatch(r"[a-z_ ]*", element.get("class") or "") for element in found.iter())


def test_nothing_is_loaded_from_elsewhere() -> None:
    style = picture({}).find(f"{SVG}style")
    assert style is not None
    assert "url(" not in (style.text or "")
    assert "@import" not in (style.text or "")
    assert "prefers-color-scheme:dark" in (style.text or "")


def test_a_curve_is_level_where_it_begins_and_ends() -> None:
    assert svg.curve([(0, 10), (80, 50)]) == "M0 10C40 10 40 50 80 50"
    assert svg.curve([(0, 10), (80, 10), (160, 50)]) == "M0 10H80C120 10 120 50 160 50"
    assert svg.curve([(160, 10), (0, 10)]) == "M160 10C240 10 -80 10 0 10"


# -- how resource types look


def test_no_two_resource_types_look_the_same_without_color() -> None:
    looks = appearances(200, 44)
    assert len({look.letter for look in looks}) == len(looks) == len(RESOURCE_TYPES)
    same = {frozenset((a.name, b.name)) for a, b in combinations(RESOURCE_TYPES, 2) if a.shape == b.shape}
    assert same == {frozenset(("model", "operation")), frozenset(("seed", "source")), frozenset(("test", "unit_test"))}
    assert len({look.outline for look in looks}) == len({row.shape for row in RESOURCE_TYPES})


@pytest.mark.parametrize("row", RESOURCE_TYPES, ids=lambda row: row.name)
def test_text_is_readable_in_both_themes(row: ResourceTypeRow) -> None:
    assert min(contrast(BLACK, row.color), contrast(WHITE, row.dark_color)) >= 7
    assert min(contrast(row.ink, row.color), contrast(row.dark_ink, row.dark_color)) >= 4.5
    assert {BLACK, WHITE} <= {*re.findall(r"fill:(#\w{6})", svg.LIGHT + svg.DARK)}


def contrast(one: str, other: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue

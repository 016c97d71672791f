"""The outlines of nodes, by resource type. Their letters and colors are in the table of resource types."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from app.lineage.resource_types import RESOURCE_TYPES, Shape, drawn_as

Outline = Callable[[int, int], str]


class Appearance(msgspec.Struct, frozen=True):
    """Of one resource type, in one size."""

    resource_type: str
    label: str
    letter: str
    """For those who see neither color nor shape."""
    outline: str
    """An SVG path from the left top corner: https://www.w3.org/TR/SVG2/paths.html. Lines inside it are part of it."""


def appearances(width: int, height: int, names: Iterable[str] | None = None) -> list[Appearance]:
    """How nodes of a size look, of all resource types or of some."""
    rows = RESOURCE_TYPES if names is None else [drawn_as(name) for name in names]
    return [Appearance(row.name, row.label, row.letter, OUTLINES[row.shape](width, height)) for row in rows]


def _box(width: int, height: int) -> str:
    return f"M4 0H{width - 4}q4 0 4 4V{height - 4}q0 4-4 4H4q-4 0-4-4V4q0-4 4-4z"


def _cylinder(width: int, height: int) -> str:
    """Lying, so that its ends are at the sides."""
    half, right = f"{height / 2:g}", width - 6
    return f"M6 0H{right}q6 0 6 {half}t-6 {half}H6q-6 0-6-{half}T6 0zM{right} {height}q-6 0-6-{half}t6-{half}"


def _box3d(width: int, height: int) -> str:
    return f"M0 5L5 0H{width}V{height - 5}L{width - 5} {height}H0zM0 5H{width - 5}V{height}M{width - 5} 5L{width} 0"


def _tab(width: int, height: int) -> str:
    return f"M0 0H{width // 4}V5H{width}V{height}H0zM0 5H{width // 4}"


def _note(width: int, height: int) -> str:
    return f"M0 0H{width - 9}L{width} 9V{height}H0zM{width - 9} 0V9H{width}"


def _house(width: int, height: int) -> str:
    """With its roof to the right: nothing of the project follows."""
    return f"M0 0H{width - 12}L{width} {height / 2:g}L{width - 12} {height}H0z"


def _hexagon(width: int, height: int) -> str:
    return f"M9 0H{width - 9}L{width} {height / 2:g}L{width - 9} {height}H9L0 {height / 2:g}z"


def _component(width: int, height: int) -> str:
    """With two plugs on its left side."""
    return f"M0 0H{width}V{height}H0zM0 {height // 4}h5v5h-5M0 {height - height // 4 - 5}h5v5h-5"


def _folder(width: int, height: int) -> str:
    return f"M0 5H{width - width // 3}l5-5H{width - 5}l5 5V{height}H0zM{width - width // 3} 5H{width}"


def _ellipse(width: int, height: int) -> str:
    half = height / 2
    return f"M{half:g} 0H{width - half:g}a{half:g} {half:g} 0 0 1 0 {height}H{half:g}a{half:g} {half:g} 0 0 1 0-{height}z"


OUTLINES: dict[Shape, Outline] = {
    "box": _box,
    "cylinder": _cylinder,
    "box3d": _box3d,
    "tab": _tab,
    "note": _note,
    "house": _house,
    "hexagon": _hexagon,
    "component": _component,
    "folder": _folder,
    "ellipse": _ellipse,
}
"""In a box of at least 32 by 16 pixels."""

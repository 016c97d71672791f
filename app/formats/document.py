"""The JSON document of the API: the nodes' own JSON goes through unread."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from app.formats.heading import Heading
from app.formats.pieces import separated
from app.graph import Selection


def texts(heading: Heading, selection: Selection) -> Iterator[bytes]:
    """Yield the document."""
    above = orjson.dumps(heading, option=orjson.OPT_UTC_Z)
    yield above[:-1] + b',"nodes":['
    yield from separated(selection.nodes())
    yield b'],"edges":['
    yield from separated(selection.edges())
    yield b"]}"

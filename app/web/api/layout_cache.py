"""Layouts in memory, by lineage: computed once for concurrent readers."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import partial

import orjson
from aiohttp import web

from app.lineage.graph import GraphFilter
from app.lineage.layout.comparison import marks, merged
from app.lineage.layout.overview import overview
from app.lineage.layout.scene import Scene
from app.store.lineage_cache import LineageCache
from app.store.lineages import LineageHead
from app.store.shared_loads import SharedLoads

KEPT_BYTES = 64 << 20
GZIP, LEVEL = 31, 6
"""zlib's `wbits` for the format of gzip, and its compression level."""
PACKED = 1.4
"""Memory of a body and its compressed form, as a multiple of the body."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is drawn: a lineage, or the differences from `base` to it. `also` is a node beside those that match the filter."""

    head: LineageHead
    base: LineageHead | None
    selected: GraphFilter
    also: str | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """What the layout depends on: the same key has the same layout for ever."""
        commits = [None if one is None else (one.id, one.extracted_at) for one in (self.head, self.base)]
        return (*commits, self.selected, self.also)


class OverviewBody:
    """An overview as JSON, without the fields that say what it is of."""

    __slots__ = ("__weakref__", "_packed", "_rest", "nbytes")

    def __init__(self, scene: Scene) -> None:
        self._rest = orjson.dumps(overview(scene))
        self._packed = (b"", b"")
        self.nbytes = int(PACKED * len(self._rest))

    def plain(self, heading: bytes) -> bytes:
        """The document; `heading` is a JSON object with the fields before."""
        return heading[:-1] + b"," + self._rest[1:]

    def packed(self, heading: bytes) -> bytes:
        """The same, compressed; the last one is kept."""
        if self._packed[0] != heading:
            packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
            self._packed = (heading, packer.compress(self.plain(heading)) + packer.flush())
        return self._packed[1]


class LayoutCache:
    """Scenes and overviews."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._loads = SharedLoads(kept_bytes)

    async def scene(self, graphs: LineageCache, drawn: Drawn) -> Scene | None:
        """Return what is drawn; None if a lineage was replaced or removed since. Raises as `LineageCache.get` does."""
        found: Scene | None = await self._loads.get(("scene", *drawn.key), partial(_scene, graphs, drawn))
        return found

    async def overview(self, graphs: LineageCache, drawn: Drawn) -> OverviewBody | None:
        """Return the layout of a whole scene; None and errors as in `scene`."""
        scene = await self.scene(graphs, drawn)
        if scene is None:
            return None
        work = partial(graphs.compute, partial(OverviewBody, scene))
        found: OverviewBody = await self._loads.get(("overview", *drawn.key), work)
        return found


LAYOUTS = web.AppKey("layouts", LayoutCache)


async def _scene(graphs: LineageCache, drawn: Drawn) -> Scene | None:
    graph = await graphs.get(drawn.head)
    if graph is None:
        return None
    make = partial(Scene, selected=drawn.selected, project=drawn.head.project_name, also=drawn.also)
    if drawn.base is None:
        return await graphs.compute(partial(make, graph))
    base, diff = await graphs.get(drawn.base), await graphs.diff(drawn.base, drawn.head)
    if base is None or diff is None:
        return None
    return await graphs.compute(lambda: make(merged(base, graph), marks=marks(diff)))

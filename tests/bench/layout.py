"""What layouts cost, how many edges cross, and how much of the order an edit keeps: `python -m tests.bench.layout`.

Generated projects of 24 layers and 40 folders. The usual algorithm (layers sorted by the middle of their neighbours, eight times) is the
comparison, and `dot` of Graphviz where it is installed. Times over HTTP include a client in the same process.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import statistics
import subprocess
import tempfile
import time
import zlib
from bisect import insort
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from random import Random

import orjson

from app.core import log
from app.lineage.graph import Graph, GraphFilter, GraphNode
from app.lineage.layout import untangling
from app.lineage.layout.layers import layers
from app.lineage.layout.neighbourhood import Expansion, around, neighbourhood
from app.lineage.layout.overview import overview
from app.lineage.layout.routes import routed
from app.lineage.layout.scene import Scene
from app.lineage.nodes import Lineage, Node
from app.store import Store, embedded, migrate, pool
from tests.integration.lineage_reader import SHAS, TOKEN, Reader, reading, save_lineage

SIZES = ((1_000, 2_500), (10_000, 25_000))
LAYERS, FOLDERS = 24, 40
ROUNDS, FOCUSES, EDITS = 5, 300, 5
MAX_STEPS = 30_000
PLACE = 1 << 20
Upstream = Mapping[str, Sequence[str]]
Places = dict[str, tuple[int, float]]
"""Of each node its layer, and its place from the top."""


def project(models: int, edges: int, seed: int = 1) -> dict[str, list[str]]:
    """Models by name, `NAME_FOLDER_LAYER`: most edges are between nodes of about the same subject, and from the layer before."""
    random = Random(seed)  # noqa: S311 - reproducible, not secret
    subjects = sorted(random.random() for _ in range(models))
    depth = [min(LAYERS - 1, int(random.expovariate(1 / 5))) for _ in subjects]
    names = [f"{random.getrandbits(40):010x}_{int(one * FOLDERS):02}_{layer:02}" for one, layer in zip(subjects, depth, strict=True)]
    there: list[list[int]] = [[] for _ in range(LAYERS)]
    for number, layer in enumerate(depth):
        there[layer].append(number)
    found: dict[str, set[str]] = {name: set() for name in names}
    missing = edges
    while missing:
        number = random.randrange(models)
        above = there[max(0, depth[number] - (1 if random.random() < 0.7 else 1 + int(random.expovariate(0.5))))]
        if not depth[number] or not above:
            continue
        near = int(subjects[number] * len(above) + random.gauss(0, max(2, len(above) / 50)))
        place = near if random.random() < 0.9 else int(len(above) * random.random() ** 3)
        parent = names[above[min(max(place, 0), len(above) - 1)]]
        missing -= parent not in found[names[number]]
        found[names[number]].add(parent)
    return {name: sorted(found[name]) for name in sorted(found)}


def edited(upstream: Upstream, random: Random) -> dict[str, list[str]]:
    """One of a hundred models renamed, one removed, one added."""
    count = len(upstream) // 100
    names = {name: f"{random.getrandbits(40):010x}{name[10:]}" for name in random.sample([*upstream], count)}
    gone = {*random.sample([*upstream], count)}
    found = {
        names.get(name, name): [names.get(parent, parent) for parent in above if parent not in gone]
        for name, above in upstream.items()
        if name not in gone
    }
    added = {f"{random.getrandbits(40):010x}{name[10:]}": [name] for name in random.sample([*found], count)}
    return {name: sorted(above) for name, above in sorted((found | added).items())}


def scene(upstream: Upstream) -> Scene:
    nodes = [GraphNode(f"model.shop.{name}", "model", name, "shop", _content(name)) for name in upstream]
    graph = Graph(nodes, [[f"model.shop.{parent}" for parent in above] for above in upstream.values()])
    return Scene(graph, GraphFilter(), project="shop")


def ours(found: Scene) -> Places:
    drawn = overview(found)
    nodes = drawn["nodes"]
    lefts = {name: layer for layer, (first, count, _) in enumerate(drawn["layers"]) for name in nodes["name"][first : first + count]}
    # Lanes of a layer are one, and nodes at one height are in the order of their lanes.
    return {name: (lefts[name], y * PLACE + x) for name, x, y in zip(nodes["name"], nodes["x"], nodes["y"], strict=True)}


def usual(found: Scene) -> tuple[Places, list[list[tuple[float, float]]]]:
    """The usual algorithm: places, and the lines of all edges with the places of their steps."""
    graph = routed(layers(found.parents, found.children), found.parents, MAX_STEPS)
    order: list[list[int]] = [[] for _ in range(max(graph.layers) + 1)]
    for node in untangling._by_depth(graph.below, graph.above):
        order[graph.layers[node]].append(node)
    place = [0.0] * len(graph.layers)
    for row in order:
        untangling._spread(row, place)
    for sweep in range(untangling.SWEEPS):
        to_right = sweep % 2 == 0
        for row in order[1:] if to_right else order[-2::-1]:
            untangling._sort(row, graph.above if to_right else graph.below, place)
    points = [
        [(float(graph.layers[one]), place[one]) for one in (parent, *graph.steps.get((parent, node), ()), node)]
        for node, above in enumerate(found.parents)
        for parent in above
    ]
    return {found.node(node).name: (graph.layers[node], place[node]) for node in range(len(found))}, points


def by_dot(upstream: Upstream) -> tuple[float, list[list[tuple[float, float]]]]:
    """Its CPU seconds, and its edges as lines."""
    text = "\n".join(f'"{parent}" -> "{name}"' for name, above in upstream.items() for parent in above)
    source = f"digraph {{ rankdir=LR; splines=polyline; node [shape=box width=2.2 height=0.4 fixedsize=true];\n{text} }}"
    began = time.perf_counter()
    result = subprocess.run(["dot", "-Tplain"], input=source, capture_output=True, text=True, check=True)
    lines = [line.split() for line in result.stdout.replace("\\\n", "").splitlines() if line.startswith("edge ")]
    found = [[(float(line[4 + 2 * one]), float(line[5 + 2 * one])) for one in range(int(line[3]))] for line in lines]
    return time.perf_counter() - began, found


def crossing(lines: Sequence[Sequence[tuple[float, float]]]) -> int:
    """How many pairs of edges cross; each is a line through points from left to right."""
    pieces = sorted((min(a, b), max(a, b), number) for number, line in enumerate(lines) for a, b in pairwise(line))
    found: set[tuple[int, int]] = set()
    active: list[tuple[tuple[float, float], tuple[float, float], int]] = []
    for piece in pieces:
        active = [one for one in active if one[1][0] > piece[0][0]]
        low, high = sorted((piece[0][1], piece[1][1]))
        for other in active:
            if (
                other[2] != piece[2]
                and min(other[0][1], other[1][1]) < high
                and max(other[0][1], other[1][1]) > low
                and _cross(piece, other)
            ):
                found.add((min(other[2], piece[2]), max(other[2], piece[2])))
        active.append(piece)
    return len(found)


def _cross(one: tuple[tuple[float, float], tuple[float, float], int], other: tuple[tuple[float, float], tuple[float, float], int]) -> bool:
    def side(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    (a, b, _), (c, d, _) = one, other
    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def kept(before: Places, after: Places) -> float:
    """The share of pairs of nodes, both in one layer before and after, that kept their order."""
    groups: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for name in before.keys() & after.keys():
        (layer, place), (other, there) = before[name], after[name]
        groups.setdefault((layer, other), []).append((place, there))
    turned = total = 0
    for group in groups.values():
        seen: list[float] = []
        for _, there in sorted(group):
            insort(seen, -there)
            turned += seen.index(-there)
        total += len(group) * (len(group) - 1) // 2
    return 1 - turned / total


def cost(models: int, edges: int) -> None:
    """Print a row: CPU seconds of an overview, bytes, focus."""
    upstream = project(models, edges)
    found = scene(upstream)
    taken = [cpu_s(lambda: zlib.compress(orjson.dumps(overview(found)), 6)) for _ in range(ROUNDS)]
    body = orjson.dumps(overview(found))
    focuses = Random(2).sample(range(len(found)), FOCUSES)  # noqa: S311 - likewise
    near = [1000 * cpu_s(lambda one=one: orjson.dumps(neighbourhood(around(found, [Expansion(one, 2, 2)])))) for one in focuses]  # type: ignore[misc]
    p50, p95 = _cuts(near)
    made = 1000 * cpu_s(lambda: Scene(found.graph, GraphFilter()))
    print(
        f"| {models:,} / {edges:,} | {statistics.median(taken):.2f} s | {made:.0f} ms | {len(body) / 1000:,.0f} kB "
        f"| {len(zlib.compress(body, 6)) / 1000:,.0f} kB | {p50:.1f} ms | {p95:.1f} ms | {max(near):.1f} ms |"
    )


def order(models: int, edges: int) -> None:
    """Print a row: the share of the order that edits keep."""
    random, upstream = Random(3), project(models, edges)  # noqa: S311 - likewise
    shares: list[tuple[float, float]] = []
    for _ in range(EDITS):
        after = edited(upstream, random)
        old, new = scene(upstream), scene(after)
        shares.append((kept(ours(old), ours(new)), kept(usual(old)[0], usual(new)[0])))
        upstream = after
    (mine, least), (theirs, lowest) = ((statistics.mean(one), min(one)) for one in zip(*shares, strict=True))
    print(f"| {models:,} / {edges:,} | {mine:.1%}, at least {least:.1%} | {theirs:.1%}, at least {lowest:.1%} |")


def crossings(models: int, edges: int) -> None:
    """Print a row: pairs of edges that cross."""
    upstream = project(models, edges)
    found = scene(upstream)
    places, (_, lines) = ours(found), usual(found)
    straight = [[(float(places[one][0]), places[one][1]) for one in (parent, name)] for name, above in upstream.items() for parent in above]
    mine, theirs = crossing(straight), crossing(lines)
    if shutil.which("dot"):
        took_s, drawn = by_dot(upstream)
        dot = crossing(drawn)
        compared = f"{dot:,} in {took_s:.1f} s | {mine / dot:.2f}"
    else:
        compared = "not installed | "
    print(f"| {models:,} / {edges:,} | {mine:,} | {theirs:,} | {mine / theirs:.2f} | {compared} |")


async def over_http(models: int, edges: int) -> None:
    """Print a row: milliseconds of requests."""
    nodes = [
        Node(f"model.shop.{name}", "model", name, "shop", _content(name), tuple(f"model.shop.{parent}" for parent in above), b"")
        for name, above in project(models, edges).items()
    ]
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        dsn = await stack.enter_async_context(embedded.serve(directory / "data"))
        db = await stack.enter_async_context(pool.connect(dsn))
        await migrate.migrate(db)
        reader = await stack.enter_async_context(reading(Store(db), directory))
        await save_lineage(reader.store, reader.connection_id, SHAS[2], Lineage("shop", "1.11.16", "duckdb", "v12", tuple(nodes)))
        cold = await took_ms(lambda: _get(reader))
        warm = [await took_ms(lambda: _get(reader)) for _ in range(20)]
        focuses = Random(2).sample(nodes, FOCUSES)  # noqa: S311 - likewise
        near = [await took_ms(lambda one=one: _get(reader, focus=one.unique_id)) for one in focuses]  # type: ignore[misc]
    p50, p95 = _cuts(near)
    print(f"| {models:,} / {edges:,} | {cold:.0f} ms | {statistics.median(warm):.1f} ms | {p50:.1f} ms | {p95:.1f} ms |")


async def _get(reader: Reader, **params: str) -> None:
    path = reader.path.replace("/lineage", "/layout")
    async with reader.client.get(path, params=params, headers=TOKEN, auto_decompress=False) as response:
        assert response.status == 200
        await response.read()


async def took_ms(work: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await work()
    return 1000 * (time.perf_counter() - began)


def cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _cuts(values: Sequence[float]) -> tuple[float, float]:
    found = statistics.quantiles(values, n=20, method="inclusive")
    return found[9], found[18]


def _content(name: str) -> bytes:
    return orjson.dumps(
        {"unique_id": f"model.shop.{name}", "original_file_path": f"models/{name[11:13]}/{name}.sql", "materialized": "table"}
    )


async def main() -> None:
    """Measure and print."""
    log.configure(level=logging.WARNING)
    print(
        "| nodes, edges | overview, CPU | scene | JSON | gzip | around a node, CPU p50 | p95 | longest |\n|---|--:|--:|--:|--:|--:|--:|--:|"
    )
    for size in SIZES:
        cost(*size)
    print("\n| nodes, edges | overview over HTTP, nothing in memory | in memory | around a node, p50 | p95 |\n|---|--:|--:|--:|--:|")
    for size in SIZES:
        await over_http(*size)
    print("\n| nodes, edges | order kept | by the usual sweeps |\n|---|---|---|")
    for size in SIZES:
        order(*size)
    print("\n| nodes, edges | crossings | usual sweeps | ratio | `dot` | ratio |\n|---|--:|--:|--:|--:|--:|")
    crossings(*SIZES[0])


if __name__ == "__main__":
    asyncio.run(main())

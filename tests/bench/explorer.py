"""The explorer with 10,000 nodes and 25,000 edges, in a real service and a Chromium without a GPU: `python -m tests.bench.explorer`.

First paint is from the navigation to the squares that the window shows, with nothing in the service's memory and then with it. A frame
is the time between two animation frames while the mouse drags the drawing. A focus view is from the event that asks for it to the frame
after its nodes are in the page.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from playwright.async_api import Page

from app.core.models.github import Repository
from app.lineage.nodes import Lineage, Node
from app.store import Store, embedded, migrate, pool
from app.web.pages import assets
from tests.bench.layout import _content, project
from tests.browser.chromium import MISSING, Look, chromium, context, executable
from tests.double import GitHubDouble
from tests.integration.lineage_reader import SHAS, save_lineage
from tests.service import Service, serving

MODELS, EDGES = 10_000, 25_000
PAINTS, FOCUSES = 5, 200
DRAG_STEPS = 120
SCALES = {"fitted": 0, "a third": 1 / 3, "readable": 1}
SCRIPTS = ("explorer", "explorer-focus", "explorer-overview", "explorer-tiles", "explorer-view", "request", "search", "tree")
DRAWN = """() => { const box = document.getElementById('drawing')?.getBoundingClientRect();
  const isDrawn = ([x, y]) => document.elementFromPoint(box.left + x * box.width, box.top + y * box.height)?.localName === 'canvas';
  return box && [[.5, .5], [.3, .1], [.7, .1], [.3, .9], [.7, .9]].every(isDrawn); }"""
PLACE = """() => document.querySelector('.tiles').style.transform"""
SCALE = """() => new DOMMatrix(document.querySelector('.tiles').style.transform).a"""
FRAMES = """() => { const times = (window.frames_ = []);
  const next = (now) => { times.push(now); window.stop_ || requestAnimationFrame(next); };
  window.stop_ = false; requestAnimationFrame(next); }"""
TAKEN = """() => { window.stop_ = true; return window.frames_.slice(1).map((time, place) => time - window.frames_[place]); }"""
FOCUS = """(id) => new Promise((done) => {
  const box = document.querySelector('#drawing .node');
  box.dataset.id = id; // Any node of the lineage, without first walking to it.
  const began = performance.now();
  new MutationObserver((_, observer) => {
    if (!box.isConnected) {
      observer.disconnect();
      requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
    }
  }).observe(document.getElementById('drawing'), { childList: true, subtree: true });
  box.dispatchEvent(new MouseEvent('dblclick', { bubbles: true }));
})"""


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Service, str, Sequence[str]]]:
    """A service with one lineage, the path of its explorer, and the names of the nodes."""
    upstream = project(MODELS, EDGES)
    nodes = tuple(
        Node(f"model.shop.{name}", "model", name, "shop", _content(name), tuple(f"model.shop.{parent}" for parent in above), b"")
        for name, above in upstream.items()
    )
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as folder:
        async with embedded.serve(Path(folder) / "postgres") as dsn, pool.connect(dsn) as db, GitHubDouble() as github:
            await migrate.migrate(db)
            store = Store(db)
            repository = await github.create_repository("bench/shop", {"dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n"})
            installation = await github.install("bench")
            await store.installations.update_from_push(Repository(repository.id, "bench/shop", installation.id, "main"))
            connection = await store.connections.create(repository.id, "")
            await save_lineage(store, connection.id, SHAS[1], Lineage("shop", "1.11.16", "duckdb", "v12", nodes))
            await db.execute("UPDATE check_runs SET sent = revision")  # GitHub does not know these commits.
            nothing: dict[str, Any] = {"DOCKER_HOST": "tcp://127.0.0.1:1", "FRESHET_WARM_CONTAINERS": "0"}
            async with serving(github, Path(folder) / "data", with_client=False, DATABASE_URL=dsn, **nothing) as service:
                yield service, f"/connections/{connection.id}/lineage", [*upstream]


async def first_paints(page: Page, path: str) -> list[float]:
    """Milliseconds until the drawing of everything is seen; the first with nothing in the service's memory."""
    found = []
    for _ in range(PAINTS + 1):
        await page.goto("about:blank")
        began = time.perf_counter()
        await page.goto(path, wait_until="commit")
        await page.wait_for_function(DRAWN, polling="raf")
        found.append(1000 * (time.perf_counter() - began))
    return found


async def frames(page: Page, scale: float) -> list[float]:
    """Milliseconds between frames while the drawing is dragged to and fro."""
    box = await page.locator("#drawing").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    await page.mouse.move(x, y)
    await page.get_by_role("button", name="Fit").click()
    if scale:
        while await page.evaluate(SCALE) < scale:
            await page.get_by_role("button", name="Larger").click()
    await page.wait_for_timeout(1500)
    await page.mouse.move(x, y)
    before = await page.evaluate(PLACE)
    await page.mouse.down()
    await page.evaluate(FRAMES)
    for step in range(DRAG_STEPS):
        away = 300 - abs(step % 120 - 60) * 5
        await page.mouse.move(x + away, y + away / 3)
    taken: list[float] = await page.evaluate(TAKEN)
    assert await page.evaluate(PLACE) != before
    await page.mouse.up()
    return taken


async def focus_views(page: Page, path: str, names: Sequence[str]) -> list[float]:
    """Milliseconds from the press of a key on a node to its neighbourhood."""
    await page.goto(f"{path}?node={names[0]}")
    found = []
    for name in Random(2).sample(names, FOCUSES):  # noqa: S311 - reproducible, not secret
        await page.wait_for_selector("#explorer:not([aria-busy]) .node.selected a[tabindex='0']")
        found.append(float(await page.evaluate(FOCUS, f"model.shop.{name}")))
    return found


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.explorer", description=__doc__)
    parser.parse_args()
    if executable() is None:
        print(MISSING)
        return
    size = sum(len(assets.files()[f"{name}.js"].compressed) for name in SCRIPTS)
    print(f"JavaScript: {size / 1000:.1f} kB gzip; load {os.getloadavg()[0]:.1f}")
    async with running() as (service, path, names), chromium() as browser:
        window = await context(browser, Look(), service.url)
        window.set_default_timeout(30_000)
        page = await window.new_page()
        cold, *warm = await first_paints(page, path)
        print(f"first paint: {cold:.0f} ms cold, then {statistics.median(warm):.0f} ms (at most {max(warm):.0f} ms)")
        for label, scale in SCALES.items():
            taken = sorted(await frames(page, scale))
            late = sum(one > 25 for one in taken) / len(taken)
            print(f"pan, {label}: {1000 / statistics.mean(taken):.0f} fps, p95 {taken[int(0.95 * len(taken))]:.0f} ms, {late:.0%} late")
        found = sorted(await focus_views(page, path, names))
        print(f"focus view: p50 {found[len(found) // 2]:.0f} ms, p95 {found[int(0.95 * len(found))]:.0f} ms, at most {found[-1]:.0f} ms")
        await window.close()
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    asyncio.run(main())

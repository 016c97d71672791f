"""What people do in the explorer, for tests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from playwright.async_api import Locator, Page, expect

from tests.browser.visits import Visit
from tests.patience import HANGS_S

PATIENCE_MS = 1000 * HANGS_S


@dataclass
class Explorer:
    """A window with the explorer of a connection."""

    visit: Visit
    path: str

    @property
    def page(self) -> Page:
        """Its page."""
        return self.visit.page

    async def open(self, query: Mapping[str, str] | str = "", *, status: int = 200, name: str | None = None) -> None:
        """Go there, wait until everything is drawn, and examine it."""
        text = query if isinstance(query, str) else urlencode(query)
        response = await self.page.goto(f"{self.path}?{text}")
        assert response is not None
        assert response.status == status
        if self.visit.look != "plain" and status == 200:
            await self.drawn()
        await self.visit.examine(name)

    async def drawn(self) -> None:
        """Wait until nothing is awaited."""
        await expect(self.page.locator("#explorer.scripted:not([aria-busy])")).to_be_attached(timeout=PATIENCE_MS)
        busy = "() => !document.getElementById('explorer').hasAttribute('aria-busy')"
        await self.page.wait_for_function(f"{busy} && document.querySelector('#drawing > :is(.stage, .tiles, .warning)')")

    def node(self, name: str) -> Locator:
        """A node of the drawing, by name."""
        label = re.compile(f"^{re.escape(name)}, ")
        return self.page.locator("#drawing .node").filter(has=self.page.get_by_role("link", name=label))

    async def names(self) -> list[str]:
        """The nodes in the drawing."""
        return sorted(await self.page.locator("#drawing .node .name").all_inner_texts())

    async def said(self, text: str) -> None:
        """Wait until the live region says it."""
        await expect(self.page.locator("#spoken")).to_contain_text(text, timeout=PATIENCE_MS)

    async def on(self, name: str) -> None:
        """Wait until a node of the drawing has the keyboard's focus and is marked; it must be in sight."""
        await expect(self.page.locator("#drawing a:focus .name")).to_have_text(name, timeout=PATIENCE_MS)
        focused = self.page.locator("#drawing .node.selected:has(a:focus)")
        await expect(focused).to_be_in_viewport(timeout=PATIENCE_MS)
        assert await focused.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"

    async def titled(self, name: str) -> None:
        """Wait until the page is about a node."""
        await expect(self.page.locator("h1")).to_have_text(name, timeout=PATIENCE_MS)
        await self.drawn()

    async def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        for key in keys:
            await self.page.keyboard.press(key)

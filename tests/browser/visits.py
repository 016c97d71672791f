"""People in front of a browser, for tests."""

from __future__ import annotations

import os
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.browser.chromium import LOOKS, context
from tests.browser.watch import Watch
from tests.patience import HANGS_S

expect.set_options(timeout=1000 * HANGS_S)
FOLDER = Path(__file__).parents[2] / ".cache" / "pictures"
TAKES_PICTURES = bool(os.environ.get("PICTURES"))
WITHOUT_AXE = ("phone-dark", "forced", "still", "plain")
"""It says nothing about these that it does not say about the others."""
IS_MARKED = """(element) => {
  const {left, right, top, bottom} = element.getBoundingClientRect();
  const inSight = right > 0 && bottom > 0 && left < innerWidth && top < innerHeight;
  const marked = [element, ...element.children].some((one) => getComputedStyle(one).outlineStyle !== "none");
  return inSight && (element.matches("main") || marked);
}"""


@dataclass
class Visit:
    """A window. What it shows is watched; see `Watch`."""

    page: Page
    look: str
    watch: Watch

    async def open(self, path: str, *, status: int = 200, name: str | None = None) -> None:
        """Go to a page and examine it. `name`: that of its picture, for `make pictures`."""
        response = await self.page.goto(path)
        if response is None or response.status != status:
            self.watch.findings.append(f"{path}: {response and response.status} instead of {status}")
        await self.examine(name)

    async def examine(self, name: str | None = None) -> None:
        """The same of what is shown now."""
        await self.watch.examine(self.page, axe=self.look not in WITHOUT_AXE)
        if name is not None and TAKES_PICTURES:
            await self.page.screenshot(path=FOLDER / f"{name}-{self.look}.png", full_page=True)

    async def text(self) -> str:
        """What can be read, with single spaces."""
        return re.sub(r"\s+", " ", await self.page.inner_text("body"))

    async def shows(self, text: str) -> None:
        """Wait until it does."""
        await expect(self.page.locator("body")).to_contain_text(text)

    async def focused(self) -> str:
        """The text of what has the keyboard's focus, which must be in sight and marked."""
        element = self.page.locator("*:focus")
        assert await element.evaluate(IS_MARKED), f"nobody sees that {await element.evaluate('e => e.outerHTML')} has the focus"
        return (await element.inner_text()).strip()


@dataclass
class Visits:
    """Opens windows at one service. `findings` are what all of them must not do."""

    browser: Browser
    url: str
    github_url: str
    stack: AsyncExitStack
    watches: list[Watch] = field(default_factory=list)

    async def begin(self, look: str = "light", url: str | None = None) -> Visit:
        """A window of somebody who was never here."""
        made: BrowserContext = await context(self.browser, LOOKS[look], url or self.url)
        self.stack.push_async_callback(made.close)
        watch = Watch({url or self.url, self.github_url})
        await watch.attach(made)
        self.watches.append(watch)
        return Visit(await made.new_page(), look, watch)

    @property
    def findings(self) -> list[str]:
        return [finding for watch in self.watches for finding in watch.findings]

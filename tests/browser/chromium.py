"""Debian's Chromium, driven by playwright, and the ways in which people look at a page."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from playwright.async_api import Browser, BrowserContext, async_playwright

from tests.patience import HANGS_S

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "Chromium is not installed, so no page was opened in a browser: `deploy/setup.sh browser` installs it"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)


@dataclass(frozen=True, slots=True)
class Look:
    """How somebody looks at a page."""

    width: int = 1200
    height: int = 800
    scheme: Literal["light", "dark"] = "light"
    forced_colors: Literal["active", "none"] = "none"
    reduced_motion: Literal["reduce", "no-preference"] = "no-preference"
    javascript: bool = True


LOOKS = {
    "light": Look(),
    "dark": Look(scheme="dark"),
    "phone": Look(390, 844),
    "phone-dark": Look(390, 844, "dark"),
    "forced": Look(forced_colors="active"),
    "still": Look(reduced_motion="reduce"),
    "plain": Look(javascript=False),
}
"""`forced`: the colours of the operating system; `still`: without motion; `plain`: without JavaScript."""


def executable() -> str | None:
    """The path of the browser; None: there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser with an empty profile of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable(), args=[*FLAGS], timeout=1000 * HANGS_S)
        try:
            yield browser
        finally:
            await browser.close()


async def context(browser: Browser, look: Look, base_url: str | None = None, scale: float = 1) -> BrowserContext:
    """Windows of somebody who looks so; nothing is shared with other contexts. `scale`: pixels of a picture for one of the page."""
    made = await browser.new_context(
        base_url=base_url,
        viewport={"width": look.width, "height": look.height},
        device_scale_factor=scale,
        color_scheme=look.scheme,
        forced_colors=look.forced_colors,
        reduced_motion=look.reduced_motion,
        java_script_enabled=look.javascript,
        locale="en-GB",
    )
    made.set_default_timeout(1000 * HANGS_S)
    return made

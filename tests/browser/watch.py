"""What no page may do, whatever a test is about. Each finding is a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, Response, WebError

OWN_SCHEMES = ("blob", "data", "about")
STATUS_LINE = "Failed to load resource"
"""How Chromium repeats an answer's status in the console; `_response` decides about these."""
REPORT = """addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} refuses ${event.blockedURI || event.sample}`));"""
OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const isWide = (one) => Math.max(one.getBoundingClientRect().right, one.getBoundingClientRect().left + one.scrollWidth) > width + 0.5;
  const scrolls = (one) => one.closest(".scroll, pre, svg");
  const wide = [...document.querySelectorAll("body *")].filter((one) => isWide(one) && !scrolls(one));
  const innermost = wide.filter((one) => !wide.some((other) => one !== other && one.contains(other)));
  return [...innermost, document.body].slice(0, 5).map((one) => `<${one.localName}> ${one.textContent.trim().slice(0, 60)}`);
}"""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AXE = """async (tags) => {
  const found = await axe.run(document, {runOnly: tags, resultTypes: ["violations"], rules: {"target-size": {enabled: true}}});
  return found.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${rule.help}: ${node.target} ${node.failureSummary}`));
}"""


@dataclass
class Watch:
    """Watches all pages of a context."""

    origins: set[str]
    """Where pages may be, and send requests to."""
    findings: list[str] = field(default_factory=list)

    async def attach(self, context: BrowserContext) -> None:
        """Begin."""
        context.on("console", self._console)
        context.on("weberror", self._error)
        context.on("request", self._request)
        context.on("response", self._response)
        await context.add_init_script(REPORT)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(STATUS_LINE):
            self.findings.append(f"console: {message.text}")

    def _error(self, error: WebError) -> None:
        self.findings.append(f"uncaught: {error.error}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in OWN_SCHEMES and f"{parts.scheme}://{parts.netloc}" not in self.origins:
            self.findings.append(f"foreign: {request.method} {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and not response.request.is_navigation_request():
            self.findings.append(f"status: {response.status} of {response.url}")

    async def examine(self, page: Page, *, axe: bool = True) -> None:
        """Look at what is shown: whether it is too wide for the window, and what axe finds."""
        path = urlsplit(page.url).path
        await page.wait_for_function("() => !document.querySelector('[aria-busy=true]')")
        self.findings += [f"too wide: {path}: {element}" for element in await page.evaluate(OVERFLOW)]
        if not axe:
            return
        if not await page.evaluate("() => 'axe' in window"):
            await page.evaluate(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text())
        self.findings += [f"axe: {path}: {finding}" for finding in await page.evaluate(AXE, RULES)]

"""`make pictures`: the pictures of the README, taken of the demo by Chromium.

The check run is that of a pull request that breaks something. Mermaid, which draws its picture as GitHub does, comes from npm.
"""

from __future__ import annotations

import asyncio
import html
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt
from playwright.async_api import Browser, Page

from demo import parking, second_push
from demo.__main__ import COLUMN, FOLDER, NODE, PROJECT, PUSH_TIMEOUT_S, REPOSITORY
from demo.serving import PERSON
from tests.browser.chromium import MISSING, Look, chromium, context, executable
from tests.double import CheckRun, GitHubDouble, Repository
from tests.png import with_palette
from tests.service import serving

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
WIDTH = 880
CHECK_RUN_HEIGHT, PAGE_HEIGHT = 836, 460
WIDE = 1200
TOUR = (
    ("repositories", "/", 400, 0, 0),
    ("explorer", "/connections/{connection}/lineage?node=fct_rentals", 560, 1, 0),
    ("column", f"/connections/{{connection}}/lineage?node={NODE}&column={COLUMN}", 640, 2, 200),
    ("node", f"/connections/{{connection}}/nodes/{NODE}", 720, 0, 0),
)
"""Name, path, height, how often to zoom out, and how far to drag to the right."""
MERMAID = "mermaid@11.17.2"
BRANCH = "returned-at"
RENAMED = "models/intermediate/int_rentals_priced.sql", "    timed.ended_at,", "    timed.ended_at as returned_at,"
"""The file and line that the pull request changes: `station_balance` reads the column."""
SIGNS = {"success": "✓", "neutral": "■", "failure": "✗"}
LOOK = Path(__file__).with_name("check_run.css")
"""How GitHub shows a check run, near enough to recognise it."""


async def main() -> int:
    """Take all pictures and return the exit status."""
    if executable() is None:
        print(f"pictures: {MISSING}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="freshet-pictures-") as directory:
        async with GitHubDouble() as github, serving(github, Path(directory) / "data") as service, chromium() as browser:
            run = await _pull_request(github)
            page = Path(directory) / "check-run.html"
            page.write_text(_check_run(run, _mermaid()))
            await _take(browser, page.as_uri(), IMAGES / "check-run.png", CHECK_RUN_HEIGHT)
            assert run.details_url is not None
            assert run.details_url.startswith(service.url)
            window = await context(browser, Look(WIDTH, PAGE_HEIGHT), service.url)
            github.sign_in(PERSON, dict.fromkeys(github.state.repositories.values(), "push"))
            page_of = await window.new_page()
            await page_of.goto("/sign-in")
            await _save(page_of, run.details_url, IMAGES / "extraction.png")
            connection = (await service.connection(REPOSITORY))["id"]
            for name, path, height, steps, shift in TOUR:
                await page_of.set_viewport_size({"width": WIDE, "height": height})
                await _save(page_of, path.format(connection=connection), IMAGES / f"{name}.png", steps, shift)
            await window.close()
    return 0


async def _pull_request(github: GitHubDouble) -> CheckRun:
    """Push the sample project, its second commit and a branch that renames a column; return the check run of the branch."""
    repository = await github.create_repository(REPOSITORY, {"README.md": "Bicycles for rent.\n"})
    files = {f"{FOLDER}/{path.relative_to(PROJECT)}": path.read_bytes() for path in sorted(PROJECT.rglob("*")) if path.is_file()}
    first = await github.push(repository, files, message="Add the dbt project", deliver=False)
    await github.install(REPOSITORY.partition("/")[0], [repository])
    await _completed(github, repository, first)
    changed = {f"{FOLDER}/{path}": content for path, content in second_push.FILES.items()}
    await _completed(github, repository, await github.push(repository, changed, message=second_push.MESSAGE))
    other = await github.create_repository(parking.REPOSITORY, parking.FILES)
    [installation] = github.state.installations.values()
    await github.add_repositories(installation, [other])
    await _completed(github, other, await github.push(other, parking.BROKEN, message=parking.BROKEN_MESSAGE))
    path, old, new = RENAMED
    renamed = {f"{FOLDER}/{path}": (PROJECT / path).read_text().replace(old, new)}
    return await _completed(github, repository, await github.push(repository, renamed, branch=BRANCH, message="Rename ended_at"))


async def _completed(github: GitHubDouble, repository: Repository, sha: str) -> CheckRun:
    async with asyncio.timeout(PUSH_TIMEOUT_S):
        while True:
            for run in github.check_runs(repository, sha):
                if run.status == "completed":
                    return run
            await asyncio.sleep(0.05)


def _mermaid() -> Path | None:
    """Mermaid's script; None without npm: then the picture in the check run is text."""
    script = ROOT / ".cache" / f"{MERMAID}.js"
    if not script.exists():
        with tempfile.TemporaryDirectory(prefix="freshet-npm-") as directory:
            try:
                subprocess.run(["npm", "pack", MERMAID], cwd=directory, check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"pictures: {MERMAID} is not available from npm ({error})", file=sys.stderr)
                return None
            with tarfile.open(next(Path(directory).glob("*.tgz"))) as package:
                member = package.extractfile("package/dist/mermaid.min.js")
                script.parent.mkdir(exist_ok=True)
                script.write_bytes(member.read() if member else b"")
    return script


def _check_run(run: CheckRun, mermaid: Path | None) -> str:
    summary = MarkdownIt("commonmark", {"html": True}).enable("table").render(run.summary or "")
    script = ""
    if mermaid is not None:
        summary = re.sub(
            r'<pre><code class="language-mermaid">(.*?)</code></pre>', r'<pre class="mermaid">\1</pre>', summary, flags=re.DOTALL
        )
        script = f'<script src="{mermaid.as_uri()}"></script><script>mermaid.initialize({{startOnLoad: true}})</script>'
    return f"""<!doctype html><meta charset="utf-8"><style>{LOOK.read_text()}</style>
<header><b class="{run.conclusion}">{SIGNS.get(run.conclusion or "", "")}</b> <strong>{html.escape(run.name)}</strong>
<span>{run.conclusion} on {run.head_sha[:7]}</span></header>
<main><h1>{html.escape(run.title or "")}</h1>{summary}</main>{script}"""


async def _take(browser: Browser, url: str, picture: Path, height: int) -> None:
    window = await context(browser, Look(WIDTH, height))
    page = await window.new_page()
    await _save(page, url, picture)
    await window.close()


async def _save(page: Page, url: str, picture: Path, steps: int = 0, shift: int = 0) -> None:
    await page.goto(url)
    await page.wait_for_function("() => [...document.querySelectorAll('.mermaid')].every((one) => one.querySelector('svg'))")
    await page.wait_for_load_state("networkidle")
    for _ in range(steps):
        await page.locator('[data-do="out"]').click()
    if shift:
        await page.mouse.move(500, 600)
        await page.mouse.down()
        await page.mouse.move(500 + shift, 600, steps=5)
        await page.mouse.up()
    await page.screenshot(path=picture, animations="disabled")
    picture.write_bytes(with_palette(picture.read_bytes()))
    print(f"pictures: {picture.relative_to(IMAGES.parents[1])}, {picture.stat().st_size >> 10} KiB")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

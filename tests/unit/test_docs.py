"""Documentation fails the build: what the code has, the docs name, and the other way round."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from aiohttp import web

from app.core import errors
from app.service import config
from app.web import routes

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")), *sorted(DOCS.rglob("*.md"))]
ROOMS = {path.name for path in (ROOT / "app").iterdir() if (path / "__init__.py").exists()}
FENCE = re.compile(r"^(```.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")
NOT_NOUNS = {"api", "metadata", "assets"}
"""Segments of paths that name no thing of ours."""


def table(path: str) -> list[str]:
    """The first cells of the tables of a document."""
    return [line.split("|")[1] for line in (ROOT / path).read_text().splitlines() if line.startswith("| `")]


def addresses() -> set[str]:
    async def webhook(_: web.Request) -> web.Response:
        return web.Response()

    web_app = web.Application()
    routes.add(web_app, webhook)
    return {f"{route.method} {route.resource.canonical}" for route in web_app.router.routes() if route.resource and route.method != "HEAD"}


def test_every_variable_is_described_and_every_described_one_exists() -> None:
    described = {name for cell in table("docs/configuration.md") for name in re.findall(r"`([A-Z_]+)`", cell)}
    assert described == {name.upper() for name in config.Settings.model_fields}


def test_every_address_is_described_and_every_described_one_answers() -> None:
    described = {address for cell in table("docs/http.md") for address in re.findall(r"`([A-Z]+ [^`]+)`", cell)}
    assert described == addresses()


def test_every_error_says_what_it_is() -> None:
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if kind.__module__ == errors.__name__ and issubclass(kind, errors.FreshetError):
            assert kind.__doc__, name
            assert kind.title, name
            assert name.endswith("Error"), name


def test_every_dependency_has_its_line_in_the_decisions() -> None:
    declared = re.search(r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert declared is not None
    names = set(re.findall(r'"([A-Za-z-]+)', declared[1]))
    decisions = (ROOT / "docs/decisions.md").read_text()
    assert {name for name in names if name not in decisions} == set()


def test_every_module_on_the_path_of_a_push_exists() -> None:
    named = set(re.findall(r"`([a-z_]+/[a-z_/]+)`", (DOCS / "internals/path.md").read_text()))
    assert {name.partition("/")[0] for name in named} == ROOMS
    assert {name for name in named if not (ROOT / "app" / f"{name}.py").exists() and not (ROOT / "app" / name).is_dir()} == set()


def test_every_line_of_doctor_is_in_troubleshooting() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    text = (DOCS / "troubleshooting.md").read_text()
    described = set(re.findall(r"^\| `([A-Za-z -]+)` \|", text.partition("## The lines of doctor")[2].partition("\n## ")[0], re.MULTILINE))
    assert described >= set(re.findall(r'Finding\.(?:ok|bad)\(\s*"([^"]+)"', sources))
    assert {name for name in described if f'"{name}"' not in sources} == set()


# -- links


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings: https://docs.github.com/en/get-started/writing-on-github."""
    headings = re.findall(r"^#+ (.+?)\s*$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[tuple[bool, Path, str]]:
    """Relative links: whether it is a picture, the file, the anchor."""
    for picture, target in LINK.findall(FENCE.sub("", page.read_text())):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = unquote(target).partition("#")
            yield bool(picture), (page.parent / path).resolve() if path else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for _, target, anchor in links(page):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), f"{target.name}#{anchor}"


def test_pictures_are_small_and_the_pages_show_them_all() -> None:
    shown = {target for page in PAGES for picture, target, _ in links(page) if picture}
    assert shown == set((DOCS / "images").iterdir())
    assert all(picture.stat().st_size < 100_000 for picture in shown)


def test_the_index_leads_to_every_page() -> None:
    linked = {target for _, target, _ in links(DOCS / "README.md")}
    assert {page for page in DOCS.rglob("*.md") if page.name != "README.md"} <= linked


# -- the glossary


def glossary() -> list[list[str]]:
    """The cells of its rows."""
    lines = (DOCS / "glossary.md").read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ") and "| meaning" not in line]


def words(text: str) -> set[str]:
    return {singular(word) for word in re.findall(r"[a-z]+", text.lower())}


def singular(word: str) -> str:
    return {"deliveries": "delivery", "repositories": "repository", "redeliveries": "redelivery", "watches": "watch"}.get(
        word, word[:-1] if word.endswith("s") and not word.endswith("ss") else word
    )


def test_the_glossary_explains_every_table_of_the_database() -> None:
    migrations = "\n".join(path.read_text() for path in (ROOT / "app/store/migrations").glob("*.sql"))
    tables = set(re.findall(r"CREATE TABLE (\w+)", migrations))
    text = (DOCS / "glossary.md").read_text()
    explained = {name for found in re.findall(r"tables? ((?:`\w+`(?: and )?)+)", text) for name in re.findall(r"\w+", found)} - {"and"}
    assert explained == tables
    # Each is a word there too, in the singular.
    assert {name for name in tables if not words(name.replace("_", " ")) <= words(text)} == set()


def test_the_glossary_has_every_noun_of_the_api() -> None:
    segments = {part for address in addresses() for part in address.split("/")[1:] if part and "{" not in part} - NOT_NOUNS
    named = words(" ".join(f"{row[0]} {row[-1]}" for row in glossary()))
    assert {segment for segment in segments if not words(segment) <= named} == set()


def test_the_glossary_has_every_room() -> None:
    rooms = {row[0] for row in glossary() if len(row) == 2}
    assert rooms >= ROOMS
    modules = {name for row in glossary() if len(row) == 3 for name in re.findall(r"`([a-z_]+(?:/[a-z_]+)+)`", row[2])}
    assert {name for name in modules if not (ROOT / "app" / f"{name}.py").exists() and not (ROOT / "app" / name).is_dir()} == set()


def test_the_glossary_has_each_term_once_in_order() -> None:
    terms = [row[0] for row in glossary() if len(row) == 3]
    assert terms == sorted(set(terms))

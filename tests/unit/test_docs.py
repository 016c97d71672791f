"""Documentation fails the build: what the code has, the docs name, and the other way round."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from aiohttp import web

from app import config, errors
from app.web import routes

ROOT = Path(__file__).parents[2]


def table(path: str) -> list[str]:
    """Return the first cells of the tables of a document."""
    return [line.split("|")[1] for line in (ROOT / path).read_text().splitlines() if line.startswith("| `")]


def test_every_variable_is_described_and_every_described_one_exists() -> None:
    described = {name for cell in table("docs/configuration.md") for name in re.findall(r"`([A-Z_]+)`", cell)}
    assert described == {name.upper() for name in config.Settings.model_fields}


def test_every_address_is_described_and_every_described_one_answers() -> None:
    async def webhook(_: web.Request) -> web.Response:
        return web.Response()

    web_app = web.Application()
    routes.add(web_app, webhook)
    answering = {
        f"{route.method} {route.resource.canonical}" for route in web_app.router.routes() if route.resource and route.method != "HEAD"
    }
    described = {address for cell in table("docs/http.md") for address in re.findall(r"`([A-Z]+ [^`]+)`", cell)}
    assert described == answering


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


def test_every_file_of_the_walk_exists() -> None:
    walk = (ROOT / "app/__init__.py").read_text()
    named = set(
        re.findall(
            r"(?:^|\s)((?:github|dbt|store|web)/\w+|(?:events|handlers|worker|refresh|project|manifest|lineage|report|outbox))\s", walk
        )
    )
    assert named
    for name in named:
        assert (ROOT / "app" / f"{name}.py").exists() or (ROOT / "app" / name).is_dir(), name

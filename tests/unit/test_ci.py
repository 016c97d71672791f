"""The workflow runs the one script, with pinned actions and the least rights; every test is in a lane, and every page in the browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from app.web import routes
from app.web.api.operations import operations
from app.web.pages import assets
from tests import lanes
from tests.lanes import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
VARIABLE = re.compile(r"\{\w+\}")
NO_PAGES = {
    "/.well-known/oauth-protected-resource/mcp",
    "/openapi.json",
    "/extractions/{id}/events",
    assets.PATH,
    "/sign-in",
    "/sign-in/callback",
    "/setup/steps",
}
"""Paths beside the API that have no page of their own."""
PINNED = re.compile(r"^\s*(?:- )?uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*$")


def parsed(path: Path) -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true.
    return {"on" if key is True else key: value for key, value in yaml.safe_load(path.read_text()).items()}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_their_version_beside(path: Path) -> None:
    used = [line for line in path.read_text().splitlines() if "uses:" in line]
    assert used
    assert [line for line in used if not PINNED.match(line)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_and_nothing_else(path: Path) -> None:
    workflow = parsed(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in workflow["on"]
    for job in workflow["jobs"].values():
        assert "permissions" not in job, "more than the workflow has"
        assert job["timeout-minutes"] <= 60
        checkouts = [step for step in job["steps"] if "actions/checkout@" in step.get("uses", "")]
        assert [step["with"]["persist-credentials"] for step in checkouts] == [False]


def test_what_the_workflow_runs_is_the_script_that_runs_everything() -> None:
    [path] = WORKFLOWS
    runs = [step["run"] for job in parsed(path)["jobs"].values() for step in job["steps"] if "run" in step]
    assert runs == [".ci/run"]
    assert "exec make test" in (ROOT / ".ci" / "run").read_text()


def test_every_test_is_in_one_lane() -> None:
    named: list[str] = []
    folders: list[str] = []
    stack = [name for lane in lanes.deployed() for name in lane.tests if Path(name).name in lanes.STACK]
    assert len(stack) == len(lanes.STACK)
    named += stack
    for lane in [*lanes.with_containers(), *lanes.without_containers()]:
        named += [name for name in lane.tests if name.endswith(".py") and not name.startswith("--")]
        folders += [name for name in lane.tests if (ROOT / name).is_dir()]
    assert len(named) == len(set(named))
    assert (folders.count("tests/integration"), folders.count("tests/unit")) == (2, 2), "with and without a marker"
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        name = str(path.relative_to(ROOT))
        assert name in named or any(name.startswith(f"{folder}/") for folder in folders), f"no lane runs {name}"


def test_every_page_is_opened_in_a_browser() -> None:
    web_app = web.Application()
    routes.add(web_app, _nothing)
    paths = {route.resource.canonical for route in web_app.router.routes() if route.resource and route.method == "GET"}
    tests = "".join(path.read_text() for path in sorted((ROOT / "tests" / "browser").glob("*.py")))
    for path in sorted(paths - NO_PAGES - {operation.path for operation in operations(_nothing)}):
        words = [part for part in VARIABLE.split(path) if part.strip("/")] or ['open("/"']
        assert words[-1] in tests, f"{path}: no test in tests/browser opens it"


async def _nothing(_: web.Request) -> web.Response:
    return web.Response()

"""Check runs: https://docs.github.com/en/rest/checks/runs. :mod:`check_rules` validates bodies."""

from __future__ import annotations

from aiohttp import web

from tests.double import check_rules, events, git, views
from tests.double.errors import ApiError, not_found
from tests.double.repos import require_commit
from tests.double.rest import BODY, HOOKSHOT, page, require_repository, state_of
from tests.double.state import CheckRun, Json, Repository


async def create(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/checks/runs#create-a-check-run."""
    state, repository = state_of(request), require_repository(request, "checks", "write")
    body = check_rules.check_body(request.get(BODY), None)
    if await git.resolve(repository.directory, _full_sha(body["head_sha"])) is None:
        raise check_rules.no_commit(body["head_sha"])
    run = CheckRun(
        id=next(state.ids),
        suite_id=state.check_suite(repository, body["head_sha"]),
        repository_id=repository.id,
        name=body["name"],
        head_sha=body["head_sha"],
        started_at=state.now(),
    )
    check_rules.apply(run, body, state.now())
    state.check_runs[run.id] = run
    _announce(request, repository, run, ["created", "completed"] if run.conclusion else ["created"])
    return web.json_response(views.check_run(state, run), status=201)


def _full_sha(text: str) -> str:
    """A complete sha, or one that never resolves: names of branches are not accepted here."""
    return text if len(text) == len(git.NO_COMMIT) and text.isalnum() else git.NO_COMMIT


async def update(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/checks/runs#update-a-check-run."""
    state, repository = state_of(request), require_repository(request, "checks", "write")
    run = _find(request, repository)
    if run.app_id is not None:
        reason = f"Invalid app_id `{run.app_id}` - check run can only be modified by the GitHub App that created it."
        raise ApiError(403, reason)
    body = check_rules.check_body(request.get(BODY), run)
    was_open = run.conclusion is None
    check_rules.apply(run, body, state.now())
    _announce(request, repository, run, ["completed"] if was_open and run.conclusion else [])
    return web.json_response(views.check_run(state, run))


def _announce(request: web.Request, repository: Repository, run: CheckRun, actions: list[str]) -> None:
    """Deliver the events caused by the App's own check runs."""
    state = state_of(request)
    installed = state.installation_of(repository)
    if installed is not None:
        request.app[HOOKSHOT].deliver_later([events.check_run(state, action, installed, run) for action in actions])


def _find(request: web.Request, repository: Repository) -> CheckRun:
    """The check run of the path."""
    run = state_of(request).check_runs.get(int(request.match_info["check_run_id"]))
    if run is None or run.repository_id != repository.id:
        raise not_found()
    return run


async def get(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/checks/runs#get-a-check-run."""
    run = _find(request, require_repository(request, "checks"))
    return web.json_response(views.check_run(state_of(request), run))


async def list_annotations(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/checks/runs#list-check-run-annotations."""
    state, repository = state_of(request), require_repository(request, "checks")
    run = _find(request, repository)
    blob = f"{state.server_url}/{repository.full_name}/blob/{run.head_sha}"
    shown, headers = page(request, [_annotation(blob, annotation) for annotation in run.annotations])
    return web.json_response(shown, headers=headers)


def _annotation(blob: str, annotation: Json) -> Json:
    """An annotation with all optional fields."""
    optional = dict.fromkeys(("start_column", "end_column", "title", "raw_details"))
    names = (*optional, "path", "start_line", "end_line", "annotation_level", "message")
    given = {name: value for name, value in annotation.items() if name in names}
    return {**optional, **given, "blob_href": f"{blob}/{annotation['path']}"}


async def list_for_ref(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/checks/runs#list-check-runs-for-a-git-reference: newest first."""
    state, repository = state_of(request), require_repository(request, "checks")
    sha = await require_commit(repository, request.match_info["ref"])
    runs = [run for run in state.check_runs.values() if (run.repository_id, run.head_sha) == (repository.id, sha)]
    if request.query.get("filter", "latest") == "latest":
        runs = list({run.name: run for run in runs}.values())
    matching = [run for run in reversed(runs) if _matches(request, run, state.app.id)]
    shown, headers = page(request, matching)
    answer = {"total_count": len(matching), "check_runs": [views.check_run(state, run) for run in shown]}
    return web.json_response(answer, headers=headers)


def _matches(request: web.Request, run: CheckRun, app_id: int) -> bool:
    """True if a run matches the query's filters."""
    query = request.query
    return (
        query.get("check_name", run.name) == run.name
        and query.get("status", run.status) == run.status
        and query.get("app_id", str(run.app_id or app_id)) == str(run.app_id or app_id)
    )

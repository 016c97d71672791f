"""Lists of commits and comparisons, of real git histories: https://docs.github.com/en/rest/commits/commits."""

from __future__ import annotations

import asyncio

from aiohttp import web

from tests.double import git, views
from tests.double.errors import ApiError, not_found
from tests.double.repos import reject_empty
from tests.double.rest import links, page_of, require_repository, state_of
from tests.double.state import Json, Repository, State

MAX_COMMITS = 250
MAX_FILES = 300


async def list_commits(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/commits/commits#list-commits: of a branch or commit, by default the default branch."""
    state, repository = state_of(request), require_repository(request, "contents")
    await reject_empty(repository)
    start = await git.resolve(repository.directory, request.query.get("sha") or repository.default_branch)
    if start is None:
        raise not_found()
    size, number = page_of(request)
    listed = await git.log(repository.directory, start, limit=size, skip=(number - 1) * size)
    headers = links(request, await git.count(repository.directory, start))
    return web.json_response([views.commit(state, repository, commit) for commit in listed], headers=headers)


async def compare(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/commits/commits#compare-two-commits.

    Names of branches cannot contain two dots. Commits come oldest first, the newest 250 of them without paging; files with page 1.
    """
    state, repository = state_of(request), require_repository(request, "contents")
    names = request.match_info["basehead"].split("...")
    shas = [await git.resolve(repository.directory, name) for name in names]
    if len(names) != 2 or None in shas:
        raise not_found()
    base, head = (sha or "" for sha in shas)
    merge_base = await git.merge_base(repository.directory, base, head)
    if merge_base is None:
        raise ApiError(404, f"No common ancestor between {names[0]} and {names[1]}.")
    ahead, behind = await asyncio.gather(
        git.count(repository.directory, f"{base}..{head}"), git.count(repository.directory, f"{head}..{base}")
    )
    commits = (await git.log(repository.directory, f"{base}..{head}", limit=max(ahead, 1)))[::-1]
    size, number = page_of(request)
    paged = bool(request.query.keys() & {"page", "per_page"})
    shown = commits[(number - 1) * size : number * size] if paged else commits[-MAX_COMMITS:]
    files = await _files(state, repository, merge_base, head) if number == 1 else []
    sides = {name: await git.read_commit(repository.directory, sha) for name, sha in (("base", base), ("merge_base", merge_base))}
    permalink = f"{state.server_url}/{repository.full_name}/compare/{repository.owner}:{base[:7]}...{repository.owner}:{head[:7]}"
    html_url = f"{state.server_url}/{repository.full_name}/compare/{request.match_info['basehead']}"
    answer = {
        "url": f"{state.api_url}/repos/{repository.full_name}/compare/{request.match_info['basehead']}",
        "html_url": html_url,
        "permalink_url": permalink,
        "diff_url": f"{html_url}.diff",
        "patch_url": f"{html_url}.patch",
        **{f"{name}_commit": views.commit(state, repository, commit) for name, commit in sides.items()},
        "status": _status(ahead, behind),
        "ahead_by": ahead,
        "behind_by": behind,
        "total_commits": ahead,
        "commits": [views.commit(state, repository, commit) for commit in shown],
        "files": files,
    }
    return web.json_response(answer, headers=links(request, ahead) if paged else {})


def _status(ahead: int, behind: int) -> str:
    """GitHub's word for where the head stands."""
    if ahead and behind:
        return "diverged"
    return "ahead" if ahead else "behind" if behind else "identical"


async def _files(state: State, repository: Repository, merge_base: str, head: str) -> list[Json]:
    """The changed files, without patches."""
    output = await git.run(repository.directory, "diff", "--numstat", "-z", "--no-renames", merge_base, head, "--")
    statuses = (await git.run(repository.directory, "diff", "--raw", "-z", "--no-abbrev", "--no-renames", merge_base, head, "--")).decode()
    raw = statuses.split("\0")
    details = {path: line.split() for line, path in zip(raw[0:-1:2], raw[1::2], strict=True)}
    found = []
    for line in output.decode().split("\0")[:MAX_FILES]:
        if not line:
            continue
        added, removed, path = line.split("\t")
        _, _, _, blob, status = details[path]
        additions, deletions = int(added.replace("-", "0")), int(removed.replace("-", "0"))
        urls = {kind: f"{state.server_url}/{repository.full_name}/{kind}/{head}/{path}" for kind in ("blob", "raw")}
        found.append(
            {
                "sha": blob,
                "filename": path,
                "status": {"A": "added", "D": "removed"}.get(status, "modified"),
                "additions": additions,
                "deletions": deletions,
                "changes": additions + deletions,
                "blob_url": urls["blob"],
                "raw_url": urls["raw"],
                "contents_url": f"{state.api_url}/repos/{repository.full_name}/contents/{path}?ref={head}",
            }
        )
    return found

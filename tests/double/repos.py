"""Repositories, branches, commits, references and trees: https://docs.github.com/en/rest/repos, …/git.

Each path under ``/repos/{owner}/{name}`` is also served under ``/repositories/{id}``, where GitHub's redirects lead.
"""

from __future__ import annotations

from aiohttp import web

from tests.double import git, views
from tests.double.errors import ApiError, not_found
from tests.double.rest import require_repository, state_of, token_of
from tests.double.state import Json, Repository, node_id

SHA_MEDIA_TYPE = "application/vnd.github.sha"


async def get_repository(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/repos/repos#get-a-repository."""
    repository, token = require_repository(request, "metadata"), token_of(request)
    role = views.role_of(token, repository)
    return web.json_response(views.full_repository(state_of(request), repository, role))


async def get_branch(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/branches/branches#get-a-branch; an empty repository has no branches."""
    state, repository = state_of(request), require_repository(request, "contents")
    branch = request.match_info["branch"]
    sha = await git.resolve(repository.directory, f"refs/heads/{branch}")
    if sha is None:
        raise ApiError(404, "Branch not found")
    url = f"{state.api_url}/repos/{repository.full_name}/branches/{branch}"
    answer = {
        "name": branch,
        "commit": views.commit(state, repository, await git.read_commit(repository.directory, sha)),
        "_links": {"self": url, "html": f"{state.server_url}/{repository.full_name}/tree/{branch}"},
        "protected": False,
        "protection": {
            "enabled": False,
            "required_status_checks": {"enforcement_level": "off", "contexts": [], "checks": []},
        },
        "protection_url": f"{url}/protection",
    }
    return web.json_response(answer)


async def get_commit(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/commits/commits#get-a-commit."""
    state, repository = state_of(request), require_repository(request, "contents")
    sha = await require_commit(repository, request.match_info["ref"])
    if SHA_MEDIA_TYPE in request.headers.get("Accept", ""):
        return web.Response(text=sha, content_type=SHA_MEDIA_TYPE)
    return web.json_response(views.commit(state, repository, await git.read_commit(repository.directory, sha)))


async def require_commit(repository: Repository, ref: str) -> str:
    """The commit of a branch, tag or sha; 409 in an empty repository, 422 if there is none."""
    sha = await git.resolve(repository.directory, ref)
    if sha is None:
        await reject_empty(repository)
        raise ApiError(422, f"No commit found for SHA: {ref}")
    return sha


async def reject_empty(repository: Repository) -> None:
    """Respond as GitHub does for an empty repository."""
    if await git.is_empty(repository.directory):
        raise ApiError(409, "Git Repository is empty.")


async def get_reference(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/git/refs#get-a-reference."""
    state, repository = state_of(request), require_repository(request, "contents")
    ref = f"refs/{request.match_info['ref']}"
    sha = await git.resolve(repository.directory, ref)
    if sha is None:
        await reject_empty(repository)
        raise not_found()
    url = f"{state.api_url}/repos/{repository.full_name}/git"
    answer = {
        "ref": ref,
        "node_id": node_id("REF", repository.id),
        "url": f"{url}/{ref}",
        "object": {"sha": sha, "type": "commit", "url": f"{url}/commits/{sha}"},
    }
    return web.json_response(answer)


async def get_tree(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/git/trees#get-a-tree: any value of ``recursive`` makes it so, even 0."""
    state, repository = state_of(request), require_repository(request, "contents")
    await reject_empty(repository)
    sha = await git.resolve(repository.directory, request.match_info["sha"], kind="tree")
    if sha is None:
        raise not_found()
    entries = await git.tree(repository.directory, sha, recursive="recursive" in request.query)
    url = f"{state.api_url}/repos/{repository.full_name}/git"
    answer = {
        "sha": sha,
        "url": f"{url}/trees/{sha}",
        "tree": [_tree_entry(url, entry) for entry in entries[: state.tree_limit]],
        "truncated": len(entries) > state.tree_limit,
    }
    return web.json_response(answer)


def _tree_entry(url: str, entry: git.TreeEntry) -> Json:
    """One entry of a tree; links to other repositories (``commit``) have no URL."""
    answer: Json = {"path": entry.path, "mode": entry.mode, "type": entry.type, "sha": entry.sha}
    if entry.size_bytes is not None:
        answer["size"] = entry.size_bytes
    if entry.type != "commit":
        answer["url"] = f"{url}/{entry.type}s/{entry.sha}"
    return answer

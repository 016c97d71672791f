"""GitHub's JSON for pull requests and merge groups, as in webhook payloads: https://docs.github.com/en/rest/pulls/pulls."""

from __future__ import annotations

from tests.double import git, views
from tests.double.state import Account, Json, PullRequest, Repository, State, node_id, timestamp

_LINKS = {
    "comments": "/issues/{n}/comments",
    "commits": "/pulls/{n}/commits",
    "issue": "/issues/{n}",
    "review_comment": "/pulls/comments{{/number}}",
    "review_comments": "/pulls/{n}/comments",
    "self": "/pulls/{n}",
    "statuses": "/statuses/{sha}",
}


def pull_request(state: State, pull: PullRequest, base_sha: str) -> Json:
    """A pull request."""
    url, html_url = (f"{host}/{pull.repository.full_name}" for host in (f"{state.api_url}/repos", state.server_url))
    links = {name: url + suffix.format(n=pull.number, sha=pull.head_sha) for name, suffix in _LINKS.items()}
    html = f"{html_url}/pull/{pull.number}"
    closed_at = None if pull.open else timestamp(pull.updated_at)
    author = views.account(state, _author(state, pull))
    return {
        "url": links["self"],
        "id": pull.id,
        "node_id": node_id("PR", pull.id),
        "html_url": html,
        "diff_url": f"{html}.diff",
        "patch_url": f"{html}.patch",
        **{f"{name}_url": link for name, link in links.items() if name != "self"},
        "number": pull.number,
        "state": "open" if pull.open else "closed",
        "locked": False,
        "title": pull.title,
        "user": author,
        "body": None,
        "labels": [],
        "milestone": None,
        "active_lock_reason": None,
        "created_at": timestamp(pull.created_at),
        "updated_at": timestamp(pull.updated_at),
        "closed_at": closed_at,
        "merged_at": closed_at if pull.merged_sha else None,
        "merged": pull.merged_sha is not None,
        "merged_by": author if pull.merged_sha else None,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "head": _end(state, pull.head_repository, pull.branch, pull.head_sha),
        "base": _end(state, pull.repository, pull.base_branch, base_sha),
        "_links": {**{name: {"href": link} for name, link in links.items()}, "html": {"href": html}},
        "author_association": "NONE" if pull.head_repository.fork else "MEMBER",
        "auto_merge": None,
        "draft": pull.draft,
        "mergeable": None,
        "rebaseable": None,
        "mergeable_state": "unknown",
        "maintainer_can_modify": False,
        **dict.fromkeys(("comments", "review_comments", "additions", "deletions"), 0),
        "commits": 1,
        "changed_files": 1,
    }


def merge_group(pull: PullRequest, branch: str, commit: git.Commit, base_sha: str) -> Json:
    """A merge group: https://docs.github.com/en/webhooks/webhook-events-and-payloads#merge_group."""
    return {
        "head_sha": commit.sha,
        "head_ref": f"refs/heads/{branch}",
        "base_sha": base_sha,
        "base_ref": f"refs/heads/{pull.base_branch}",
        "head_commit": {
            "id": commit.sha,
            "tree_id": commit.tree,
            "message": commit.message,
            "timestamp": commit.committer.at.isoformat(),
            "author": {"name": commit.author.name, "email": commit.author.email},
            "committer": {"name": commit.committer.name, "email": commit.committer.email},
        },
    }


def _end(state: State, repository: Repository, branch: str, sha: str) -> Json:
    return {
        "label": f"{repository.owner}:{branch}",
        "ref": branch,
        "sha": sha,
        "user": views.account(state, state.account(repository.owner)),
        "repo": views.repository(state, repository),
    }


def _author(state: State, pull: PullRequest) -> Account:
    return state.account(pull.head_repository.owner if pull.head_repository.fork else "mona", "User")

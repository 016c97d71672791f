"""GitHub's JSON for the double's state, shared by REST responses and webhook payloads.

Checked in the tests against https://github.com/github/rest-api-description through githubkit's models.
"""

from __future__ import annotations

from hashlib import sha256

from tests.double import git
from tests.double.links import REPOSITORY_LINKS, USER_LINKS
from tests.double.state import (
    Account,
    CheckRun,
    Installation,
    Json,
    Repository,
    Role,
    State,
    Token,
    node_id,
    timestamp,
)

_COUNTS = ("forks", "forks_count", "stargazers_count", "watchers", "watchers_count", "open_issues", "open_issues_count")
_ROLES: dict[Role, int] = {"pull": 1, "push": 3, "admin": 5}


def account(state: State, who: Account) -> Json:
    """A user or organization as GitHub's "simple user"."""
    url = f"{state.api_url}/users/{who.login}"
    return {
        "login": who.login,
        "id": who.id,
        "node_id": node_id("O" if who.type == "Organization" else "U", who.id),
        "avatar_url": f"{state.server_url}/avatars/u/{who.id}",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{state.server_url}/{who.login}",
        **{name: url + suffix for name, suffix in USER_LINKS.items()},
        "type": who.type,
        "user_view_type": "public",
        "site_admin": False,
    }


def public_user(state: State, who: Account) -> Json:
    """A user: https://docs.github.com/en/rest/users/users#get-the-authenticated-user."""
    unknown = dict.fromkeys(("name", "company", "blog", "location", "email", "hireable", "bio"))
    counts = dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0)
    since = timestamp(state.app.created_at)
    return {**account(state, who), **unknown, **counts, "created_at": since, "updated_at": since}


def organization(state: State, who: Account) -> Json:
    """An organization as in webhook payloads."""
    url = f"{state.api_url}/orgs/{who.login}"
    return {
        "login": who.login,
        "id": who.id,
        "node_id": node_id("O", who.id),
        "url": url,
        "repos_url": f"{url}/repos",
        "events_url": f"{url}/events",
        "hooks_url": f"{url}/hooks",
        "issues_url": f"{url}/issues",
        "members_url": url + "/members{/member}",
        "public_members_url": url + "/public_members{/member}",
        "avatar_url": f"{state.server_url}/avatars/u/{who.id}",
        "description": None,
    }


def integration(state: State) -> Json:
    """The App: https://docs.github.com/en/rest/apps/apps#get-the-authenticated-app."""
    app = state.app
    return {
        "id": app.id,
        "client_id": app.client_id,
        "slug": app.slug,
        "node_id": node_id("A", app.id),
        "owner": account(state, state.account(state.app_owner)),
        "name": app.name,
        "description": None,
        "external_url": f"{state.server_url}/{state.app_owner}",
        "html_url": f"{state.server_url}/apps/{app.slug}",
        "created_at": timestamp(app.created_at),
        "updated_at": timestamp(app.created_at),
        "permissions": dict(app.permissions),
        "events": list(app.events),
    }


def installation(state: State, installed: Installation) -> Json:
    """An installation: https://docs.github.com/en/rest/apps/apps#get-an-installation-for-the-authenticated-app."""
    who = installed.account
    kind = f"organizations/{who.login}/" if who.type == "Organization" else ""
    return {
        "id": installed.id,
        "client_id": state.app.client_id,
        "account": account(state, who),
        "repository_selection": selection(installed),
        "access_tokens_url": f"{state.api_url}/app/installations/{installed.id}/access_tokens",
        "repositories_url": f"{state.api_url}/installation/repositories",
        "html_url": f"{state.server_url}/{kind}settings/installations/{installed.id}",
        "app_id": state.app.id,
        "app_slug": state.app.slug,
        "target_id": who.id,
        "target_type": who.type,
        "permissions": dict(installed.permissions),
        "events": list(state.app.events),
        "created_at": timestamp(installed.created_at),
        "updated_at": timestamp(installed.created_at),
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": None if installed.suspended_at is None else account(state, who),
        "suspended_at": timestamp(installed.suspended_at),
    }


def selection(installed: Installation) -> str:
    """GitHub's `repository_selection`."""
    return "all" if installed.repository_ids is None else "selected"


def access_token(state: State, token: Token) -> Json:
    """A new token: https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app."""
    answer: Json = {
        "token": token.value,
        "expires_at": timestamp(token.expires_at),
        "permissions": dict(token.permissions),
    }
    if token.repository_ids is None:
        chosen = state.installations[token.installation_id or 0].repository_ids
        return {**answer, "repository_selection": "all" if chosen is None else "selected"}
    repositories = [repository(state, state.repositories[id_]) for id_ in sorted(token.repository_ids)]
    return {**answer, "repository_selection": "selected", "repositories": repositories}


def repository(state: State, repo: Repository, role: Role | None = None) -> Json:
    """A repository as in lists and webhook payloads; ``role`` is that of the calling user."""
    url = f"{state.api_url}/repos/{repo.full_name}"
    html_url = f"{state.server_url}/{repo.full_name}"
    host = state.server_url.partition("://")[2]
    return {
        "id": repo.id,
        "node_id": node_id("R", repo.id),
        "name": repo.name,
        "full_name": repo.full_name,
        "private": repo.private,
        "owner": account(state, state.account(repo.owner)),
        "html_url": html_url,
        "description": None,
        "fork": repo.fork,
        "url": url,
        **{name: url + suffix for name, suffix in REPOSITORY_LINKS.items()},
        "git_url": f"git://{host}/{repo.full_name}.git",
        "ssh_url": f"git@{host}:{repo.full_name}.git",
        "clone_url": f"{html_url}.git",
        "svn_url": html_url,
        "homepage": None,
        "mirror_url": None,
        "language": None,
        "license": None,
        "size": 1,
        **dict.fromkeys(_COUNTS, 0),
        "has_issues": True,
        "has_projects": True,
        "has_wiki": True,
        "has_pages": False,
        "has_discussions": False,
        "allow_forking": True,
        "is_template": False,
        "web_commit_signoff_required": False,
        "topics": [],
        "archived": repo.archived,
        "disabled": False,
        "visibility": "private" if repo.private else "public",
        "default_branch": repo.default_branch,
        "created_at": timestamp(repo.created_at),
        "updated_at": timestamp(repo.pushed_at or repo.created_at),
        "pushed_at": timestamp(repo.pushed_at or repo.created_at),
        "permissions": permissions(role),
    }


def permissions(role: Role | None) -> dict[str, bool]:
    """A user's permissions; all false for an installation."""
    rank = _ROLES[role] if role else 0
    return {name: rank >= needed for needed, name in enumerate(("pull", "triage", "push", "maintain", "admin"), start=1)}


def role_of(token: Token | None, repo: Repository) -> Role | None:
    """The role of a token's user, whatever the token allows; everyone may pull public repositories."""
    if token is None or token.user is None:
        return None
    return token.roles.get(repo.id) or (None if repo.private else "pull")


def authorization(state: State, token: Token) -> Json:
    """A token of an App's user: https://docs.github.com/en/rest/apps/oauth-applications#check-a-token."""
    app = state.app
    return {
        "id": 1,
        "url": f"{state.api_url}/authorizations/1",
        "app": {"name": app.name, "url": f"{state.server_url}/apps/{app.slug}", "client_id": app.client_id},
        "token": token.value,
        "hashed_token": sha256(token.value.encode()).hexdigest(),
        "token_last_eight": token.value[-8:],
        "note": None,
        "note_url": None,
        "created_at": timestamp(app.created_at),
        "updated_at": timestamp(app.created_at),
        "scopes": [],
        "fingerprint": None,
        "expires_at": timestamp(token.expires_at),
        "user": account(state, state.account(token.user or "", "User")),
    }


def full_repository(state: State, repo: Repository, role: Role | None) -> Json:
    """One repository: https://docs.github.com/en/rest/repos/repos#get-a-repository."""
    return {**repository(state, repo, role), "network_count": 0, "subscribers_count": 0}


def short_repository(repo: Repository) -> Json:
    """A repository as the installation events list it."""
    return {
        "id": repo.id,
        "node_id": node_id("R", repo.id),
        "name": repo.name,
        "full_name": repo.full_name,
        "private": repo.private,
    }


def commit(state: State, repo: Repository, found: git.Commit) -> Json:
    """A commit: https://docs.github.com/en/rest/commits/commits#get-a-commit."""
    url = f"{state.api_url}/repos/{repo.full_name}"
    html_url = f"{state.server_url}/{repo.full_name}"
    return {
        "sha": found.sha,
        "node_id": node_id("C", int(found.sha[:12], 16)),
        "url": f"{url}/commits/{found.sha}",
        "html_url": f"{html_url}/commit/{found.sha}",
        "comments_url": f"{url}/commits/{found.sha}/comments",
        "commit": {
            "url": f"{url}/git/commits/{found.sha}",
            "author": _signature(found.author),
            "committer": _signature(found.committer),
            "message": found.message,
            "comment_count": 0,
            "tree": {"sha": found.tree, "url": f"{url}/git/trees/{found.tree}"},
            "verification": {
                "verified": False,
                "reason": "unsigned",
                "signature": None,
                "payload": None,
                "verified_at": None,
            },
        },
        "author": None,
        "committer": None,
        "parents": [{"sha": sha, "url": f"{url}/commits/{sha}", "html_url": f"{html_url}/commit/{sha}"} for sha in found.parents],
    }


def _signature(who: git.Signature) -> Json:
    """An author or committer."""
    return {"name": who.name, "email": who.email, "date": timestamp(who.at)}


def check_run(state: State, run: CheckRun) -> Json:
    """A check run: https://docs.github.com/en/rest/checks/runs#get-a-check-run."""
    repo = state.repositories[run.repository_id]
    url = f"{state.api_url}/repos/{repo.full_name}/check-runs/{run.id}"
    html_url = f"{state.server_url}/{repo.full_name}/runs/{run.id}"
    return {
        "id": run.id,
        "node_id": node_id("CR", run.id),
        "name": run.name,
        "head_sha": run.head_sha,
        "external_id": run.external_id or "",
        "url": url,
        "html_url": html_url,
        "details_url": run.details_url or integration(state)["external_url"],
        "status": run.status,
        "conclusion": run.conclusion,
        "started_at": timestamp(run.started_at),
        "completed_at": timestamp(run.completed_at),
        "output": {
            "title": run.title,
            "summary": run.summary,
            "text": run.text,
            "annotations_count": len(run.annotations),
            "annotations_url": f"{url}/annotations",
        },
        "check_suite": {"id": run.suite_id},
        "app": integration(state) | ({} if run.app_id is None else {"id": run.app_id, "slug": f"app-{run.app_id}"}),
        "pull_requests": [],
    }

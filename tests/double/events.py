"""Payloads of the App's webhooks.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.double import git, views
from tests.double.state import Account, App, CheckRun, Installation, Json, PullRequest, Repository, State, node_id, timestamp

# Every App receives these, without a subscription; check events come with the permission checks:write.
_UNASKED = ("ping", "installation", "installation_repositories", "github_app_authorization", "check_run", "check_suite")


@dataclass(frozen=True)
class Event:
    """An event to deliver; GitHub shows the ids in its list of deliveries."""

    name: str
    payload: Json
    installation_id: int | None = None
    repository_id: int | None = None

    def reaches(self, app: App) -> bool:
        """True if the App receives events with this name."""
        return self.name in _UNASKED or self.name in app.events


@dataclass(frozen=True)
class Push:
    """A branch that moved; ``commits`` holds the new ones with their changes, oldest first."""

    ref: str
    before: str
    after: str
    commits: tuple[tuple[git.Commit, dict[str, list[str]]], ...] = ()
    head: tuple[git.Commit, dict[str, list[str]]] | None = None
    base_ref: str | None = None
    forced: bool = False


def sender(state: State) -> Account:
    """The user who performs all actions on this GitHub."""
    return state.account("mona", "User")


def ping(state: State) -> Event:
    """The event that GitHub sends to a new webhook."""
    app = state.app
    hook = {
        "type": "App",
        "id": app.hook_id,
        "name": "web",
        "active": True,
        "events": list(app.events),
        "config": {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": app.webhook_url},
        "created_at": timestamp(app.created_at),
        "updated_at": timestamp(app.created_at),
        "app_id": app.id,
        "deliveries_url": f"{state.api_url}/app/hook/deliveries",
    }
    return Event("ping", {"zen": "Design for failure.", "hook_id": app.hook_id, "hook": hook})


def authorization_revoked(state: State, login: str) -> Event:
    """A person revoked the App's authorization."""
    return Event("github_app_authorization", {"action": "revoked", "sender": views.account(state, state.account(login, "User"))})


def installation(state: State, action: str, installed: Installation, repositories: Iterable[Repository]) -> Event:
    """The App was installed (``created``), removed (``deleted``), suspended or unsuspended."""
    payload = {
        "action": action,
        "installation": views.installation(state, installed),
        "repositories": [views.short_repository(repository) for repository in repositories],
        **_sender_fields(state, installed),
    }
    if action == "created":
        payload["requester"] = None
    return Event("installation", payload, installed.id)


def installation_repositories(state: State, action: str, installed: Installation, repositories: Iterable[Repository]) -> Event:
    """Repositories were ``added`` to an installation, or ``removed`` from it."""
    listed = [views.short_repository(repository) for repository in repositories]
    payload = {
        "action": action,
        "installation": views.installation(state, installed),
        "repository_selection": views.selection(installed),
        "repositories_added": listed if action == "added" else [],
        "repositories_removed": listed if action == "removed" else [],
        "requester": None,
        **_sender_fields(state, installed),
    }
    return Event("installation_repositories", payload, installed.id)


def repository(state: State, action: str, installed: Installation, repo: Repository, changes: Json) -> Event:
    """A repository was ``created``, ``deleted``, ``renamed`` or ``edited``; ``changes`` has the old values."""
    payload = {"action": action, **({"changes": changes} if changes else {}), **_repository_fields(state, installed, repo)}
    return Event("repository", payload, installed.id, repo.id)


def push(state: State, installed: Installation, repo: Repository, moved: Push) -> Event:
    """A branch moved: https://docs.github.com/en/webhooks/webhook-events-and-payloads#push."""
    html_url = f"{state.server_url}/{repo.full_name}"
    who = sender(state)
    payload = {
        "ref": moved.ref,
        "before": moved.before,
        "after": moved.after,
        **_repository_fields(state, installed, repo),
        "repository": _push_repository(state, repo),
        "pusher": {"name": who.login, "email": _email(who.login)},
        "created": moved.before == git.NO_COMMIT,
        "deleted": moved.after == git.NO_COMMIT,
        "forced": moved.forced,
        "base_ref": moved.base_ref,
        "compare": f"{html_url}/compare/{moved.before[:12]}...{moved.after[:12]}",
        "commits": [_commit(html_url, *commit) for commit in moved.commits],
        "head_commit": None if moved.head is None else _commit(html_url, *moved.head),
    }
    return Event("push", payload, installed.id, repo.id)


def pull_request(state: State, action: str, installed: Installation, pull: PullRequest, view: Json, more: Json) -> Event:
    """A pull request changed; ``more`` is what only this action has."""
    fields = _repository_fields(state, installed, pull.repository)
    return Event(
        "pull_request", {"action": action, "number": pull.number, "pull_request": view, **more, **fields}, installed.id, pull.repository.id
    )


def merge_group(state: State, action: str, installed: Installation, repo: Repository, group: Json) -> Event:
    """A merge queue requests checks, or a group has come to its end."""
    reason = {"reason": "merged"} if action == "destroyed" else {}
    return Event(
        "merge_group",
        {"action": action, **reason, "merge_group": group, **_repository_fields(state, installed, repo)},
        installed.id,
        repo.id,
    )


def check_suite_requested(state: State, installed: Installation, repo: Repository, moved: Push) -> Event:
    """The request for checks that accompanies each push."""
    head = moved.head[0] if moved.head else None
    suite = state.check_suite(repo, moved.after)
    url = f"{state.api_url}/repos/{repo.full_name}/check-suites/{suite}"
    now = timestamp(state.now())
    check_suite = {
        "id": suite,
        "node_id": node_id("CS", suite),
        "head_branch": moved.ref.removeprefix("refs/heads/"),
        "head_sha": moved.after,
        "status": "queued",
        "conclusion": None,
        "url": url,
        "before": moved.before,
        "after": moved.after,
        "pull_requests": [],
        "app": views.integration(state),
        "created_at": now,
        "updated_at": now,
        "rerequestable": True,
        "runs_rerequestable": True,
        "latest_check_runs_count": 0,
        "check_runs_url": f"{url}/check-runs",
        "head_commit": None if head is None else _head_commit(head),
    }
    payload = {"action": "requested", "check_suite": check_suite, **_repository_fields(state, installed, repo)}
    return Event("check_suite", payload, installed.id, repo.id)


def check_run(state: State, action: str, installed: Installation, run: CheckRun) -> Event:
    """A check run was ``created``, ``completed`` or ``rerequested``."""
    repo = state.repositories[run.repository_id]
    suite = {
        "id": run.suite_id,
        "node_id": node_id("CS", run.suite_id),
        "head_branch": repo.default_branch,
        "head_sha": run.head_sha,
        "status": run.status,
        "conclusion": run.conclusion,
        "url": f"{state.api_url}/repos/{repo.full_name}/check-suites/{run.suite_id}",
        "before": None,
        "after": run.head_sha,
        "pull_requests": [],
        "app": views.integration(state),
        "created_at": timestamp(run.started_at),
        "updated_at": timestamp(run.started_at),
    }
    payload = {
        "action": action,
        "check_run": {**views.check_run(state, run), "check_suite": suite},
        **_repository_fields(state, installed, repo),
    }
    return Event("check_run", payload, installed.id, repo.id)


def _sender_fields(state: State, installed: Installation) -> Json:
    """The sender, and the organization if there is one."""
    payload: Json = {"sender": views.account(state, sender(state))}
    if installed.account.type == "Organization":
        payload["organization"] = views.organization(state, installed.account)
    return payload


def _repository_fields(state: State, installed: Installation, repo: Repository) -> Json:
    """Shared by all events about a repository."""
    return {
        "repository": views.repository(state, repo),
        "installation": {"id": installed.id, "node_id": node_id("IN", installed.id)},
        **_sender_fields(state, installed),
    }


def _push_repository(state: State, repo: Repository) -> Json:
    """A repository as in ``push`` only: some times in Unix seconds, and three more fields."""
    shown = views.repository(state, repo)
    of_organization = {"organization": repo.owner} if shown["owner"]["type"] == "Organization" else {}
    return {
        **shown,
        **of_organization,
        "owner": {**shown["owner"], "name": repo.owner, "email": None},
        "created_at": int(repo.created_at.timestamp()),
        "pushed_at": int((repo.pushed_at or repo.created_at).timestamp()),
        "stargazers": 0,
        "master_branch": repo.default_branch,
    }


def _commit(html_url: str, commit: git.Commit, changes: dict[str, list[str]]) -> Json:
    """A commit as in ``push``."""
    return {**_head_commit(commit), "distinct": True, "url": f"{html_url}/commit/{commit.sha}", **changes}


def _head_commit(commit: git.Commit) -> Json:
    """Shared by commits in all events."""
    return {
        "id": commit.sha,
        "tree_id": commit.tree,
        "message": commit.message,
        "timestamp": commit.committer.at.isoformat(),
        "author": {"name": commit.author.name, "email": commit.author.email},
        "committer": {"name": commit.committer.name, "email": commit.committer.email},
    }


def _email(login: str) -> str:
    """GitHub's noreply address of a user."""
    return f"{login}@users.noreply.github.com"

"""Forks, pull requests and merge queues: the actions of contributors.

Each pull request has a reference `refs/pull/N/head` in the repository of its base, also if its head is in a fork:
https://docs.github.com/en/pull-requests/collaborating-with-pull-requests/reviewing-changes-in-pull-requests/checking-out-pull-requests-locally
"""

from __future__ import annotations

from tests.double import events, git, pull_views
from tests.double.pushes import Pushes
from tests.double.state import Json, PullRequest, Repository


class Pulls(Pushes):
    """Creates forks and pull requests. Their events reach the App if it has the permission and subscribes to them."""

    def offer_pull_requests(self, *, merge_queues: bool = False) -> None:
        """Give the App the permission that it needs for pull requests (and for ``merge_group``), in installations to come."""
        more = ({"pull_requests": "read"}, ("pull_request",)), ({"merge_queues": "read"}, ("merge_group",))
        for permissions, subscriptions in more[: 1 + merge_queues]:
            self.app.permissions |= permissions
            self.app.events += subscriptions

    async def fork_repository(self, repository: Repository, owner: str) -> Repository:
        """Fork a repository into another account, with all branches."""
        fork = await self.create_repository(f"{owner}/{repository.name}", {}, private=repository.private)
        fork.default_branch, fork.fork = repository.default_branch, True
        await git.run(fork.directory, "fetch", "--quiet", str(repository.directory), "+refs/heads/*:refs/heads/*")
        return fork

    async def open_pull_request(
        self, repository: Repository, branch: str, *, fork: Repository | None = None, base: str | None = None, draft: bool = False
    ) -> PullRequest:
        """Open a pull request of a branch (of a fork), by default against the default branch."""
        state, now = self.state, self.state.now()
        number = 1 + max((pull.number for pull in state.pull_requests if pull.repository is repository), default=0)
        pull = PullRequest(next(state.ids), number, repository, fork or repository, branch, base or repository.default_branch, "", now, now)
        pull.draft = draft
        await self._fetch_head(pull)
        state.pull_requests.append(pull)
        await self._deliver_pull_request("opened", pull)
        return pull

    async def close_pull_request(self, pull: PullRequest) -> None:
        """Close a pull request without merging it."""
        pull.open = False
        await self._deliver_pull_request("closed", pull)

    async def reopen_pull_request(self, pull: PullRequest) -> None:
        """Open a closed pull request again."""
        pull.open = True
        await self._deliver_pull_request("reopened", pull)

    async def change_base(self, pull: PullRequest, branch: str) -> None:
        """Compare a pull request with another branch."""
        former, pull.base_branch = pull.base_branch, branch
        sha = await git.resolve(pull.repository.directory, f"refs/heads/{former}")
        await self._deliver_pull_request("edited", pull, {"changes": {"base": {"ref": {"from": former}, "sha": {"from": sha}}}})

    async def retitle(self, pull: PullRequest, title: str) -> None:
        """Change the title of a pull request."""
        former, pull.title = pull.title, title
        await self._deliver_pull_request("edited", pull, {"changes": {"title": {"from": former}}})

    async def mark_ready(self, pull: PullRequest) -> None:
        """Mark a draft as ready for review."""
        pull.draft = False
        await self._deliver_pull_request("ready_for_review", pull)

    async def queue_merge(self, pull: PullRequest) -> str:
        """Put a pull request into the merge queue of its base branch: a branch of the merge is pushed; the merge commit's sha."""
        directory, base = pull.repository.directory, f"refs/heads/{pull.base_branch}"
        base_sha = (await git.run(directory, "rev-parse", base)).decode().strip()
        tree = (await git.run(directory, "merge-tree", "--write-tree", base_sha, pull.head_sha)).decode().strip()
        who = ("-c", "user.name=GitHub", "-c", "user.email=noreply@github.com")
        parents = ("-p", base_sha, "-p", pull.head_sha)
        sha = (await git.run(directory, *who, "commit-tree", tree, *parents, "-m", f"Merge #{pull.number}")).decode().strip()
        branch = queue_branch(pull, base_sha)
        await self.create_branch(pull.repository, branch, sha)
        await self._deliver_merge_group("checks_requested", pull, branch, sha, base_sha)
        return sha

    async def merge_queued(self, pull: PullRequest, sha: str) -> None:
        """Merge a queued pull request: its base branch moves to the merge commit, and the branch of the queue is deleted."""
        repository = pull.repository
        base_sha = (await git.run(repository.directory, "rev-parse", f"refs/heads/{pull.base_branch}")).decode().strip()
        await git.run(repository.directory, "update-ref", f"refs/heads/{pull.base_branch}", sha, base_sha)
        await self._announce(repository, events.Push(f"refs/heads/{pull.base_branch}", base_sha, sha), deliver=True)
        branch = queue_branch(pull, base_sha)
        await self._deliver_merge_group("destroyed", pull, branch, sha, base_sha)
        await self.delete_branch(repository, branch)
        pull.open, pull.merged_sha = False, sha
        await self._deliver_pull_request("closed", pull)

    async def _announce(self, repository: Repository, moved: events.Push, *, deliver: bool) -> None:
        """Record a push, deliver its events, and move the heads of pull requests."""
        await super()._announce(repository, moved, deliver=deliver)
        branch = moved.ref.removeprefix("refs/heads/")
        for pull in self.state.pull_requests:
            if pull.open and pull.head_repository is repository and pull.branch == branch and moved.after != git.NO_COMMIT:
                await self._fetch_head(pull)
                if deliver:
                    await self._deliver_pull_request("synchronize", pull, {"before": moved.before, "after": moved.after})

    async def _fetch_head(self, pull: PullRequest) -> None:
        """Move `refs/pull/N/head` to the head of the branch, whose commits may be of a fork."""
        refspec = f"+refs/heads/{pull.branch}:refs/pull/{pull.number}/head"
        await git.run(pull.repository.directory, "fetch", "--quiet", str(pull.head_repository.directory), refspec)
        head = await git.run(pull.repository.directory, "rev-parse", f"refs/pull/{pull.number}/head")
        pull.head_sha = head.decode().strip()

    async def _deliver_pull_request(self, action: str, pull: PullRequest, more: Json | None = None) -> None:
        """Deliver ``pull_request`` to an installation that accepted the permission."""
        pull.updated_at = self.state.now()
        installed = self.state.installation_of(pull.repository)
        if installed is None or installed.suspended_at is not None or "pull_requests" not in installed.permissions:
            return
        base_sha = await git.resolve(pull.repository.directory, f"refs/heads/{pull.base_branch}") or git.NO_COMMIT
        view = pull_views.pull_request(self.state, pull, base_sha)
        if action == "synchronize":
            view["assignee"] = None  # GitHub's schema has it here alone
        await self._hookshot.deliver(events.pull_request(self.state, action, installed, pull, view, more or {}))

    async def _deliver_merge_group(self, action: str, pull: PullRequest, branch: str, sha: str, base_sha: str) -> None:
        """Deliver ``merge_group`` to an installation that accepted the permission."""
        installed = self.state.installation_of(pull.repository)
        if installed is None or "merge_queues" not in installed.permissions:
            return
        commit = await git.read_commit(pull.repository.directory, sha)
        group = pull_views.merge_group(pull, branch, commit, base_sha)
        await self._hookshot.deliver(events.merge_group(self.state, action, installed, pull.repository, group))


def queue_branch(pull: PullRequest, base_sha: str) -> str:
    """The branch that GitHub makes for a queued pull request."""
    return f"gh-readonly-queue/{pull.base_branch}/pr-{pull.number}-{base_sha}"

"""Repositories and pushes: the actions of developers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tests.double import events, git, views
from tests.double.lifecycle import RunningServer
from tests.double.state import Repository

MAX_COMMITS_PER_PUSH = 2048


class Pushes(RunningServer):
    """Creates, changes and deletes repositories, and delivers events where the App is installed."""

    async def create_repository(
        self,
        full_name: str,
        files: Mapping[str, git.Content],
        *,
        private: bool = True,
        default_branch: str = "main",
    ) -> Repository:
        """Create a repository with one commit, or an empty one without files.

        Where the App is installed on all repositories of the owner it hears of the new one, as on GitHub.
        """
        repository_id = next(self.state.ids)
        directory = self.state.root / f"{repository_id}.git"
        git.create(directory, default_branch)
        repository = Repository(repository_id, full_name, private, default_branch, directory, self.state.now())
        self.state.account(repository.owner)
        self.state.repositories[repository.id] = repository
        await self._deliver_repository("created", repository)
        if files:
            await self.push(repository, files, branch=default_branch, message="Initial commit")
        return repository

    async def push(
        self,
        repository: Repository,
        files: Mapping[str, git.Content | None],
        *,
        branch: str | None = None,
        message: str = "Change files",
        force: bool = False,
        parents: Sequence[str] | None = None,
        deliver: bool = True,
    ) -> str:
        """Commit changes of files (None deletes one), push, and deliver ``push`` and ``check_suite``; the commit's sha.

        Without a branch it is the default one; a new branch starts at the head of the default one. ``force`` amends
        the last commit instead of adding one; ``deliver=False`` loses the webhooks. ``parents`` are those of the commit, wherever
        the branch is: none for an orphan, two for a merge; the files are those of the first one and the changes.
        """
        directory, branch = repository.directory, branch or repository.default_branch
        before = await git.resolve(directory, f"refs/heads/{branch}")
        start = before
        if start is None and branch != repository.default_branch:
            start = await git.resolve(directory, f"refs/heads/{repository.default_branch}")
        parent = start
        if force and start is not None:
            parent = next(iter((await git.read_commit(directory, start)).parents), None)
        if parents is not None:
            parent = next(iter(parents), None)
        author = git.Signature("Mona Lisa", "mona@example.com", self.state.now())
        tree_of = start if force and parents is None else None
        merged = [*(parents or ())][1:]
        after = await git.commit(directory, branch, files, message=message, author=author, parent=parent, merged=merged, tree_of=tree_of)
        await self._announce(repository, events.Push(f"refs/heads/{branch}", before or git.NO_COMMIT, after), deliver=deliver)
        return after

    async def push_directory(
        self,
        repository: Repository,
        directory: Path,
        *,
        branch: str | None = None,
        message: str = "Copy files",
        deliver: bool = True,
    ) -> str:
        """Make the branch equal to the files of a directory; the commit's sha."""
        files: dict[str, git.Content | None] = dict(git.read_directory(directory))
        tip = await git.resolve(repository.directory, f"refs/heads/{branch or repository.default_branch}")
        if tip is not None:
            present = await git.tree(repository.directory, tip, recursive=True)
            gone = {entry.path for entry in present if entry.type != "tree"} - files.keys()
            files = {**dict.fromkeys(gone), **files}
        return await self.push(repository, files, branch=branch, message=message, deliver=deliver)

    async def create_branch(self, repository: Repository, branch: str, sha: str, *, deliver: bool = True) -> None:
        """Push a new branch at an existing commit."""
        await git.run(repository.directory, "update-ref", f"refs/heads/{branch}", sha, git.NO_COMMIT)
        base = f"refs/heads/{repository.default_branch}"
        await self._announce(repository, events.Push(f"refs/heads/{branch}", git.NO_COMMIT, sha, base_ref=base), deliver=deliver)

    async def delete_branch(self, repository: Repository, branch: str, *, deliver: bool = True) -> None:
        """Delete a branch."""
        before = await git.resolve(repository.directory, f"refs/heads/{branch}") or git.NO_COMMIT
        await git.run(repository.directory, "update-ref", "-d", f"refs/heads/{branch}")
        await self._announce(repository, events.Push(f"refs/heads/{branch}", before, git.NO_COMMIT), deliver=deliver)

    async def rename_repository(self, repository: Repository, name: str) -> None:
        """Rename a repository within its account; requests with the old name are redirected."""
        former = repository.name
        self.state.former_names[repository.full_name] = repository.id
        repository.full_name = f"{repository.owner}/{name}"
        await self._deliver_repository("renamed", repository, {"repository": {"name": {"from": former}}})

    async def transfer_repository(self, repository: Repository, owner: str) -> None:
        """Transfer a repository to another account. The App receives the event only if it is installed there."""
        former, before = self.state.account(repository.owner), self.state.installation_of(repository)
        self.state.former_names[repository.full_name] = repository.id
        self.state.account(owner)
        if before is not None and before.repository_ids is not None:
            before.repository_ids.discard(repository.id)
        repository.full_name = f"{owner}/{repository.name}"
        of = {"organization": views.organization} if former.type == "Organization" else {"user": views.account}
        changes = {"owner": {"from": {kind: view(self.state, former) for kind, view in of.items()}}}
        await self._deliver_repository("transferred", repository, changes)
        if before is not None:
            await self._hookshot.deliver(events.installation_repositories(self.state, "removed", before, [repository]))

    async def set_default_branch(self, repository: Repository, branch: str) -> None:
        """Change the default branch."""
        former, repository.default_branch = repository.default_branch, branch
        await git.run(repository.directory, "symbolic-ref", "HEAD", f"refs/heads/{branch}")
        await self._deliver_repository("edited", repository, {"default_branch": {"from": former}})

    async def set_visibility(self, repository: Repository, *, private: bool) -> None:
        """Make a repository private or public."""
        repository.private = private
        await self._deliver_repository("privatized" if private else "publicized", repository)

    async def delete_repository(self, repository: Repository) -> None:
        """Delete a repository and all references to it."""
        installed = self.state.installation_of(repository)
        del self.state.repositories[repository.id]
        if installed is not None:
            if installed.repository_ids is not None:
                installed.repository_ids.discard(repository.id)
            await self._hookshot.deliver(
                events.repository(self.state, "deleted", installed, repository, {}),
                events.installation_repositories(self.state, "removed", installed, [repository]),
            )

    async def _announce(self, repository: Repository, moved: events.Push, *, deliver: bool) -> None:
        """Record a push and deliver its events."""
        repository.pushed_at = self.state.now()
        installed = self.state.installation_of(repository)
        if installed is None or installed.suspended_at is not None or not deliver:
            return
        described = await describe_push(repository, moved)
        deliveries = [events.push(self.state, installed, repository, described)]
        if moved.after != git.NO_COMMIT:
            deliveries.append(events.check_suite_requested(self.state, installed, repository, described))
        await self._hookshot.deliver(*deliveries)

    async def _deliver_repository(self, action: str, repository: Repository, changes: Mapping[str, object] | None = None) -> None:
        """Deliver ``repository``, and for a new one that it was added to the installation."""
        installed = self.state.installation_of(repository)
        if installed is None or installed.suspended_at is not None:
            return
        deliveries = [events.repository(self.state, action, installed, repository, dict(changes or {}))]
        if action == "created":
            deliveries.append(events.installation_repositories(self.state, "added", installed, [repository]))
        await self._hookshot.deliver(*deliveries)


async def describe_push(repository: Repository, moved: events.Push) -> events.Push:
    """A push with its commits; a branch created at an existing commit has none, a deleted one has no head."""
    if moved.after == git.NO_COMMIT:
        return moved
    directory, created = repository.directory, moved.before == git.NO_COMMIT
    head = (await git.read_commit(directory, moved.after), await git.changes(directory, moved.after))
    if moved.base_ref is not None:
        return replace(moved, head=head)
    known = [f"^{moved.before}"] if not created else ["--not", f"--exclude={moved.ref}", "--all"]
    new = await git.log(directory, moved.after, *known, limit=MAX_COMMITS_PER_PUSH)
    commits = [head if commit == head[0] else (commit, await git.changes(directory, commit.sha)) for commit in reversed(new)]
    forced = not created and moved.before not in head[0].parents and not await git.is_ancestor(directory, moved.before, moved.after)
    return replace(moved, head=head, commits=tuple(commits), forced=forced)

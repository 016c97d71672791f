"""What `test_queue_rules.py` puts in the place of GitHub and of worker processes: a list of pushes, and names with claims."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from app.jobs import Extraction, Repository
from app.ports import BranchHead, RepositoryState

INSTALLATION = 3
ONE_PROJECT, TWO_PROJECTS = 7, 8
FOLLOWED, OTHER = "main", "feature/ünï"


def known(repository_id: int) -> Repository:
    return Repository(repository_id, f"octo/shop{repository_id}", INSTALLATION, FOLLOWED)


def sha(number: int) -> str:
    return f"{number + 1:040x}"


@dataclass(frozen=True)
class Push:
    repository_id: int
    branch: str
    before: str
    sha: str
    number: int
    """Rises with every push to GitHub, whenever we hear of it."""

    @property
    def delivery(self) -> str:
        return f"delivery-{self.number}"

    @property
    def payload(self) -> bytes:
        repository = {"id": self.repository_id, "full_name": known(self.repository_id).full_name, "default_branch": FOLLOWED}
        repository["pushed_at"] = 1_700_000_000 + self.number
        body = {"ref": f"refs/heads/{self.branch}", "before": self.before, "after": self.sha, "repository": repository}
        return json.dumps({**body, "installation": {"id": INSTALLATION}}).encode()


@dataclass(frozen=True)
class Claim:
    """What a worker believes to have; `expired` once its lease has run out, which it need not know."""

    worker: str
    extraction: Extraction
    expired: bool = False


class GitHub:
    """The truth, and what the reconciler (`ports.Survey`) asks of it."""

    def __init__(self) -> None:
        self.pushes: list[Push] = []

    def push(self, repository_id: int, branch: str, commit: str) -> Push | None:
        """Move a branch; None when it is there already, of which GitHub does not tell."""
        before = self.head(repository_id, branch)
        if before == commit:
            return None
        self.pushes.append(Push(repository_id, branch, before or "0" * 40, commit, len(self.pushes)))
        return self.pushes[-1]

    def head(self, repository_id: int, branch: str = FOLLOWED) -> str | None:
        return next(reversed(self.ranks(repository_id, branch)), None)

    def ranks(self, repository_id: int, branch: str = FOLLOWED) -> dict[str, int]:
        """Return the number of each commit's last push, the oldest first."""
        pushes = [push for push in self.pushes if (push.repository_id, push.branch) == (repository_id, branch)]
        last = {push.sha: push.number for push in pushes}
        return dict(sorted(last.items(), key=lambda item: item[1]))

    async def repositories(self, _installation_id: int) -> list[RepositoryState]:
        return [RepositoryState(known(id_), archived=False, pushed_at=None) for id_ in (ONE_PROJECT, TWO_PROJECTS)]

    async def branch_head(self, repository: Repository, branch: str, etag: str | None) -> BranchHead | None:
        """An unchanged answer has an unchanged ETag: None."""
        head = self.head(repository.id, branch)
        return None if etag == f"of {head}" else BranchHead(head, f"of {head}")


class Api:
    """The same GitHub as `ports.GitHub` asks it."""

    def __init__(self, github: GitHub) -> None:
        self.github = github

    async def describe(self, repository: Repository) -> Repository:
        return replace(repository, default_branch=FOLLOWED)

    async def branch_head(self, repository: Repository, branch: str) -> Any:
        return self.github.head(repository.id, branch)

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


def sha(number: int) -> str:
    return f"{number + 1:040x}"


@dataclass(frozen=True)
class Push:
    repository_id: int
    branch: str
    sha: str
    number: int

    @property
    def payload(self) -> bytes:
        full_name = f"octo/shop{self.repository_id}"
        repository = {
            "id": self.repository_id,
            "full_name": full_name,
            "default_branch": FOLLOWED,
            "pushed_at": 1_700_000_000 + self.number,
        }
        body = {"ref": f"refs/heads/{self.branch}", "before": "0" * 40, "after": self.sha, "repository": repository}
        return json.dumps({**body, "installation": {"id": INSTALLATION}}).encode()


@dataclass(frozen=True)
class Claim:
    """What a worker believes to have; `expired` once its lease has run out, which it need not know."""

    worker: str
    extraction: Extraction
    expired: bool = False


class GitHub:
    """GitHub as the reconciler and the API ask it; `told` is what it answered since the last look at it."""

    def __init__(self) -> None:
        self.heads: dict[int, str] = {}
        self.told: dict[int, str] = {}

    async def describe(self, repository: Repository) -> Repository:
        return replace(repository, default_branch=FOLLOWED)

    async def branch_head(self, repository: Repository, _branch: str, etag: str | None = None) -> BranchHead | None:
        head = self.heads.get(repository.id)
        if etag is not None and etag == f"of {head}":
            return None
        if head:
            self.told[repository.id] = head
        return BranchHead(head, f"of {head}")

    async def repositories(self, _installation_id: int) -> list[RepositoryState]:
        return [
            RepositoryState(Repository(id_, f"octo/shop{id_}", INSTALLATION, FOLLOWED), archived=False, pushed_at=None) for id_ in (7, 8)
        ]


class Api(GitHub):
    """The same question as `ports.GitHub` asks it."""

    def __init__(self, github: GitHub) -> None:
        self.github = github

    async def branch_head(self, repository: Repository, branch: str, etag: str | None = None) -> Any:
        found = await self.github.branch_head(repository, branch, etag)
        return found.sha if found else None

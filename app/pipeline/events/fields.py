"""What payloads of several events share. What a field can never contain is refused with its name: ids beyond 64 bits, NUL, long names."""

from __future__ import annotations

from typing import Annotated

import msgspec

from app.core.models.github import Repository

MAX_NAME = 512
"""Characters of a branch or account; GitHub's own limits are lower."""

Sha = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?\Z")]
Id = Annotated[int, msgspec.Meta(gt=0, le=2**63 - 1)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*\Z", max_length=MAX_NAME)]
FullName = Annotated[str, msgspec.Meta(pattern=r"^(?!\.{1,2}/)[\w.-]{1,100}/(?!\.{1,2}\Z)[\w.-]{1,100}\Z")]


class ActionField(msgspec.Struct):
    """What happened: most events have it."""

    action: str = ""


class IdField(msgspec.Struct):
    """Something of which only the id is read."""

    id: Id


class RepositoryFields(msgspec.Struct):
    """A repository."""

    id: Id
    full_name: FullName
    private: bool = True
    default_branch: Name | None = None

    def in_installation(self, installation_id: int) -> Repository:
        """The repository as one of an installation."""
        return Repository(self.id, self.full_name, installation_id, self.default_branch, self.private)


class OfRepository(msgspec.Struct, kw_only=True):
    """About a repository; without `installation` it was not sent to the App."""

    repository: RepositoryFields
    installation: IdField | None = None

    def installed(self) -> Repository | None:
        """The repository; None if the event was not sent to the App."""
        return self.repository.in_installation(self.installation.id) if self.installation else None


def branch_of(ref: str) -> str | None:
    """The branch of a git ref; None for tags and anything else.

    >>> branch_of("refs/heads/feature/ünï")
    'feature/ünï'
    >>> branch_of("refs/tags/v1") is None
    True
    """
    prefix = "refs/heads/"
    return ref[len(prefix) :] if ref.startswith(prefix) and len(ref) > len(prefix) else None

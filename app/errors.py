"""The one tree of errors: what was being done, why it stopped, what to do next, and whether trying again may help.

Every error that can end an extraction or a request derives from `FreshetError`. `str(error)` is for logs, `user_text` for people.
Facts (paths, exit codes, limits) are attributes, never parsed out of a message again.
"""

from __future__ import annotations

import errno
from typing import ClassVar

from app.remarks import Placeholder, Remark
from app.usage import Usage


class FreshetError(Exception):
    """Something stopped.

    `doing` says what was being done ("fetching octo/shop at 1a2b3c4"), `reason` why it stopped, `next_step` what the reader can do.
    """

    retryable: ClassVar[bool] = False
    title: ClassVar[str] = "Something went wrong in Freshet"
    remarks: tuple[Remark, ...] = ()
    """What is to be said besides, place by place."""
    log: str = ""
    """dbt's whole (bounded) log, where dbt ran: as it is, with whatever secrets it holds."""
    usage: Usage | None = None
    """What the container cost, where there was one."""

    def __init__(self, doing: str, reason: str, next_step: str = "") -> None:
        super().__init__(f"{doing}: {reason}")
        self.doing = doing
        self.reason = reason
        self.next_step = next_step

    @property
    def user_text(self) -> str:
        """Full sentences for a check run or a page."""
        text = f"While {self.doing}: {self.reason.rstrip('.')}."
        return f"{text} {self.next_step}" if self.next_step else text


class ConfigurationError(FreshetError):
    """A setting is missing, unknown or unusable; the message names the variable."""

    title = "The configuration cannot be used"


class NotConfiguredError(FreshetError):
    """The GitHub App's credentials are not set, so nothing can be asked of GitHub."""

    title = "No GitHub App is configured"


class AlreadyConfiguredError(FreshetError):
    """There is a GitHub App already: a page on the web does not replace it. `status` is HTTP's."""

    title = "A GitHub App is configured already"
    status: ClassVar[int] = 409


class ProjectError(FreshetError):
    """What stands in the repository cannot be extracted: the owner of the project has to act."""

    title = "The dbt project could not be read"


class NoProjectError(ProjectError):
    """The commit holds no `dbt_project.yml` where one is looked for."""

    title = "No dbt project found"


class TreeTooBigError(ProjectError):
    """What dbt would read goes over a bound on files or bytes."""

    title = "The project is too big"


class PackagesError(ProjectError):
    """Packages of the project cannot be had; `remarks` say of each which, where it is asked for, why not and what to do."""

    title = "Packages could not be installed"


class BranchLeftOutError(ProjectError):
    """`.github/freshet.yml` does not have this branch extracted."""

    title = "This branch is left out"


class DbtError(ProjectError):
    """dbt itself said no. `output` is dbt's own message."""

    title = "dbt could not parse the project"

    def __init__(self, doing: str, output: str, log: str = "") -> None:
        super().__init__(doing, "dbt stopped with the message below", "Mend it and push again: every push is extracted.")
        self.output = output
        self.log = log
        self.placeholders: tuple[Placeholder, ...] = ()
        """What had been invented until then."""
        self.place: tuple[str, int | None] | None = None
        """File of the repository and line that dbt's message names, once somebody who knows the files has looked."""


class ManifestError(FreshetError):
    """dbt ended well, but what it left is not a manifest that we can read: our fault, or the image's."""

    title = "dbt's manifest cannot be read"


class ContainerOutOfMemoryError(ProjectError):
    """The engine killed a container that went over its memory limit."""

    title = "dbt ran out of memory"


class ContainerTimedOutError(ProjectError):
    """A container was stopped because its time was over."""

    title = "dbt took too long"


class OutputTooBigError(ProjectError):
    """A container wrote more than we take."""

    title = "dbt's output is too big"


class RejectedAddressError(ProjectError):
    """An address that a project names and that we do not go to: another scheme, a private network, a host that nobody allowed."""

    title = "An address is not allowed"


class SuspendedError(FreshetError):
    """The installation is suspended: GitHub refuses its tokens until it is not."""

    title = "The installation is suspended"


class GoneError(FreshetError):
    """GitHub does not (or no longer) let the App see the thing: uninstalled, removed or deleted."""

    title = "GitHub no longer shows this repository to the App"


class CommitGoneError(GoneError):
    """The commit is not in the repository any more, as after a forced push."""

    title = "The commit is gone"


class UnavailableError(FreshetError):
    """Something that we depend on is away or overloaded; it may be back. `retry_after_s` when it said so."""

    retryable = True
    title = "A service that Freshet needs is away"

    def __init__(self, doing: str, reason: str, next_step: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(doing, reason, next_step)
        self.retry_after_s = retry_after_s


class DiskFullError(UnavailableError):
    """A disk of this host takes no more."""

    title = "A disk is full"


class GitHubUnavailableError(UnavailableError):
    """GitHub answered with a server error, a rate limit, or not at all."""

    title = "GitHub is away"


class EngineUnavailableError(UnavailableError):
    """The Docker engine does not answer, or refused for reasons of its own."""

    title = "The Docker engine is away"


class EngineFullError(EngineUnavailableError):
    """The disk of the Docker engine takes no more."""

    title = "The disk of the Docker engine is full"


class DatabaseUnavailableError(UnavailableError):
    """PostgreSQL does not answer."""

    title = "The database is away"


class RunnerImageError(UnavailableError):
    """The runner image is missing or was not built from `Dockerfile.dbt`."""

    title = "The runner image cannot be used"


class NoImageError(FreshetError):
    """No runner image holds the dbt version that the project asks for: the operator builds one. Its `next_step` is the command."""

    title = "No runner image fits"


class UnknownTokenError(FreshetError):
    """GitHub does not know a caller's token, or not any more. `status` is HTTP's."""

    title = "This token is not known"
    status: ClassVar[int] = 401


class RejectedError(FreshetError):
    """GitHub refused a request of ours as wrong (4xx): a mistake of ours, trying again does not help. `status` is HTTP's."""

    title = "GitHub refused a request"

    def __init__(self, doing: str, reason: str, *, status: int) -> None:
        super().__init__(doing, reason)
        self.status = status


class UndeliverableError(FreshetError):
    """A message was refused for good. `gone`: whoever is there wants no more messages at all."""

    title = "A message cannot be delivered"

    def __init__(self, doing: str, reason: str, next_step: str = "", *, gone: bool = False) -> None:
        super().__init__(doing, reason, next_step)
        self.gone = gone


def is_full(error: BaseException) -> bool:
    """Tell whether it is an OSError that says that a disk, or what its owner may have of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)

"""The one tree of errors: what was being done, why it stopped, what to do next, and whether a retry may help.

Every error that can end an extraction or a request derives from `FreshetError`. `str(error)` is for logs, `user_text` for people.
Facts (paths, exit codes, limits) are attributes, never parsed out of a message again.
"""

from __future__ import annotations

import errno
from typing import ClassVar, Self

from app.core.models.annotations import Annotation
from app.core.models.extractions import ContainerFacts


class FreshetError(Exception):
    """Base of all errors with a text for users.

    `doing` is what was being done ("fetching octo/shop at 1a2b3c4"), `reason` why it stopped, `next_step` what the reader can do.
    """

    retryable: ClassVar[bool] = False
    title: ClassVar[str] = "Something went wrong in Freshet"

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


class JobError(FreshetError):
    """A job in a container ended without a result; `facts` is what the container left, None if none ran."""

    def __init__(self, doing: str, reason: str, next_step: str = "", *, facts: ContainerFacts | None = None) -> None:
        super().__init__(doing, reason, next_step)
        self.facts = facts

    def carry(self, facts: ContainerFacts) -> Self:
        """Add what the container left; returns the error itself."""
        self.facts = facts
        return self


class ConfigurationError(FreshetError):
    """A setting is missing, unknown or invalid; the message names the variable."""

    title = "The configuration is invalid"


class NotConfiguredError(FreshetError):
    """There is no GitHub App yet, so GitHub cannot be asked."""

    title = "No GitHub App is configured"


class AlreadyConfiguredError(FreshetError):
    """There is a GitHub App, and a web page must not replace it. `status` is HTTP's."""

    title = "A GitHub App is already configured"
    status: ClassVar[int] = 409


class ProjectError(FreshetError):
    """The content of the repository cannot be extracted: the owner of the project has to act."""

    title = "The dbt project could not be read"


class NoProjectError(ProjectError):
    """The commit has no `dbt_project.yml` in the expected directory."""

    title = "No dbt project found"


class TreeTooBigError(ProjectError):
    """What dbt would read exceeds a limit on files or bytes."""

    title = "The project is too large"


class PackagesError(ProjectError):
    """Packages cannot be installed; `annotations` has one annotation per problem, at the line that requests the package."""

    title = "Packages could not be installed"

    def __init__(self, doing: str, reason: str, next_step: str = "", *, annotations: tuple[Annotation, ...] = ()) -> None:
        super().__init__(doing, reason, next_step)
        self.annotations = annotations


class BranchLeftOutError(ProjectError):
    """`.github/freshet.yml` excludes this branch."""

    title = "This branch is left out"


class ContainerError(JobError, ProjectError):
    """A container ended without a result because of the project."""


class DbtError(ContainerError):
    """dbt reported an error; `output` is its message.

    `place` (file of the repository, line), `annotations` and `explained` (title and next step) are set once the message is compared
    with the files of the commit.
    """

    title = "dbt could not parse the project"

    def __init__(
        self,
        doing: str,
        output: str,
        *,
        facts: ContainerFacts | None = None,
        place: tuple[str, int | None] | None = None,
        annotations: tuple[Annotation, ...] = (),
        explained: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(doing, "dbt reported an error", "Fix the error that dbt reports.", facts=facts)
        self.output, self.place, self.annotations, self.explained = output, place, annotations, explained


class ManifestError(FreshetError):
    """dbt succeeded, but its manifest is not one that we can read: a fault of Freshet or of the image."""

    title = "dbt's manifest could not be read"


class ColumnsError(FreshetError):
    """There is no column lineage of a commit, for a reason that concerns nothing else of it.

    `temporary`: the cause is not the project or the image, so another run may have a result.
    """

    title = "The columns could not be read"

    def __init__(self, doing: str, reason: str, next_step: str = "", *, temporary: bool = False) -> None:
        super().__init__(doing, reason, next_step)
        self.temporary = temporary


class ContainerOutOfMemoryError(ContainerError):
    """The engine killed a container that exceeded its memory limit."""

    title = "dbt ran out of memory"


class ContainerTimedOutError(ContainerError):
    """A container was stopped at its time limit."""

    title = "dbt took too long"


class OutputTooBigError(ContainerError):
    """A container wrote more than we accept."""

    title = "dbt's output is too large"


class RejectedAddressError(ProjectError):
    """An untrusted address that we do not connect to: another scheme, a private network, a host that is not allowed."""

    title = "An address is not allowed"


class SuspendedError(FreshetError):
    """The installation is suspended: until it is resumed, GitHub refuses its tokens."""

    title = "The installation is suspended"


class GoneError(FreshetError):
    """Something does not exist, or is not visible to the App: uninstalled, removed or deleted."""

    title = "The App cannot access this repository"


class CommitGoneError(GoneError):
    """The commit is no longer in the repository, for example after a force push."""

    title = "The commit no longer exists"


class UnavailableError(JobError):
    """Something that we need is unavailable or overloaded, so a retry may help. `retry_after_s`: the wait that it asked for."""

    retryable = True
    title = "A service that Freshet needs is unavailable"

    def __init__(
        self, doing: str, reason: str, next_step: str = "", *, retry_after_s: float | None = None, facts: ContainerFacts | None = None
    ) -> None:
        super().__init__(doing, reason, next_step, facts=facts)
        self.retry_after_s = retry_after_s


class DiskFullError(UnavailableError):
    """A disk of this host is full."""

    title = "A disk is full"


class GitHubUnavailableError(UnavailableError):
    """GitHub answered with a server error, a rate limit, or not at all."""

    title = "GitHub is unavailable"


class NotYetError(GitHubUnavailableError):
    """GitHub will take this request once `retry_after_s` has passed: it is not known to GitHub's servers yet, or would exceed a limit.

    `only_new`: only requests that create something have to wait.
    """

    def __init__(self, doing: str, reason: str, *, retry_after_s: float, only_new: bool = False) -> None:
        super().__init__(doing, reason, "Freshet retries automatically.", retry_after_s=retry_after_s)
        self.only_new = only_new


class EngineUnavailableError(UnavailableError):
    """The Docker engine does not answer, or failed for its own reasons."""

    title = "The Docker engine is unavailable"


class EngineFullError(EngineUnavailableError):
    """The disk of the Docker engine is full."""

    title = "The disk of the Docker engine is full"


class ClusterUnavailableError(EngineUnavailableError):
    """The Kubernetes cluster does not answer, or could not run a pod for its own reasons."""

    title = "The Kubernetes cluster is unavailable"


class ClusterFullError(ClusterUnavailableError):
    """A quota of the namespace is used up, or no node has room for another pod."""

    title = "The Kubernetes cluster has no room"


class DatabaseUnavailableError(UnavailableError):
    """PostgreSQL does not answer."""

    title = "The database is unavailable"


class DatabaseBusyError(DatabaseUnavailableError):
    """PostgreSQL answers, but another transaction was in the way."""


class RunnerImageError(UnavailableError):
    """A runner image is missing or was not built from `Dockerfile.dbt`."""

    title = "The runner image cannot be used"


class NoImageError(FreshetError):
    """No runner image has the dbt version that the project requires. `next_step` is the command that builds one."""

    title = "No runner image has the required dbt version"


class UnsupportedVersionError(ProjectError):
    """The project requires a dbt version for which no runner image can be built."""

    title = "Freshet does not support the required dbt version"


class UnknownTokenError(FreshetError):
    """GitHub does not accept a caller's token, or no longer. `status` is HTTP's."""

    title = "Unknown token"
    status: ClassVar[int] = 401


class DeniedSignInError(FreshetError):
    """GitHub does not give or renew a person's tokens. `reason` is GitHub's own word, such as `bad_verification_code`."""

    title = "GitHub refused the sign-in"


class RejectedError(FreshetError):
    """GitHub refused a request of ours as invalid (4xx), so a retry does not help. `status` is HTTP's."""

    title = "GitHub refused a request"

    def __init__(self, doing: str, reason: str, *, status: int) -> None:
        super().__init__(doing, reason)
        self.status = status


class UndeliverableError(FreshetError):
    """A message was refused permanently. `gone`: the receiver wants no more messages at all."""

    title = "A message cannot be delivered"

    def __init__(self, doing: str, reason: str, next_step: str = "", *, gone: bool = False) -> None:
        super().__init__(doing, reason, next_step)
        self.gone = gone


def is_full(error: BaseException) -> bool:
    """True for an OSError that reports a full disk or an exceeded disk quota."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)

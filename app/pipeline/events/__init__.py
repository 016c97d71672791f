"""GitHub's webhook payloads as small typed events: only the events that we handle, only the fields that we use. Pure.

fields           what payloads share, and what their fields can contain
pushes           pushes and merge groups
pull_requests    pull requests
checks           requests to run checks again
installations    installations and their repositories, and what people authorized

What GitHub's schema does not require may be missing. What a field can never contain is refused with its name, before it reaches the
database.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from app.core.errors import FreshetError
from app.pipeline.events.checks import Rerequested, UnknownActionRequested, read_check_run, read_check_suite
from app.pipeline.events.installations import (
    AuthorizationRevoked,
    Installation,
    InstallationChanged,
    Installed,
    RepositoriesChanged,
    RepositoryChanged,
    Uninstalled,
    read_authorization,
    read_installation,
    read_repositories,
    read_repository,
)
from app.pipeline.events.pull_requests import PullRequestChanged, read_pull_request
from app.pipeline.events.pushes import ZERO_SHA, MergeGroupChanged, Push, read_merge_group, read_push

__all__ = [
    "ZERO_SHA",
    "AuthorizationRevoked",
    "Event",
    "Installation",
    "InstallationChanged",
    "Installed",
    "MergeGroupChanged",
    "Ping",
    "PullRequestChanged",
    "Push",
    "RepositoriesChanged",
    "RepositoryChanged",
    "Rerequested",
    "Uninstalled",
    "UnknownActionRequested",
    "UnreadableEventError",
    "parse",
]


class UnreadableEventError(FreshetError):
    """A signed payload that does not match GitHub's documentation; the message names the field."""

    status = 400
    title = "Invalid payload"


class Ping(msgspec.Struct, frozen=True):
    """GitHub tests the webhook."""

    zen: str = ""


Event = (
    Ping
    | Push
    | PullRequestChanged
    | MergeGroupChanged
    | Installed
    | Uninstalled
    | InstallationChanged
    | RepositoriesChanged
    | RepositoryChanged
    | Rerequested
    | UnknownActionRequested
    | AuthorizationRevoked
)


def parse(name: str, payload: bytes | bytearray) -> Event | None:
    """The event of a payload; None if we do not handle it, or if it is not about an installation of the App. Raises UnreadableEventError.

    `name` is the `X-GitHub-Event` header.
    """
    read = _READERS.get(name)
    try:
        if read:
            return read(payload)
        msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableEventError(f"reading a {name} event", str(error)) from error
    return None


_READERS: dict[str, Callable[[bytes | bytearray], Event | None]] = {
    "ping": lambda payload: msgspec.json.decode(payload, type=Ping),
    "push": read_push,
    "pull_request": read_pull_request,
    "merge_group": read_merge_group,
    "installation": read_installation,
    "installation_repositories": read_repositories,
    "repository": read_repository,
    "check_run": read_check_run,
    "check_suite": read_check_suite,
    "github_app_authorization": read_authorization,
}

"""Requests of people to run checks again. Other check events report what we did ourselves, so they are not validated.

https://docs.github.com/en/webhooks/webhook-events-and-payloads#check_run
https://docs.github.com/en/webhooks/webhook-events-and-payloads#check_suite
"""

from __future__ import annotations

import re

import msgspec

from app.core.models.github import EXTRACT_AGAIN, Repository
from app.pipeline.events.fields import ActionField, Name, OfRepository, Sha

_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Rerequested(msgspec.Struct, frozen=True):
    """Somebody clicked "Re-run" or our button on GitHub, for one check run (`external_id`) or for all of the commit's (None)."""

    repository: Repository
    sha: str
    branch: str | None
    """None: the commit is of another repository, such as a fork, or GitHub does not say."""
    external_id: str | None


class UnknownActionRequested(msgspec.Struct, frozen=True):
    """Somebody clicked a button that is not ours: nothing starts by accident."""

    repository: Repository
    sha: str
    identifier: str | None


class _SuiteOfRun(msgspec.Struct):
    head_branch: Name | None = None


class _CheckRun(msgspec.Struct):
    head_sha: Sha
    check_suite: _SuiteOfRun | None = None
    external_id: str | None = None


class _RequestedAction(msgspec.Struct):
    identifier: Name | None = None


class _CheckRunEvent(OfRepository, kw_only=True):
    action: str
    check_run: _CheckRun
    requested_action: _RequestedAction | None = None


class _CheckSuite(msgspec.Struct):
    head_sha: Sha
    head_branch: Name | None = None


class _CheckSuiteEvent(OfRepository, kw_only=True):
    check_suite: _CheckSuite


def read_check_run(payload: bytes | bytearray) -> Rerequested | UnknownActionRequested | None:
    """A request for one check run."""
    if msgspec.json.decode(payload, type=ActionField).action not in ("rerequested", "requested_action"):
        return None
    event = msgspec.json.decode(payload, type=_CheckRunEvent)
    run, repository = event.check_run, event.installed()
    if repository is None:
        return None
    identifier = event.requested_action.identifier if event.requested_action else None
    if event.action == "requested_action" and identifier != EXTRACT_AGAIN:
        return UnknownActionRequested(repository, run.head_sha, identifier)
    ours = run.external_id if run.external_id and _UUID.fullmatch(run.external_id) else None
    branch = run.check_suite.head_branch if run.check_suite else None
    return Rerequested(repository, run.head_sha, branch, ours)


def read_check_suite(payload: bytes | bytearray) -> Rerequested | None:
    """A request for all check runs of a commit."""
    if msgspec.json.decode(payload, type=ActionField).action != "rerequested":
        return None
    event = msgspec.json.decode(payload, type=_CheckSuiteEvent)
    suite, repository = event.check_suite, event.installed()
    return Rerequested(repository, suite.head_sha, suite.head_branch, None) if repository else None

"""A pull request was opened, changed or closed. Its event comes only with the optional permission `pull_requests: read`."""

from __future__ import annotations

from app.pipeline import events
from app.store import Store


async def changed(tx: Store, event: events.PullRequestChanged) -> None:
    """Store what a pull request is now. Closing it cancels what is queued for its head, unless another one has the same head."""
    repository, pull = event.repository, event.pull_request
    if not await tx.installations.update_from_push(repository) or not await tx.pull_requests.record(repository.id, pull):
        return
    if not pull.open and not await tx.pull_requests.has_open(repository.id, pull.branch):
        await tx.extractions.cancel_of_branch(repository.id, pull.branch, pull.head_sha)

"""Extractions requested through the API or a page: they run even if the lineage of the commit is stored."""

from __future__ import annotations

from app.core.errors import GoneError
from app.core.models.connections import Connection
from app.core.models.extractions import Extraction
from app.pipeline.ports import GitHub
from app.store import Store


async def extract_now(store: Store, github: GitHub, connection: Connection, sha: str | None, trigger: str) -> Extraction:
    """Queue an extraction of `sha`, or of the followed branch's current head on GitHub.

    It is one of the branch whose head `sha` is or was, if that is known. Any other commit runs for the followed branch, but leaves nothing
    there besides its own lineage.

    If one of the same commit is queued or running, it is returned. Raises GoneError if the branch does not exist.
    """
    repository = connection.repository
    branch = connection.followed_branch or (await github.describe(repository)).default_branch
    head = None if sha or not branch else await github.branch_head(repository, branch)
    if not branch or not (sha or head):
        reason = "the repository has no commits" if not branch else f"the repository has no branch `{branch}`"
        raise GoneError(f"looking for the newest commit of {repository.full_name}", reason)
    async with store.transaction() as tx:
        await tx.connections.for_repository(repository.id)
        if sha and sha != connection.head_sha:
            branch = await tx.extractions.branch_with_head(connection.id, sha, branch) or branch
        if head:
            await tx.connections.move_head(connection.id, head)
        is_head = head is not None or sha == connection.head_sha
        extraction_id = await tx.extractions.enqueue(connection.id, branch, sha or head or "", trigger, forced=True, newest=is_head)
        queued = await tx.extractions.get(extraction_id)
    if queued is None:
        raise GoneError(f"queueing an extraction of {repository.full_name}", "the repository was removed in the meantime")
    return queued


async def extract_again(store: Store, extraction: Extraction, trigger: str) -> Extraction:
    """Queue another extraction of the same commit and branch, or return the one that is queued or running.

    Raises GoneError if the connection no longer exists.
    """
    async with store.transaction() as tx:
        known = await tx.connections.for_repository(extraction.repository.id)
        connection = next((one for one in known if one.id == extraction.connection_id), None)
        if connection is None:
            raise GoneError(
                f"extracting {extraction.repository.full_name} at {extraction.sha[:7]} again", "its connection no longer exists"
            )
        is_head = extraction.sha == connection.head_sha and extraction.branch == connection.followed_branch
        queued = await tx.extractions.enqueue(connection.id, extraction.branch, extraction.sha, trigger, forced=True, newest=is_head)
        found = await tx.extractions.get(queued)
    if found is None:
        raise GoneError(f"extracting {extraction.repository.full_name} again", "the repository was removed in the meantime")
    return found

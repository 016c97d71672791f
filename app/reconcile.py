"""Looking at repositories: what GitHub has is compared with what we have, and the difference is queued.

For now each repository is looked at once, when it is installed; the periodic comparison stands on the same `look`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from app import log, project
from app.errors import FreshetError, UnavailableError
from app.jobs import retry_delay
from app.ports import Bell, GitHub, Look, Store

IDLE_S = 30.0
MAX_LOOKS = 10
"""After so many unanswered looks we wait for the next event of the repository."""

logger = log.get(__name__)


async def run(store: Store, github: GitHub, bell: Bell) -> None:
    """Look at repositories whenever some are due, for ever."""
    while True:
        try:
            due = await store.installations.claim_look()
            if due is None:
                await bell.wait(IDLE_S)
                continue
            with log.bound(repository=due.repository.full_name, installation_id=due.repository.installation_id):
                await look(store, github, due)
        except UnavailableError as error:
            logger.warning("cannot look at repositories", reason=str(error))
            await bell.wait(IDLE_S / 10)


async def look(store: Store, github: GitHub, due: Look) -> None:
    """Make a connection of the dbt project in a repository, and queue its newest commit."""
    repository = due.repository
    try:
        head = await github.head(repository)
    except FreshetError as error:
        again = error.retryable and due.attempts < MAX_LOOKS
        asked = error.retry_after_s if isinstance(error, UnavailableError) else None
        again_at = datetime.now(UTC) + retry_delay(due.attempts, asked) if again else None
        await store.installations.look_done(repository.id, None, again_at)
        logger.warning("could not look at the repository", reason=str(error), again=again)
        return
    branch = head.repository.default_branch
    found = project.find(head.paths)
    async with store.transaction() as tx:
        await tx.installations.look_done(repository.id, branch, None)
        if found and head.sha and branch and not await tx.connections.of_repository(repository.id):
            # Which of several it is, the first extraction tells: that takes more than their paths.
            connection = await tx.connections.create(repository.id, found[0] if len(found) == 1 else None)
            await tx.connections.move_head(connection.id, head.sha)
            await tx.extractions.enqueue(connection.id, branch, head.sha, "installation")
    logger.info("looked at the repository", dbt_projects=len(found))

"""Branches were created, moved or deleted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from app.core import log
from app.core.models.connections import Connection
from app.pipeline import connection_rules, events, queue_rules
from app.store import Store
from app.store.extractions import QueuedCommit

logger = log.get(__name__)


async def pushed(tx: Store, pushes: Sequence[events.Push]) -> None:
    """Queue pushed commits for the connections that extract them, as if one push came after the other."""
    for group in _of_different_branches(pushes):
        await _pushed(tx, group)


def _of_different_branches(pushes: Sequence[events.Push]) -> Iterator[list[events.Push]]:
    """Divide pushes into groups in which each branch occurs once, those of one repository in their order."""
    groups: defaultdict[int, list[events.Push]] = defaultdict(list)
    last: defaultdict[int, int] = defaultdict(int)
    """The group of the last push of each repository."""
    group_of: dict[tuple[int, str], int] = {}
    for push in pushes:
        number = push.repository.id
        if group_of.get((number, push.branch)) == last[number]:
            last[number] += 1
        group_of[number, push.branch] = last[number]
        groups[last[number]].append(push)
    for group in sorted(groups):
        yield groups[group]


async def _pushed(tx: Store, pushes: Sequence[events.Push]) -> None:
    """Only the followed branch moves a connection's head.

    If a push does not start at the head that we know, it is late or another one is missing: the reconciler then asks GitHub for the head.
    """
    installed = await tx.installations.update_from_pushes([push.repository for push in pushes])
    pushes = [push for push in pushes if push.repository.id in installed]
    for push in pushes:
        if push.deleted:
            await tx.extractions.cancel_of_branch(push.repository.id, push.branch, push.before)
            await tx.manifests.close_branch(push.repository.id, push.branch, push.before)
    if pushes := [push for push in pushes if not push.deleted]:
        await _queue(tx, pushes)


async def _queue(tx: Store, pushes: Sequence[events.Push]) -> None:
    pairs = await _extracted(tx, pushes)
    latest = await tx.extractions.newest_of_branches([(connection.id, push.branch) for connection, push in pairs])
    wanted: list[QueuedCommit] = []
    heads: dict[str, str] = {}
    look: set[int] = set()
    for connection, push in pairs:
        newest = latest.get((connection.id, push.branch))
        followed = connection.followed_branch == push.branch
        head = connection.head_sha if followed else (newest.sha if newest else None)
        if push.after == head and not queue_rules.is_behind(newest, push.after):
            logger.info("the pushed commit is known already", sha=push.after, **log.ids(**{log.DELIVERY: push.delivery_id}))
            continue
        certain = queue_rules.is_newest(head, push.before, push.after)
        if followed and certain:
            heads[connection.id] = push.after
        elif followed:
            look.add(push.repository.id)
        wanted.append(
            QueuedCommit(
                connection.id,
                push.branch,
                push.after,
                "push",
                newest=certain,
                was_head=True,
                created_branch=push.created,
                origin=push.origin,
            )
        )
    uncertain = [(one.connection_id, one.sha) for one in wanted if not one.newest]
    known = await tx.extractions.known(uncertain) if uncertain else set()
    queued = []
    for one in wanted:
        # What is uncertain and known came late, and was extracted or superseded meanwhile.
        if one.newest or (one.connection_id, one.sha) not in known:
            queued.append(one)
            known.add((one.connection_id, one.sha))
    # Extractions are locked before connections, always.
    if queued:
        await tx.extractions.enqueue_all(queued)
    if heads:
        await tx.connections.move_heads(heads)
    if look:
        await tx.installations.look_soon(*look)


async def _extracted(tx: Store, pushes: Sequence[events.Push]) -> list[tuple[Connection, events.Push]]:
    """The pushes with the connections that extract them. A repository without a connection may get its first one."""
    existing = await tx.connections.for_repositories({push.repository.id for push in pushes}, lock=False)  # the update has locked them
    pairs = []
    for push in pushes:
        connections = existing[push.repository.id] = existing[push.repository.id] or await _first_connection(tx, push)
        pairs += [(connection, push) for connection in connection_rules.connections_for_push(connections, push.branch)]
    return pairs


async def _first_connection(tx: Store, push: events.Push) -> list[Connection]:
    """The connection, without a directory, of a push to a repository that has none.

    The first push to a repository that somebody chose for the App gets an answer even if it has no dbt project. After that, and in all
    other repositories, a look at the default branch decides: no check run without a project. Nothing happens if somebody removed the
    repository's connections.
    """
    repository = push.repository
    if await tx.connections.removals(repository.id):
        return []
    if await tx.installations.may_report_missing_project(repository.id):
        return [await tx.connections.create(repository.id, None)]
    if push.branch == repository.default_branch:
        await tx.installations.look_after_push(repository.id)
    return []

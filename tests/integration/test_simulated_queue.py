"""The simulation behind `docs/scaling.md` decides as the queue in PostgreSQL does."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from app.core.models.extractions import Problem
from app.core.models.github import Repository
from app.store import Store, pool
from tests.bench.queue_simulation import Host, Job, Queue

LEASE = timedelta(minutes=1)
INSTALLATIONS = {1: 5, 2: 3, 3: 2, 4: 1}
"""Connections by installation."""
STEPS = 120


async def connections(store: Store) -> list[tuple[int, str]]:
    """Installation and id of each connection."""
    made = []
    for installation, number in INSTALLATIONS.items():
        for one in range(number):
            id_ = installation * 100 + one
            await store.installations.update_from_push(Repository(id_, f"o{installation}/r{id_}", installation, "main"))
            made.append((installation, (await store.connections.create(id_, "")).id))
    return made


@pytest.mark.parametrize("seed", range(4))
async def test_the_simulation_claims_and_supersedes_what_postgresql_does(store: Store, db: pool.Database, seed: int) -> None:
    choose = random.Random(seed)  # noqa: S311 - no secret
    known = await connections(store)
    queue, hosts = Queue(), [Host(3, 1000), Host(2, 1000)]
    running: list[tuple[Host, Job, str, str]] = []
    simulated: list[object] = []
    real: list[object] = []
    for step in range(STEPS):
        what = choose.choices(["push", "claim", "end"], [5, 3, 2])[0]
        if what == "push":
            connection, branch, sha = choose.choice([0, 0, 0, *range(len(known))]), choose.randrange(2), choose.randrange(4)
            installation, id_ = known[connection]
            superseded = queue.push(installation, connection, branch, sha, float(step))
            simulated.append({(known[job.connection][1], f"b{job.branch}", f"{job.sha:040x}") for job in superseded})
            before = await ended(db)
            await store.extractions.enqueue(id_, f"b{branch}", f"{sha:040x}", "push")
            real.append({row[1:] for row in await ended(db) - before})
        elif what == "claim":
            host, name = choose.choice(hosts), f"w/{step}"
            if host.taken == host.places:
                continue
            job, claimed = queue.claim(host.full), await store.extractions.claim(name, LEASE, host.full)
            simulated.append(job and (known[job.connection][1], f"b{job.branch}", f"{job.sha:040x}"))
            real.append(claimed and (claimed.connection_id, claimed.branch, claimed.sha))
            if job and claimed:
                host.begin(job)
                running.append((host, job, claimed.id, name))
        elif running:
            host, job, id_, name = running.pop(choose.randrange(len(running)))
            host.end(job)
            queue.finish(job)
            assert await store.extractions.finish(id_, name, "failed", [], problem=Problem("t", "m"))
        assert simulated == real, f"step {step}"
    assert queue.waiting == await db.value("SELECT count(*) FROM extractions WHERE status = 'queued'")


async def ended(db: pool.Database) -> set[tuple[str, str, str, str]]:
    """Superseded extractions: their id, connection, branch and commit."""
    rows = await db.rows("SELECT id, connection_id, branch, sha FROM extractions WHERE status = 'superseded'")
    return {(str(row["id"]), str(row["connection_id"]), row["branch"], row["sha"]) for row in rows}

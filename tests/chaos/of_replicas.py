"""Several processes on one database."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.chaos.audit import audit, settled
from tests.chaos.fault import NEEDS_ROOT, Outcome, fault
from tests.chaos.of_github import QUICK
from tests.chaos.of_process import installed
from tests.chaos.world import World, opened, until
from tests.double import Delay
from tests.service import ROOT, Service

REPLICAS = 3
SLOW = {**QUICK, "CHAOS_DBT_S": "0.3", "EXTRACTION_CONCURRENCY": "2"}
NEXT = """
ALTER TABLE extractions ADD COLUMN of_next text;
ALTER TABLE connections ADD COLUMN of_next text;
ALTER TABLE check_runs ADD COLUMN of_next text NOT NULL DEFAULT 'x';
ALTER TABLE installations ADD COLUMN of_next text;
ALTER TABLE repositories ADD COLUMN of_next text;
ALTER TABLE lineages ADD COLUMN of_next text;
ALTER TABLE chores ADD COLUMN of_next text;
CREATE TABLE of_next (id bigint PRIMARY KEY);
"""
"""The expanding half of a change: what the present release does not know and need not fill."""
BUSY = "SELECT split_part(worker, '/', 1) AS process, installation_id, count(*) FROM extractions WHERE status = 'running' GROUP BY 1, 2"

WAITED_FOR = """
SELECT count(*) FROM extractions e JOIN extractions s ON s.sha = $1
WHERE e.installation_id <> s.installation_id AND e.started_at > s.created_at AND e.started_at < s.started_at
"""


async def replicas(world: World) -> list[Service]:
    return [await world.start(place) for place in range(REPLICAS)]


def heard_by(world: World, service: Service) -> None:
    """GitHub's deliveries go to this process, as a load balancer would send them."""
    world.github.app.webhook_url = f"{service.url}/api/webhooks/github"


@fault("one of three processes is killed, and started again", strikes=24, share=1)
async def replica_killed(seed: int, strikes: int) -> Outcome:
    async with opened(seed, SLOW) as world:
        await installed(world, 12)
        running, outcome = await replicas(world), Outcome()
        while outcome.strikes < strikes:
            for repository in world.repositories:
                heard_by(world, world.random.choice(running))
                await world.push(repository)
            place = world.random.randrange(REPLICAS)
            await asyncio.sleep(world.random.uniform(0.0, 0.5))
            await world.kill(running[place])
            running[place] = await world.start(place)
            outcome.strikes += 1
        outcome.violations += await audit(world, running[0])
        return outcome


@fault("three processes restart one after the other on a schema of the next release", strikes=1, share=0)
async def rolling_restart(seed: int, strikes: int) -> Outcome:
    async with opened(seed, SLOW) as world:
        await installed(world, 8)
        migrations = world.directory / "migrations"
        migrations.mkdir()
        (migrations / "9999_next.sql").write_text(NEXT)
        running, outcome = await replicas(world), Outcome()
        for place in range(REPLICAS):
            for repository in world.repositories:
                heard_by(world, running[(place + 1) % REPLICAS])
                await world.push(repository)
            assert await running[place].stop() == 0
            running[place] = await world.start(place, CHAOS_MIGRATION=str(migrations))
            for other in running:
                heard_by(world, other)
                for repository in world.repositories[:4]:
                    await world.push(repository)
            outcome.violations += [f"after {place + 1} of {REPLICAS}: {one}" for one in await settled(world, running[-1])]
            outcome.violations += [f"process {number} ended" for number, one in enumerate(running) if one.process.returncode is not None]
            outcome.strikes += 1
        outcome.violations += await audit(world, running[0])
        return outcome


@fault("a busy installation and a small one on three processes with a limit for each installation", strikes=1, share=0)
async def busy_installation(seed: int, strikes: int) -> Outcome:
    """None runs more than its limit in any process, and the small one does not wait for the busy one."""
    async with opened(seed, {**SLOW, "CHAOS_DBT_S": "0.6", "FRESHET_RUNNING_PER_INSTALLATION": "1"}) as world:
        await installed(world, 16)
        small = await world.github.create_repository("small/shop", {})
        world.repositories.append(small)
        await world.push(small)
        running, outcome = await replicas(world), Outcome()
        await world.github.install("small")
        await settled(world, running[0])
        seen = Counter[str]()
        for repository in world.repositories:
            heard_by(world, world.random.choice(running))
            await world.push(repository)

        async def done() -> bool:
            for row in await world.database.rows(BUSY):
                seen[row["process"]] = max(seen[row["process"]], row["count"])
            return not await world.extractions("queued")

        await until(done, 60.0)
        outcome.strikes = len(seen)
        outcome.violations += [f"{process} ran {count} of one installation at once" for process, count in seen.items() if count > 1]
        outcome.violations += [] if len(seen) == REPLICAS else [f"only {len(seen)} of {REPLICAS} processes worked"]
        before = await world.database.value(WAITED_FOR, world.heads[small.id])
        outcome.violations += [f"the small installation waited for {before} of the busy one"] if before > REPLICAS else []
        outcome.violations += await audit(world, running[0])
        return outcome


@fault("three processes start at once, and compare GitHub with the database for a while", strikes=3, share=0)
async def one_reconciler(seed: int, strikes: int) -> Outcome:
    """No two of them list the same at the same time."""
    async with opened(seed, QUICK) as world:
        await installed(world, 2)
        outcome = Outcome()
        for _ in range(strikes):
            del world.github.requests[:]
            for path in ("/app/installations$", "/app/hook/deliveries$"):
                world.github.faults.add("GET", path, 99, Delay(0.8))
            running = [*await asyncio.gather(*(world.start(place) for place in range(REPLICAS)))]
            overlaps = Counter[str]()

            async def looked(overlaps: Counter[str] = overlaps) -> bool:
                served = Counter(one.path for one in world.github.requests if one.status == 0 and one.path.startswith("/app/"))
                for path, count in served.items():
                    overlaps[path] = max(overlaps[path], count)
                return False

            await until(looked, 6.0)
            outcome.violations += [f"{count} requests for {path} at once" for path, count in overlaps.items() if count > 1]
            outcome.violations += [] if overlaps else ["nothing was compared"]
            world.github.faults.clear()
            outcome.violations += await audit(world, running[0])
            outcome.strikes += 1
        return outcome


@asynccontextmanager
async def linked(world: World, count: int) -> AsyncIterator[list[str]]:
    """Links to the database, each a pair of interfaces; packets of one that is down vanish. Their names, `LINK-N`."""
    name, processes = f"chaos-{secrets.token_hex(2)}", list[asyncio.subprocess.Process]()
    links = [f"{name}{number}" for number in range(count)]
    block = secrets.randbelow(200) + 20
    _ip("netns", "add", name)
    try:
        for number, link in enumerate(links):
            _ip("link", "add", link, "type", "veth", "peer", "name", "eth", "netns", name)
            _ip("netns", "exec", name, "ip", "link", "set", "eth", "name", f"eth{number}")
            _ip("addr", "add", f"10.213.{block + number}.1/24", "dev", link)
            _ip("netns", "exec", name, "ip", "addr", "add", f"10.213.{block + number}.2/24", "dev", f"eth{number}")
            _ip("link", "set", link, "up")
            _ip("netns", "exec", name, "ip", "link", "set", f"eth{number}", "up")
        command = ("ip", "netns", "exec", name, sys.executable, "-m", "tests.chaos.relay", "5432", str(world.database.socket))
        processes.append(await asyncio.create_subprocess_exec(*command, cwd=ROOT))
        yield [f"10.213.{block + number}.2" for number in range(count)] + links
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        _ip("netns", "delete", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@fault("the network between a process and the database loses every packet, for longer than the leases", strikes=4, needs=NEEDS_ROOT)
async def replica_partitioned(seed: int, strikes: int) -> Outcome:
    """Its work is taken over, its late writes are refused, and it goes on when the network is back."""
    async with opened(seed, SLOW) as world, linked(world, REPLICAS) as found:
        await installed(world, 12)
        addresses, links = found[:REPLICAS], found[REPLICAS:]
        running = [
            await world.start(place, DATABASE_URL=f"postgresql://freshet@{addresses[place]}:5432/freshet") for place in range(REPLICAS)
        ]
        outcome = Outcome()
        while outcome.strikes < strikes:
            cut = world.random.randrange(REPLICAS)
            others = [one for place, one in enumerate(running) if place != cut]
            for repository in world.repositories:
                heard_by(world, world.random.choice(others))
                await world.push(repository)
            await asyncio.sleep(world.random.uniform(0.0, 1.0))
            _ip("link", "set", links[cut], "down")
            outcome.violations += [f"without {cut}: {one}" for one in await settled(world, others[0])]
            await asyncio.sleep(4.0)
            _ip("link", "set", links[cut], "up")
            outcome.strikes += 1
        heard_by(world, running[cut])
        for repository in world.repositories[:2]:
            await world.push(repository)
        outcome.violations += await audit(world, running[cut])
        return outcome

"""What has to be true after a fault, found by looking from outside: GitHub, the API, the database, Docker, files and processes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from tests.chaos.world import World, processes, until
from tests.service import Service

OPEN = """
SELECT 'extraction ' || status AS what, count(*) FROM extractions WHERE status IN ('queued', 'running') GROUP BY 1
UNION ALL SELECT 'check run to send', count(*) FROM check_runs WHERE sent < revision AND abandoned IS NULL HAVING count(*) > 0
UNION ALL SELECT 'search to update', count(*) FROM search_updates HAVING count(*) > 0
"""
TWICE = """
SELECT sha, count(*), string_agg(trigger, ', ' ORDER BY number) AS triggers FROM extractions
WHERE status = 'succeeded' AND NOT background AND NOT forced
GROUP BY connection_id, branch, sha HAVING count(*) > 1
"""
KEPT = re.compile(r"(service\.log|service\.lock|instance|tmp|work|work/(git|states|packages|git-packages|strangers).*)")
"""Files of a service that may be there after it."""
LOGGED = re.compile(r'"level": "(error|critical)"|^Traceback|Task exception was never retrieved')


async def settled(world: World, service: Service) -> list[str]:
    """Wait until nothing is left to do; what is left if that takes too long."""
    left: list[str] = ["nothing was looked at"]

    async def quiet() -> bool:
        left[:] = await remaining(world, service)
        return not left

    await until(quiet, world.settles_s)
    return [f"left to do after {world.settles_s:g} s: {one}" for one in left]


async def remaining(world: World, service: Service) -> list[str]:
    """What is still to be done."""
    found = [f"{row['count']} {row['what']}" for row in await world.database.rows(OPEN)]
    for repository in watched(world):
        head = world.heads[repository.id]
        runs = world.github.check_runs(repository, head)
        if not any(run.conclusion == "success" for run in runs):
            found.append(f"{repository.full_name}: the head {head[:7]} has {[(run.status, run.conclusion, run.title) for run in runs]}")
        found += [
            f"{repository.full_name}: a check run is {run.status}"
            for run in world.github.check_runs(repository)
            if run.status != "completed"
        ]
        items = (await service.get("/connections", repository=repository.full_name))["items"]
        found += [f"{repository.full_name}: the lineage is of {one['lineage_sha']}" for one in items if one["lineage_sha"] != head]
        found += [] if items else [f"{repository.full_name}: no connection"]
    return found


def watched(world: World) -> list[Any]:
    """The repositories that the App can still read."""
    state = world.github.state
    return [one for one in world.repositories if one.id in state.repositories and state.installation_of(one) is not None]


async def audit(world: World, service: Service, *, neutral: bool = False, errors: bool = False) -> list[str]:
    """Settle, look, stop the service and look again; every new violation.

    `neutral` results and `errors` in the log are part of some faults.
    """
    found = await settled(world, service)
    found += deliveries(world)
    found += check_runs(world, neutral=neutral)
    found += [f"extracted {row['count']} times: {row['sha'][:7]} ({row['triggers']})" for row in await world.database.rows(TWICE)]
    if not found:
        found += await lineages(world, service)
    found += [f"GitHub: {one}" for one in world.github.violations]
    running = list(world.services)
    await world.stop()
    found += left_behind(world)
    found += [] if errors else [line for one in running for line in logged(one)]
    new = [one for one in dict.fromkeys(found) if one not in world.known]
    world.known.update(new)
    return new


def deliveries(world: World) -> list[str]:
    """Every push has one check run, whether its first delivery was accepted or a later one."""
    found = []
    for repository in watched(world):
        have = Counter(run.head_sha for run in world.github.check_runs(repository))
        accepted = {
            one.payload["after"]
            for one in world.github.deliveries
            if one.event == "push" and one.status_code == 202 and one.repository_id == repository.id
        }
        found += [f"{repository.full_name}: the accepted push {sha[:7]} has no check run" for sha in accepted - set(have)]
        found += [f"{repository.full_name}: {count} check runs of {sha[:7]}" for sha, count in have.items() if count > 1]
    return found


def check_runs(world: World, *, neutral: bool) -> list[str]:
    """None is open, none was opened again, and none ends with a fault of ours."""
    usual = {"success", "skipped", *(["neutral"] if neutral else [])}
    found = []
    for repository in watched(world):
        for run in world.github.check_runs(repository):
            steps = [step.status for step in run.history]
            if (
                run.status != "completed"
                or "completed" in steps[: steps.index("completed")]
                or set(steps[steps.index("completed") :]) != {"completed"}
            ):
                found.append(f"{repository.full_name}: the check run of {run.head_sha[:7]} went {steps}")
            elif run.conclusion not in usual:
                found.append(f"{repository.full_name}: the check run of {run.head_sha[:7]} is {run.conclusion}: {run.title}")
    return found


async def lineages(world: World, service: Service) -> list[str]:
    """The API has the nodes and columns of the head, and no other."""
    found = []
    for repository in watched(world):
        for connection in (await service.get("/connections", repository=repository.full_name))["items"]:
            lineage = await service.get(f"/connections/{connection['id']}/lineage")
            names = {node["name"] for node in lineage["nodes"]}
            if names != world.models[lineage["sha"]] or len(lineage["edges"]) != len(names) - 1:
                found.append(
                    f"{repository.full_name}: the lineage of {lineage['sha'][:7]} has {sorted(names)}, {len(lineage['edges'])} edges"
                )
            if lineage["stale"]:
                found.append(f"{repository.full_name}: its lineage is stale")
            columns = await service.get(f"/connections/{connection['id']}/columns")
            if not columns["edges"]:
                found.append(f"{repository.full_name}: no columns")
            found += await manifest(world, service, connection)
    return found


async def manifest(world: World, service: Service, connection: Any) -> list[str]:
    """dbt's own manifest of the head is kept too."""
    try:
        kept = await service.get(f"/connections/{connection['id']}/manifest.json")
    except AssertionError as error:
        return [f"{connection['repository']}: no manifest ({error})"[:200]]
    names = {node["name"] for node in kept["nodes"].values() if node["resource_type"] == "model"}
    return [] if names == world.models[connection["lineage_sha"]] else [f"{connection['repository']}: the manifest is of another commit"]


def left_behind(world: World) -> list[str]:
    """Processes and files, after the service has stopped."""
    found = [f"a process is left: {one[:200]}" for one in processes(world).values()]
    for own in sorted(world.directory.glob("service*")):
        for path in sorted(own.rglob("*")):
            relative = str(path.relative_to(own))
            if not KEPT.fullmatch(relative) or ".tmp" in relative or "/spool-" in relative:
                found.append(f"a file is left: {relative}")
    return found


def logged(service: Service) -> list[str]:
    """What an operator would have to look at."""
    lines = service.log.splitlines()
    return [f"logged: {line[:300]}{_rest(lines[number + 1 :])}" for number, line in enumerate(lines) if LOGGED.search(line)]


def _rest(lines: Sequence[str]) -> str:
    """What follows, if it belongs to a traceback: what is indented, and the error below it."""
    frames = len([*takewhile(lambda line: line.startswith(" "), lines)])
    return "".join(f"\n{line[:300]}" for line in lines[max(0, frames - 6) : frames + 1]) if frames else ""

"""Faults of GitHub, and of the way to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from tests.chaos.audit import audit
from tests.chaos.fault import Outcome, fault
from tests.chaos.of_process import installed
from tests.chaos.world import MINIATURE, World, opened
from tests.double import Answer, Delay, LateAnswer, LostAnswer, Reset
from tests.double.faults import Response

REPOSITORIES = 8
QUICK = {**MINIATURE, "EXTRACTION_CONCURRENCY": "4"}
PLACES = ("/check-runs", "/access_tokens", "/info/refs", "/git-upload-pack", "/compare/", "/git/ref/", "/installation/repositories", "")
"""Parts of paths; the last one is everything."""
LIMITED = {"Retry-After": "1"}
SECONDARY = '{"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}'
FAR_MINUTES = 11


async def weathered(seed: int, strikes: int, kinds: Sequence[Response]) -> Outcome:
    """Push everywhere, and let requests of all kinds fail while that is worked on."""
    async with opened(seed, QUICK) as world:
        await installed(world, REPOSITORIES)
        outcome, service = Outcome(), await world.start()
        while outcome.strikes < strikes:
            for repository in world.repositories:
                world.github.faults.add("*", world.random.choice(PLACES), 1, world.random.choice(kinds))
                outcome.strikes += 1
                await world.push(repository)
                await asyncio.sleep(world.random.uniform(0.0, 0.3))
        outcome.violations += await audit(world, service)
        return outcome


@fault("GitHub answers 500, 502 and 503 to single requests of every kind", strikes=64, share=0)
async def github_answers_5xx(seed: int, strikes: int) -> Outcome:
    return await weathered(seed, strikes, [Answer(status, "<html>") for status in (500, 502, 503)])


@fault("the connection to GitHub is reset, before or after the request had its effect", strikes=64)
async def github_resets(seed: int, strikes: int) -> Outcome:
    return await weathered(seed, strikes, [Reset(), LostAnswer()])


@fault("GitHub answers late, or after the time limit of a request, which it has handled", strikes=32)
async def github_stalls(seed: int, strikes: int) -> Outcome:
    return await weathered(seed, strikes, [Delay(0.5), LateAnswer(3.0)])


@fault("GitHub limits the rate: 429, and 403 with a secondary limit", strikes=32)
async def github_limits_the_rate(seed: int, strikes: int) -> Outcome:
    return await weathered(seed, strikes, [Answer(429, "", LIMITED), Answer(403, SECONDARY, LIMITED)])


@fault("GitHub answers nothing but 503 for a while, longer than all attempts of an extraction", strikes=2)
async def github_is_down(seed: int, strikes: int) -> Outcome:
    async with opened(seed, QUICK) as world:
        await installed(world, 4)
        outcome, service = Outcome(), await world.start()
        while outcome.strikes < strikes:
            world.github.faults.add("*", "", 1 << 30, Answer(503, "<html>"))
            for repository in world.repositories:
                await world.push(repository)
            await asyncio.sleep(12.0)
            world.github.faults.clear()
            outcome.strikes += 1
        outcome.violations += await audit(world, service, neutral=True)
        return outcome


@fault("every token of the App is revoked at random moments", strikes=20)
async def tokens_end(seed: int, strikes: int) -> Outcome:
    async with opened(seed, QUICK) as world:
        await installed(world, REPOSITORIES)
        outcome, service = Outcome(), await world.start()
        while outcome.strikes < strikes:
            for repository in world.repositories:
                await world.push(repository)
            for _ in range(4):
                await asyncio.sleep(world.random.uniform(0.0, 0.4))
                world.github.state.tokens.clear()
                outcome.strikes += 1
        outcome.violations += await audit(world, service)
        return outcome


async def with_clocks(seed: int, github_s: float, ours_s: float) -> list[str]:
    def clock() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=github_s)

    async with opened(seed, {**QUICK, "CHAOS_CLOCK_S": str(ours_s)}, clock=clock) as world:
        await world.repository("before")
        service = await world.start()
        world.installation = await world.github.install("octo")
        await world.repository("after")
        await asyncio.sleep(1.0)
        for repository in world.repositories:
            await world.push(repository)
        lost = await world.repository("lost")
        await world.push(lost, deliver=False)
        await asyncio.sleep(1.0)
        await world.stop()
        service = await world.start()
        return await audit(world, service)


@fault(f"GitHub's clock is {FAR_MINUTES} minutes ahead or behind, or ours is (and the database's is right)", strikes=4, share=0)
async def clocks_are_wrong(seed: int, strikes: int) -> Outcome:
    outcome, far = Outcome(), FAR_MINUTES * 60.0
    for github_s, ours_s in ((far, 0.0), (-far, 0.0), (0.0, far), (0.0, -far))[:strikes]:
        found = await with_clocks(seed, github_s, ours_s)
        outcome.violations += [f"GitHub {github_s:+g} s, ours {ours_s:+g} s: {text}" for text in found]
        outcome.strikes += 1
    return outcome


async def changed(seed: int, strikes: int, change: Callable[[World, int], Awaitable[None]], *, neutral: bool = False) -> Outcome:
    """Push everywhere, and change each repository at some moment of its extraction."""
    async with opened(seed, {**QUICK, "CHAOS_DBT_S": "0.3"}) as world:
        await installed(world, strikes)
        outcome, service = Outcome(), await world.start()
        for repository in world.repositories:
            await world.push(repository)
        for number in range(strikes):
            await asyncio.sleep(world.random.uniform(0.0, 0.2))
            await change(world, number)
            outcome.strikes += 1
        outcome.violations += await audit(world, service, neutral=neutral)
        return outcome


@fault("the repository is renamed while it is extracted, and pushed to under its new name", strikes=12)
async def repository_renamed(seed: int, strikes: int) -> Outcome:
    async def rename(world: World, number: int) -> None:
        await world.github.rename_repository(world.repositories[number], f"other{number}")
        if number % 2:
            await world.push(world.repositories[number])

    return await changed(seed, strikes, rename)


@fault("the repository is deleted while it is extracted", strikes=12, share=0)
async def repository_deleted(seed: int, strikes: int) -> Outcome:
    async def delete(world: World, number: int) -> None:
        await world.github.delete_repository(world.repositories[number])

    return await changed(seed, strikes, delete)


@fault("the repository is made private or public while it is extracted", strikes=12)
async def repository_made_private(seed: int, strikes: int) -> Outcome:
    async def hide(world: World, number: int) -> None:
        await world.github.set_visibility(world.repositories[number], private=bool(number % 2))

    return await changed(seed, strikes, hide)


@fault("the repository is taken from the App while it is extracted, and given back", strikes=8, share=2)
async def repository_removed_and_back(seed: int, strikes: int) -> Outcome:
    async def remove(world: World, number: int) -> None:
        assert world.installation is not None
        one = world.repositories[number]
        await world.github.remove_repositories(world.installation, [one])
        await asyncio.sleep(0.2)
        await world.github.add_repositories(world.installation, [one])
        await world.push(one)

    # The commit before may have been asked for while the App had no access, and is no head any more.
    return await changed(seed, strikes, remove, neutral=True)


@fault("the installation is suspended while it is extracted, and resumed", strikes=6)
async def installation_suspended(seed: int, strikes: int) -> Outcome:
    async def suspend(world: World, number: int) -> None:
        assert world.installation is not None
        await world.github.suspend(world.installation)
        await asyncio.sleep(world.random.uniform(0.1, 2.0))
        await world.github.unsuspend(world.installation)

    return await changed(seed, strikes, suspend)

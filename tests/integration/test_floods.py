"""Strangers with many sockets: while they hold them, deliveries and pages are answered, and memory and open files are bounded."""

from __future__ import annotations

from tests.load import strangers


async def test_silent_connections_and_half_sent_bodies_change_nothing_for_others() -> None:
    outcome = await strangers.run(rounds=1, until_gone=False)
    assert not outcome.violations, "\n".join(outcome.violations)

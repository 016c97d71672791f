"""What an agent asks, and what it learns: one call of a tool over the Model Context Protocol."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from tests.service import TOKEN, Service

NODE, DEPENDS_ON = "fleet_budget", "repairs"
"""A dashboard and a source."""


async def ask(service: Service, console: Console, repository: str) -> None:
    """Why one node depends on another."""
    arguments = {"connection": repository, "node": NODE, "depends_on": DEPENDS_ON}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "find_path", "arguments": arguments}}
    async with service.session.post(f"{service.url}/mcp", json=message, headers={"Authorization": f"Bearer {TOKEN}"}) as response:
        answer: dict[str, Any] = (await response.json())["result"]["structuredContent"]
    way = " → ".join(one.partition(".")[2].partition(".")[2] for one in answer["paths"][0])
    console.print(f"\n   An agent asks why {NODE} depends on {DEPENDS_ON} (tool find_path at {service.url}/mcp):", markup=False)
    age = f"{answer['age_seconds']} s old and {'stale' if answer['stale'] else 'current'}"
    console.print(f"     {way} (commit {answer['sha'][:7]}, {age})", markup=False)

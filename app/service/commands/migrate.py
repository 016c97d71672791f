"""`migrate`: applies pending database migrations. The service does this too when it starts."""

from __future__ import annotations

from app.service import components
from app.service.commands import Commands
from app.service.config import Settings
from app.store import migrate


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("migrate", help="apply pending database migrations (the service does this when it starts)")
    parser.set_defaults(command=lambda _, settings: migrate_database(settings))


async def migrate_database(settings: Settings) -> int:
    """Apply pending migrations, and print their names."""
    async with components.connected(settings) as (db, _):
        applied = await migrate.migrate(db)
    print("\n".join(f"applied {name}" for name in applied) or "The database is up to date.")
    return 0

"""Forward-only, numbered migrations (`migrations/NNNN_name.sql`), applied in one transaction by one process at a time."""

from __future__ import annotations

from importlib import resources

from app.core.errors import ConfigurationError
from app.store.pool import Database

LOCK = 0x46726573
"""The advisory lock under which one process migrates while others wait."""
OLDEST_SERVER = 140000
"""`server_version_num` of the oldest PostgreSQL that we support."""


async def migrate(db: Database) -> list[str]:
    """Apply the missing migrations and return their names. Raises ConfigurationError if PostgreSQL is too old, or Freshet is."""
    version = int(await db.value("SHOW server_version_num"))
    if version < OLDEST_SERVER:
        raise ConfigurationError("starting on DATABASE_URL", f"PostgreSQL {version // 10000} is too old: 14 or newer is needed")
    applied = []
    async with db.transaction() as tx:
        await tx.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
        await tx.execute("CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())")
        done = {row["name"] for row in await tx.rows("SELECT name FROM migrations")}
        known = pending()
        if unknown := done - known.keys():
            reason = f"it was migrated by a newer Freshet ({', '.join(sorted(unknown))})"
            raise ConfigurationError("starting on DATABASE_URL", reason, "Start that version, or restore a backup.")
        for name, statements in known.items():
            if name not in done:
                await tx.execute(statements)
                await tx.execute("INSERT INTO migrations (name) VALUES ($1)", name)
                applied.append(name)
    return applied


def pending() -> dict[str, str]:
    """Return all migrations of this version by name, in order."""
    files = sorted(resources.files("app.store").joinpath("migrations").iterdir(), key=lambda file: file.name)
    return {file.name.removesuffix(".sql"): file.read_text() for file in files if file.name.endswith(".sql")}

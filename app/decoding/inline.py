"""Reading manifests without a process of its own: for a command, where nobody else waits."""

from __future__ import annotations

import asyncio

from app import lineage
from app.lineage import Lineage
from app.spool import Spool


class Inline:
    """A `ports.Decoders` that keeps everything in memory."""

    async def lineage(self, manifest: Spool, label: str, image: str) -> Lineage:
        """Return the lineage of a manifest. Raises ManifestError."""
        return await asyncio.to_thread(lambda: lineage.read(manifest.content(), label, image))

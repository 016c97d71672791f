"""Keeps dbt's own manifest of an extracted commit, after its lineage is stored. What goes wrong never fails the extraction."""

from __future__ import annotations

import asyncio
import hashlib
import zlib

from app.core import log
from app.core.models.extractions import Extraction
from app.core.spool import Spool
from app.pipeline.outages import with_retries
from app.store import Store
from app.store.manifests import MAX_STORED_BYTES, PackedManifest

LEVEL = 6
"""zlib's: 10 MB become 0.7 MB in 0.1 s, in another thread."""
GZIP = 31
"""zlib's `wbits` for the format of gzip: https://docs.python.org/3/library/zlib.html#zlib.compressobj."""
HASH_BYTES = 16

logger = log.get(__name__)


async def keep(store: Store, extraction: Extraction, manifest: Spool) -> None:
    """Store the manifest of the extraction's commit, and delete what is not kept any more. Closes the manifest.

    Nobody compares with what a stranger pushed, and it would take the place of what is compared with.
    """
    if extraction.of_fork:
        manifest.close()
        return
    try:
        packed = await pack(manifest)
        if packed.content is None:
            logger.info("manifest not kept, it is too big", size_bytes=packed.size_bytes)
        if not await with_retries(lambda: store.manifests.save(extraction, packed)):
            return
        await store.manifests.delete_old(extraction.connection_id)
    except Exception:  # whatever it is, the lineage is stored
        logger.warning("manifest not kept", exc_info=True)
    finally:
        manifest.close()


async def pack(manifest: Spool, limit: int = MAX_STORED_BYTES) -> PackedManifest:
    """Compress a manifest, unless it would be longer than `limit` bytes."""
    digest, packer, content = hashlib.blake2b(digest_size=HASH_BYTES), zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP), bytearray()

    def add(data: bytes) -> None:
        digest.update(data)
        if len(content) <= limit:
            content.extend(packer.compress(data))

    # Neither reading nor compressing is done on the event loop, and zlib does not keep other threads from working.
    async for data in manifest.stream():
        await asyncio.to_thread(add, data)
    content.extend(packer.flush())
    return PackedManifest(digest.digest(), manifest.size_bytes, bytes(content) if len(content) <= limit else None)

"""Decodes manifests and columns documents in this process: for the command line, where nothing else waits."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Collection
from dataclasses import replace

from app.core.models.quality import USUAL, QualitySettings
from app.core.models.warehouse import WarehouseNames
from app.core.spool import FinishedSpool, Spool
from app.lineage import manifest_comparison, nodes
from app.lineage.column_document import MalformedColumnsError, malformed_columns
from app.lineage.manifest import DECODE_ERRORS, manifest_error
from app.lineage.manifest_comparison import ManifestDifferences
from app.lineage.nodes import Lineage, StorableLineage
from app.lineage.owners import CodeOwners
from app.pipeline.decoding import spooled_columns
from app.pipeline.decoding.spooled_columns import ColumnsScope, SpooledColumns


class Inline:
    """Implements `ports.Decoders` in memory, apart from the columns' rows."""

    async def lineage(
        self,
        manifest: Spool,
        names: WarehouseNames,
        label: str,
        image: str,
        code_owners: CodeOwners | None = None,
        quality: QualitySettings = USUAL,
    ) -> Lineage:
        """The lineage of a manifest. Raises ManifestError."""
        found = await asyncio.to_thread(lambda: nodes.read_manifest(manifest.content(), label, image, names, code_owners))
        return replace(found, quality_settings=quality)

    async def columns(
        self, document: Spool, lineage: StorableLineage, label: str, image: str, secrets: Collection[str] = ()
    ) -> SpooledColumns:
        """The columns of a lineage's nodes. Raises ColumnsError."""
        scope = ColumnsScope(lineage.unique_ids(), lineage.external, frozenset(secrets))
        try:
            return await asyncio.to_thread(_columns, document, scope)
        except MalformedColumnsError as error:
            raise malformed_columns(error, label, image) from error

    async def differences(self, manifest: Spool, other: FinishedSpool, label: str, image: str) -> ManifestDifferences:
        """What two manifests of one input do not have in common. Raises ManifestError."""
        try:
            return await asyncio.to_thread(lambda: manifest_comparison.compare(manifest.content(), other.content()))
        except DECODE_ERRORS as error:
            raise manifest_error(error, manifest.size_bytes, label, image) from error


def _columns(document: Spool, scope: ColumnsScope) -> SpooledColumns:
    rows = tempfile.TemporaryFile()  # noqa: SIM115 - the columns close it
    try:
        return SpooledColumns(rows, spooled_columns.write(document.content(), scope, rows))
    except BaseException:
        rows.close()
        raise

"""The columns document: what a container found out about the columns of each node, as lines of JSON, and the form in which it is stored.

The first line is a `DocumentHead`, each other line a `ColumnsLine`. It is written next to a stranger's code, so everything is limited.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from mmap import mmap
from typing import Annotated, Literal, Protocol, TypeVar

import msgspec

from app.core.errors import ColumnsError
from app.lineage import copy_format
from app.lineage.column_overview import ColumnsOverview
from app.lineage.column_placeholders import has_placeholders, without_placeholders
from app.lineage.manifest import DECODE_ERRORS
from app.lineage.nodes import HASH_BYTES, storable, without_nul

ColumnStatus = Literal["exact", "approximate", "unknown"]
Subtype = Literal["IDENTITY", "TRANSFORMATION", "AGGREGATION", "JOIN", "GROUP_BY", "FILTER", "SORT", "WINDOW", "CONDITIONAL"]
"""OpenLineage's: https://openlineage.io/docs/spec/facets/dataset-facets/column_lineage_facet."""
DIRECT: frozenset[Subtype] = frozenset({"IDENTITY", "TRANSFORMATION", "AGGREGATION"})
"""The value of the downstream column is made of the upstream one; with the other subtypes, it or its rows depend on it."""

T = TypeVar("T")
FORMAT = 1
"""Of the document."""
STORED = "3"
"""Of the stored form of a node's columns. Changing it stores them all again, and no lineage with other ones is carried forward."""
MAX_DOCUMENT = 256 << 20
"""Bytes."""
MAX_LINE = 32 << 20
"""Bytes."""
COUNTED = ("model.", "snapshot.")
"""What the unique_ids of the nodes begin with that are counted by status: sources and seeds are always exact."""
NODE_COLUMNS_COLUMNS = ("hash", "unique_id", "status", "content", "compiled_code")
"""The columns of `NodeColumns.row`."""

MAX_NAME, MAX_REASON = 1000, 500
"""Characters."""

Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
Reason = Annotated[str, msgspec.Meta(max_length=MAX_REASON)]


class MalformedColumnsError(Exception):
    """A line that our program did not write; the text names the line and the reason."""


class DocumentHead(msgspec.Struct, frozen=True):
    """The first line."""

    version: int
    dialect: Name | None = None
    """sqlglot's name of the SQL dialect."""
    engine: Name = ""
    """The parser and its version, such as `sqlglot 30.30.0`."""
    dbt_version: Name = ""


class FoundColumn(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A column as the SQL, the YAML or a seed's header has it. `type`: what the SQL says by a cast; None: it does not say.

    `value`: a digest of the canonical expression without its outermost cast, with names resolved down to columns of other nodes. Equal ones
    mean the same values; see `column_digests` for what different ones mean. None: not known.
    """

    name: Name
    type: Name | None = None
    value: Name | None = None


class FoundEdge(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """From a column of `upstream` (a unique_id) to a column of the node; None: to all of its rows."""

    upstream: Name
    upstream_column: Name
    column: Name | None
    subtype: Subtype
    certain: bool


class ColumnContent(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a node as they are stored (`content`), as a JSON object with these keys."""

    reason: Reason | None = None
    """Why the status is not `exact`."""
    columns: Annotated[tuple[FoundColumn, ...], msgspec.Meta(max_length=10_000)] = ()
    """In the order of the SQL where it is known."""
    open: bool = False
    """Whether there may be more columns than these."""
    edges: Annotated[tuple[FoundEdge, ...], msgspec.Meta(max_length=200_000)] = ()
    hard_coded: Annotated[tuple[Name, ...], msgspec.Meta(max_length=10_000)] = ()
    """Names of tables that are in the SQL, but not in dbt's graph."""
    compiled_reason: Reason | None = None
    """Why there is no compiled SQL, or what is left out of it."""
    rendered: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    """`full`, or `without_execute`: without answers to what macros ask the warehouse."""
    sql: Name | None = None
    """A digest of the canonical SQL: formatting, comments and names of CTEs are not part of it. None: not known. See `column_digests`."""
    rows: Name | None = None
    """A digest of what decides which rows there are; of a seed, of its file apart from line ends. None: not known. See `column_digests`."""
    missing: Annotated[tuple[Name, ...], msgspec.Meta(max_length=1000)] = ()
    """Names, without that of a table, of columns that the SQL reads and that nothing which it reads has."""
    uneven: bool = False
    """Whether columns that meet by position, in a set operation or under a list of names, are not as many as they have to be."""


class ColumnsLine(ColumnContent, frozen=True, kw_only=True):
    """The line of one node. Keys that are not here, such as `cache`, are the container's own."""

    unique_id: Name
    status: ColumnStatus
    compiled_code: str | None = None
    reused: bool = False
    """Taken from the document of an earlier job."""


_HEAD = msgspec.json.Decoder(DocumentHead)
_LINE = msgspec.json.Decoder(ColumnsLine)


@dataclass(frozen=True, slots=True)
class NodeColumns:
    """The columns of a node as they are stored. `content`: a `ColumnContent`."""

    unique_id: str
    status: ColumnStatus
    content: bytes
    compiled_code: bytes | None
    """The compiled SQL in UTF-8."""
    reused: bool = False
    """Whether it was taken from an earlier document. Not stored."""
    edge_count: int = 0
    """Not stored."""

    @property
    def hash(self) -> bytes:
        """`HASH_BYTES` bytes that identify all that is stored."""
        digest = hashlib.blake2b(self.content, digest_size=HASH_BYTES)
        for part in (self.unique_id.encode(), self.status.encode(), STORED.encode()):
            digest.update(b"\0" + part)
        digest.update(b"\0" if self.compiled_code is None else b"\1" + self.compiled_code)
        return digest.digest()

    def row(self) -> bytes:
        """The `NODE_COLUMNS_COLUMNS` in PostgreSQL's binary COPY format."""
        return copy_format.fields(self.hash, self.unique_id.encode(), self.status.encode(), self.content, self.compiled_code)


class StorableColumns(Protocol):
    """The columns of a lineage's nodes in a file (`decoding.SpooledColumns`)."""

    @property
    def dialect(self) -> str | None:
        """See `DocumentHead`."""

    @property
    def engine(self) -> str:
        """See `DocumentHead`."""

    @property
    def node_count(self) -> int:
        """Number of nodes."""

    @property
    def edge_count(self) -> int:
        """Number of edges of all nodes."""

    @property
    def reused_count(self) -> int:
        """The number of nodes taken from the document of an earlier job."""

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of models and snapshots by status: all three, also zeros."""

    @property
    def overview(self) -> ColumnsOverview:
        """What is not exact, and which tables dbt does not know."""

    @property
    def hashes(self) -> bytes:
        """`HASH_BYTES` for each node, sorted by unique_id."""

    def rows(self, places: Iterable[int], before: bytes) -> Iterator[bytes]:
        """The rows (`NodeColumns.row`) at these positions, each prefixed with `before`, in chunks. Iterate in a thread."""

    def nodes(self) -> Iterator[NodeColumns]:
        """All nodes, sorted by unique_id. Iterate in a thread."""

    def close(self) -> None:
        """Release the file."""


class TextRedaction(Protocol):
    """Masks secrets (`decoding.document_redaction`)."""

    def reason(self, text: str) -> str:
        """At most `MAX_REASON` characters."""

    def code(self, sql: str) -> tuple[str | None, str | None]:
        """The SQL, or None and the reason."""

    def name(self, text: str) -> str:
        """The name of a table that dbt does not know: at most `MAX_NAME` characters."""


def malformed_columns(error: Exception, label: str, image: str) -> ColumnsError:
    """The error for users; `label` names the commit, `image` the runner image."""
    reason = f"the runner image {image} wrote a document that is not one of columns ({error})"
    next_step = "The operator can check the image with `python -m app doctor`, or rebuild it."
    return ColumnsError(f"reading the columns of {label}", reason, next_step)


def head_of(document: bytes | mmap) -> DocumentHead:
    """The first line of a document. Raises MalformedColumnsError."""
    number, line = next(_lines(document), (1, b""))
    head = _decoded(_HEAD, line, number)
    if head.version != FORMAT:
        message = f"line 1: it is of version {head.version}, not {FORMAT}"
        raise MalformedColumnsError(message)
    return head


def nodes_of(document: bytes | mmap, known: Collection[str], redaction: TextRedaction) -> Iterator[NodeColumns]:
    """The nodes of a document in its order, with what is not `known` (unique_ids of a lineage) left out. Raises MalformedColumnsError."""
    left = set(known)
    for number, line in _lines(document):
        if number == 1:
            continue
        found = _decoded(_LINE, line, number)
        found = without_placeholders(found) if has_placeholders(line) else found
        unique_id = storable(found.unique_id)
        if unique_id in left:
            left.discard(unique_id)
            yield _storable(unique_id, found, known, redaction)
        elif unique_id in known:
            message = f"line {number}: {unique_id} is there twice"
            raise MalformedColumnsError(message)


def _storable(unique_id: str, found: ColumnsLine, known: Collection[str], redaction: TextRedaction) -> NodeColumns:
    edges = tuple(edge for edge in found.edges if storable(edge.upstream) in known)
    code, no_code = (None, None) if found.compiled_code is None else redaction.code(storable(found.compiled_code))
    content = ColumnContent(
        reason=_redacted(found.reason, redaction),
        columns=found.columns,
        open=found.open,
        edges=edges,
        hard_coded=tuple(redaction.name(name) for name in found.hard_coded),
        compiled_reason=no_code or _redacted(found.compiled_reason, redaction),
        rendered=found.rendered,
        sql=found.sql,
        rows=found.rows,
        missing=found.missing,
        uneven=found.uneven,
    )
    text = without_nul(msgspec.json.encode(content))
    return NodeColumns(unique_id, found.status, text, None if code is None else code.encode(), found.reused, len(edges))


def _redacted(reason: str | None, redaction: TextRedaction) -> str | None:
    return None if reason is None else redaction.reason(reason)


def _lines(document: bytes | mmap) -> Iterator[tuple[int, bytes]]:
    """The lines and their numbers from 1."""
    number, start, size = 0, 0, len(document)
    while start < size:
        number += 1
        end = document.find(b"\n", start)
        end = size if end < 0 else end
        if end - start > MAX_LINE:
            message = f"line {number}: it is longer than {MAX_LINE >> 20} MiB"
            raise MalformedColumnsError(message)
        yield number, document[start:end]
        start = end + 1


def _decoded(decoder: msgspec.json.Decoder[T], line: bytes, number: int) -> T:
    try:
        return decoder.decode(line)
    except DECODE_ERRORS as error:
        message = f"line {number}: {error}"
        raise MalformedColumnsError(message[:1000]) from error

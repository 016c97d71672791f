"""Rows for PostgreSQL's COPY in a file: written by the decoding process, read by the service, which never has all of them in memory.

The file contains the rows, their hashes, where each row begins and ends (8 bytes each), and a summary as JSON.
"""

from __future__ import annotations

import os
import weakref
from array import array
from collections.abc import Iterable, Iterator
from typing import IO

import msgspec

from app.lineage import copy_format
from app.lineage.nodes import HASH_BYTES, HASH_IN_ROW

PLACE_BYTES = 16


class Sizes(msgspec.Struct, frozen=True):
    """The sizes of the file's parts: bytes of all rows, number of nodes, bytes of the summary."""

    rows: int
    nodes: int
    summary: int


class RowWriter:
    """Writes such a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._written = 0
        self._places: list[tuple[str, bytes, int, int]] = []

    def add(self, unique_id: str, row: bytes) -> None:
        """Write the row of a node, which begins with its hash."""
        self._file.write(row)
        end = self._written + len(row)
        self._places.append((unique_id, row[HASH_IN_ROW], self._written, end))
        self._written = end

    def finish(self, summary: msgspec.Struct) -> Sizes:
        """Write the rest, with the nodes sorted by unique_id."""
        self._places.sort()
        text = msgspec.json.encode(summary)
        self._file.write(b"".join(place[1] for place in self._places))
        self._file.write(array("Q", (edge for place in self._places for edge in place[2:])))
        self._file.write(text)
        self._file.flush()
        return Sizes(self._written, len(self._places), len(text))


class SpooledRows:
    """The file that a `RowWriter` wrote. It owns and closes the file."""

    def __init__(self, file: IO[bytes], sizes: Sizes) -> None:
        self._file = file
        # Not `__del__`: an extraction that is cancelled leaves a reference cycle, in which the file could be collected first.
        self.close = weakref.finalize(self, file.close)
        """Frees the disk space; so does being collected."""
        self.node_count = sizes.nodes
        after_hashes = sizes.rows + HASH_BYTES * sizes.nodes
        after_places = after_hashes + PLACE_BYTES * sizes.nodes
        self.hashes = self.part(sizes.rows, after_hashes)
        self._places = array("Q", self.part(after_hashes, after_places))
        self.summary = self.part(after_places, after_places + sizes.summary)

    def rows(self, places: Iterable[int], before: bytes) -> Iterator[bytes]:
        """The rows with these indexes, each with the prefix `before`, in chunks."""
        return copy_format.chunks((self.part(*self.place(place)) for place in places), before)

    def unique_ids(self) -> frozenset[str]:
        """The unique_ids of all nodes: the second column of each row."""
        return frozenset(self._unique_id(place) for place in range(self.node_count))

    def place(self, place: int) -> tuple[int, int]:
        """Where the row with this index begins and ends."""
        return self._places[2 * place], self._places[2 * place + 1]

    def part(self, begin: int, end: int) -> bytes:
        """These bytes of the file."""
        return os.pread(self._file.fileno(), end - begin, begin)

    def _unique_id(self, place: int) -> str:
        begin = self.place(place)[0] + HASH_IN_ROW.stop
        length = copy_format.length(self.part(begin, begin + copy_format.LENGTH_BYTES))
        begin += copy_format.LENGTH_BYTES
        return self.part(begin, begin + length).decode()

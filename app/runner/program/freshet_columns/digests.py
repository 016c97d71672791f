"""Digests: short texts that are equal only where a column is made of the same, or where the same decides which rows there are.

Inside the engine a digest is one of three kinds of text. A leaf (`LEAF`) is a column of a table of dbt's graph, or of a hard-coded one.
The others are hashes: precise ones (`PRECISE`), and doubtful ones (`DOUBT`), which may differ although nothing has changed: where a name
may mean several columns, or where a text stands in place of what it means. Whatever contains a doubtful one is doubtful.
Outside, all are hashes (`shown`).
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterable

from freshet_columns.model import Analysis

GENERATION = "1"
"""Of the rules. Digests of different generations say nothing about each other: raise it with every change of what is equal to what."""
LEAF, PRECISE, DOUBT = ".", "=", "~"
SIZE = 8
"""Bytes."""


def _hashed(text: str) -> str:
    return urlsafe_b64encode(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=SIZE).digest()).decode().rstrip("=")


def leaf(table: str, key: str) -> str:
    """The digest of a table's column."""
    return f"{LEAF}{table}\0{key}"


def made(parts: Iterable[str]) -> str:
    """The digest of something that consists of these parts: digests, and texts that begin with none of their marks."""
    text = "\0".join(parts)
    return (DOUBT if text[:1] == DOUBT or "\0" + DOUBT in text else PRECISE) + _hashed(text)


def doubtful(digest: str) -> str:
    """The same, but with the mark of doubt."""
    return digest if digest[:1] == DOUBT else DOUBT + _hashed(digest)


def shown(digest: str) -> str:
    """The form in documents: the generation and a hash, behind `DOUBT` where there is doubt."""
    if digest[:1] == DOUBT:
        return DOUBT + GENERATION + digest[1:]
    return GENERATION + (digest[1:] if digest[:1] == PRECISE else _hashed(digest))


def doubted(found: Analysis, *beside: str) -> Analysis:
    """An analysis with the mark of doubt on all of its digests; `beside`: texts that are part of them too."""
    texts = "".join(f"\0{text}" for text in beside)

    def changed(digest: str | None) -> str | None:
        return None if digest is None else DOUBT + GENERATION + _hashed(digest + texts)

    columns = tuple(column._replace(value=changed(column.value)) for column in found.columns)
    return found._replace(columns=columns, sql=changed(found.sql), rows=changed(found.rows))


def marked(digest: str, mark: str) -> str:
    """The digest of a column of another reading of the same tables, as in a join of a table with itself; no `mark`: the first one."""
    if not mark:
        return digest
    if digest[:1] == LEAF:
        return LEAF + _hashed(digest + mark)
    return made((digest, mark))


def either(digests: list[str]) -> str:
    """One of these, which is not known."""
    return digests[0] if len(set(digests)) == 1 else doubtful(made(("either", *sorted(digests))))


def united(digests: list[str]) -> str:
    """A column of a union, by its branches in order."""
    return digests[0] if len(set(digests)) == 1 else made(("union", *digests))

"""Digests: short texts that are equal only where a column is made of the same, or where the same decides which rows there are.

Inside the engine a digest is one of four kinds of text. A leaf (`LEAF`) is a column of a table of dbt's graph, or of a hard-coded one. A
short expression is its own canonical text, in prefix notation (see `canonical`). A longer one is a hash of that (`HASH`). Doubtful ones
(`DOUBT`) may differ although nothing has changed: where a name may mean several columns, or where a text stands in place of what it means.
Whatever contains a doubtful one is doubtful. Outside, all are hashes (`shown`).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from freshet_columns.model import Analysis

GENERATION = "4"
"""Of the rules. Digests of different generations say nothing about each other: raise it with every change of what is equal to what."""
LEAF, HASH, DOUBT = ".", "=", "~"
SIZE = 8
"""Bytes."""
SHORT = 160
"""Characters of an expression that is its own digest."""


class Origin(NamedTuple):
    """What a relation is made of.

    `rows`: what decides which rows there are. `columns`: the list of columns as the SQL has it, in which a star is a star. `tables`: bit
    set of what is read (see `Run.bit`). `marks`: the highest mark of a repeated reading (see `Scope.add`). `mark`: that of columns that
    are not known. `ordered`: the rows have an order that is not part of `rows`, but that readers may notice.
    """

    rows: str
    columns: str
    tables: int = 0
    marks: int = 0
    mark: str = ""
    ordered: bool = False


def hashed(text: str) -> str:
    """A short hash."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=SIZE).hexdigest()


def joined(parts: list[str]) -> str:
    """The digest of a text in prefix notation; of one part, that itself."""
    return parts[0] if len(parts) == 1 else _digest_of("\0".join(parts))


def _digest_of(text: str) -> str:
    if DOUBT in text and (text[0] == DOUBT or "\0" + DOUBT in text):
        return DOUBT + hashed(text)
    return text if len(text) <= SHORT else HASH + hashed(text)


def made(what: str, *parts: str) -> str:
    """The digest of something that consists of these parts: digests, and texts that begin with none of their marks."""
    return _digest_of("\0".join((f"!{what}{len(parts)}", *parts)))


def leaf(table: str, key: str) -> str:
    """The digest of a table's column."""
    return f"{LEAF}{table}\1{key}"


def text(written: str) -> str:
    """A text as a part of others."""
    return f"'{written}" if "\0" not in written else f"'{hashed(written)}"


def doubtful(digest: str) -> str:
    """The same, but with the mark of doubt."""
    return digest if digest[:1] == DOUBT else DOUBT + hashed(digest)


def shown(digest: str) -> str:
    """The form in documents: the generation and a hash, behind `DOUBT` where there is doubt."""
    if digest[:1] == DOUBT:
        return DOUBT + GENERATION + digest[1:]
    return GENERATION + (digest[1:] if digest[:1] == HASH else hashed(digest))


def marked(digest: str, mark: str) -> str:
    """The digest of a column of another reading of the same tables, as in a join of a table with itself; no `mark`: the first one."""
    if not mark:
        return digest
    if digest[:1] == LEAF:
        return LEAF + hashed(digest + mark)
    return made("mark", mark, digest)


def nullable(digest: str) -> str:
    """The digest of a column that is NULL where an outer join finds no row. Of a leaf that is said by the rows, and by nothing else."""
    return digest if digest[:1] == LEAF else made("nullable", digest)


def either(digests: list[str]) -> str:
    """One of these, which is not known."""
    return digests[0] if len(set(digests)) == 1 else doubtful(made("either", *sorted(digests)))


def united(digests: list[str]) -> str:
    """A column of a union, by its branches in order."""
    return digests[0] if len(set(digests)) == 1 else made("union", *digests)


def doubted(found: Analysis, *beside: str) -> Analysis:
    """An analysis with the mark of doubt on all of its digests; `beside`: texts that are part of them too."""
    texts = "".join(f"\0{one}" for one in beside)

    def changed(digest: str | None) -> str | None:
        return None if digest is None else DOUBT + GENERATION + hashed(digest + texts)

    columns = tuple(column._replace(value=changed(column.value)) for column in found.columns)
    return found._replace(columns=columns, sql=changed(found.sql), rows=changed(found.rows))


def alike(origins: list[Origin], rows: str, columns: str) -> Origin:
    """The origin of several relations that become one, as in a union."""
    tables = 0
    for origin in origins:
        tables |= origin.tables
    seen = {origin.mark for origin in origins}
    mark = seen.pop() if len(seen) == 1 else made("marks", *(origin.mark for origin in origins))
    return Origin(rows, columns, tables, max(origin.marks for origin in origins), mark, any(origin.ordered for origin in origins))

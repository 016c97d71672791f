"""How the columns and the SQL of one node differ between its two versions, from what is stored of them alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.lineage.column_digests import compare
from app.lineage.column_document import FoundColumn
from app.lineage.impact.types import same_type
from app.lineage.impact.versions import ImpactPair, ImpactVersion, Traced, folded, traced_of

KNOWN = ("exact", "approximate")
"""Statuses of which columns are worth comparing."""


@dataclass(frozen=True, slots=True)
class PlacedColumn:
    """A column that only one version has, and its place there."""

    name: str
    place: int
    value: str | None


@dataclass(frozen=True, slots=True)
class TypeChange:
    """A column of another type. None: the SQL does not say."""

    name: str
    base: str | None
    head: str | None


@dataclass(slots=True)
class Delta:
    """The differences of one node that exists at both commits. Lists are in the order of the SQL."""

    unique_id: str
    base_id: str
    """Its unique_id at the base: another one if it was renamed."""
    same_sql: bool
    """Its own SQL is the same; all differences come from what it reads."""
    same_code: bool
    """The code as the project has it is the same."""
    raw: tuple[str, str] | None = None
    """That code of both versions, if it differs and there is not too much of it in all."""
    names_run: bool = False
    """Whether the project's code names times or ids of the run."""
    digests: bool = False
    """Whether both versions have digests: without them, other SQL may do anything."""
    columns: bool = False
    """Whether the columns of both versions are known. If not, the lists are empty."""
    precise: bool = False
    """Whether both versions are rendered in full and exact."""
    full: bool = False
    """Whether both versions are rendered in full."""
    was_exact: bool = False
    """Whether the columns of the base are exact, so that its SQL misses none. SQL that misses one is never exact."""
    base_open: bool = False
    head_open: bool = False
    removed: list[PlacedColumn] = field(default_factory=list)
    added: list[PlacedColumn] = field(default_factory=list)
    retyped: list[TypeChange] = field(default_factory=list)
    promised: list[TypeChange] = field(default_factory=list)
    """Types in enforced contracts, whatever the SQL says."""
    values: list[tuple[str, bool]] = field(default_factory=list)
    """Columns of both versions whose digests differ, and whether these are precise."""
    unknown: list[str] = field(default_factory=list)
    """Columns of both versions that have no digest in one of them."""
    reordered: bool = False
    rows: bool = False
    """Whether the digests of rows differ."""
    precise_rows: bool = False
    unknown_rows: bool = False
    missing: tuple[str, ...] = ()
    """Columns that only the SQL of the head misses."""
    uneven: bool = False
    """Whether columns that meet by position are not as many as they have to be, only at the head."""
    is_quiet: bool = False
    """Whether neither values nor rows can differ: there is no SQL, or it only follows other names."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing can follow from it. Without digests, nobody has looked for missing columns."""
        if self.columns and not self.digests:
            return False
        lists = self.removed or self.added or self.retyped or self.promised or self.values or self.missing or self.uneven
        return self.same_sql and not (lists or self.rows or self.reordered)


def delta_of(pair: ImpactPair, *, is_compiled: bool) -> Delta | None:
    """The differences of a node that is in both lineages and that SQL, Python or a file makes.

    `is_compiled`: what is stored of its columns was made of its compiled SQL, so it says whether that is the same.
    """
    base, head = pair.base, pair.head
    if base is None or head is None:
        return None
    same_code = base.sql_hash == head.sql_hash and base.sql_hash is not None
    if pair.same_columns:
        return Delta(head.unique_id, base.unique_id, same_sql=is_compiled or same_code, same_code=same_code)
    before, after = traced_of(base), traced_of(head)
    found = Delta(head.unique_id, base.unique_id, _same_sql(base, head, before, after), same_code)
    if head.unique_id.startswith("seed."):
        # Its file is its own, and says with its checksum whether rows differ.
        found.same_sql, found.is_quiet = False, True
    if before is not None and after is not None:
        found.full = "without_execute" not in {before.rendered, after.rendered}
        found.was_exact = base.status == "exact"
        found.precise = found.full and base.status == head.status == "exact"
        found.digests = compare(before.sql, after.sql) != "unknown"
        missed = set(map(folded, before.missing))
        found.missing = tuple(name for name in after.missing if folded(name) not in missed)
        found.uneven = after.uneven and not before.uneven
        if base.status in KNOWN and head.status in KNOWN:
            _compare(found, before, after)
    return found


def new_missing(head: ImpactVersion | None) -> tuple[str, ...]:
    """The columns that the SQL of a node misses which is only in the head."""
    traced = traced_of(head)
    return () if traced is None else traced.missing


def _same_sql(base: ImpactVersion, head: ImpactVersion, before: Traced | None, after: Traced | None) -> bool:
    sql = compare(before.sql if before else None, after.sql if after else None)
    if sql == "same":
        return True
    if base.code_hash is not None and head.code_hash is not None:
        return base.code_hash == head.code_hash
    # Without compiled code on one side, the code of the project is all that both have.
    return sql == "unknown" and base.sql_hash == head.sql_hash


def _compare(found: Delta, before: Traced, after: Traced) -> None:
    old, new = _by_key(before.columns, after.columns), _by_key(after.columns, before.columns)
    found.columns, found.base_open, found.head_open = True, before.open, after.open
    found.removed = [PlacedColumn(one.name, place, one.value) for key, (place, one) in old.items() if key not in new]
    found.added = [PlacedColumn(one.name, place, one.value) for key, (place, one) in new.items() if key not in old]
    both = [(one, new[key][1]) for key, (_, one) in old.items() if key in new]
    for one, other in both:
        if not same_type(one.type, other.type):
            found.retyped.append(TypeChange(one.name, one.type, other.type))
        value = compare(one.value, other.value)
        if value == "unknown":
            found.unknown.append(one.name)
        elif value != "same":
            found.values.append((one.name, value == "different"))
    if not before.open and not after.open:
        found.reordered = [key for key in old if key in new] != [key for key in new if key in old]
    rows = compare(before.rows, after.rows)
    found.unknown_rows, found.precise_rows = rows == "unknown", rows == "different"
    found.rows = rows in {"perhaps", "different"}


def _by_key(columns: Sequence[FoundColumn], others: Sequence[FoundColumn]) -> Mapping[str, tuple[int, FoundColumn]]:
    """Columns by name, whose case is ignored unless two columns of a version differ in nothing else."""
    ambiguous = {key for each in (columns, others) for key, number in Counter(folded(one.name) for one in each).items() if number > 1}
    found: dict[str, tuple[int, FoundColumn]] = {}
    for place, one in enumerate(columns):
        key = folded(one.name)
        found.setdefault(one.name if key in ambiguous else key, (place, one))
    return found

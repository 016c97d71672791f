"""The items of a FROM clause as the other clauses of a query see them."""

from __future__ import annotations

from freshet_columns import digests
from freshet_columns.relations import Field, Relation
from freshet_columns.run import Run

PSEUDO = frozenset(
    """
    current_date current_timestamp sysdate systimestamp current_time localtime localtimestamp current_user user session_user
    rownum current_role getdate level rowid ctid xmin xmax tableoid oid _partitiontime _partitiondate _table_suffix _file_name
    _file_path _metadata _part _part_index _partition_id _sample_factor _table _database filename file_row_number
    metadata$filename metadata$file_row_number metadata$action metadata$isupdate metadata$row_id sequence nextval _change_type
    _commit_version _commit_timestamp _block_number connect_by_isleaf input_file_name default
    """.split()  # noqa: SIM905
)
"""Names that every table has, or that are no columns at all: they carry no lineage."""


class Source:
    """One item of a FROM clause: `path` holds the keys of its name's parts, the table's last.

    `mark`: which reading of the same tables it is, if an item before it reads some of them; `nullable`: an outer join may find no row.
    """

    __slots__ = ("_seen", "alias", "mark", "nullable", "path", "relation", "run")

    def __init__(self, alias: str, relation: Relation, run: Run, path: tuple[str, ...] = ()) -> None:
        self.alias = alias
        self.relation = relation
        self.run = run
        self.path = path
        self.mark = ""
        self.nullable = False
        self._seen: dict[int, tuple[Field, Field]] = {}

    def seen(self, field: Field) -> Field:
        """A column of the relation, as a column of this item."""
        if not self.mark and not self.nullable:
            return field
        known = self._seen.get(id(field))
        if known is None:
            known = self._seen[id(field)] = (field, field.digested(self._seen_digest))
        return known[1]

    def fields(self) -> list[Field]:
        """All known columns."""
        if not self.mark and not self.nullable:
            return self.relation.fields
        return [self.seen(field) for field in self.relation.fields]

    def may_be_null(self) -> None:
        """There may be no row of it."""
        if not self.nullable:
            self.nullable = True
            self._seen = {}

    def columns_digest(self) -> str:
        """The digest of its list of columns."""
        return self._seen_digest(self.run.origin(self.relation).columns)

    def _seen_digest(self, digest: str) -> str:
        digest = digests.marked(digest, self.mark)
        return digests.nullable(digest) if self.nullable else digest

"""The names of tables and views, with where they come from. A name that was made of something unknown is none.

dbt builds a name of the database and the schema of the target and of what the project says. What is unknown has a recognizable text in its
place (`core/models/warehouse`), which stays recognizable in every name that a macro builds of it.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from app.core.models.warehouse import TOKEN, GivenName, WarehouseNames, is_known
from app.lineage.manifest import Resource

RelationNameSource = Literal["profile", "settings", "project", "placeholder"]
_WITH_TEXT = {str, list, dict}
_INVENTED = re.compile(rf"{TOKEN}\w*", re.IGNORECASE)
_WORD = rf"(?<![\w$-])(?>[\w$-]*?{TOKEN}[\w$-]*)"
_PART = rf"""(?:"{_WORD}"|`{_WORD}`|\[{_WORD}\]|(?<!['"\[]){_WORD})\."""
_QUALIFIER = re.compile(rf"""(?<!\.)(?>(?:{_PART})+)(?=[\w"`\[$])""", re.IGNORECASE)
"""The unknown database and schema at the start of a name, with their dots. The text after a single quotation mark is no name."""
_IN_SQL = re.compile(_WORD, re.IGNORECASE)


def relation_name(resource: Resource, names: WarehouseNames) -> tuple[str | None, RelationNameSource | None]:
    """The name of a table or view as dbt quotes it, and where it comes from; None and None for what is no table or view."""
    if not resource.relation_name:
        return None, None
    if not is_known(resource.relation_name):
        return None, "placeholder"
    used = {name.source for name, own in ((names.database, resource.database), (names.schema, resource.schema)) if name and _has(own, name)}
    sources: tuple[Literal["settings", "profile"], ...] = ("settings", "profile")
    return resource.relation_name, next((source for source in sources if source in used), "project")


def known(value: Any) -> Any:
    """A value of the project, with null for every text in it that was made of something unknown."""
    if isinstance(value, str):
        return value if is_known(value) else None
    # Nothing is unknown in what is empty, which is most of what a node has.
    if isinstance(value, list):
        return [known(item) if item and type(item) in _WITH_TEXT else item for item in value]
    if isinstance(value, dict):
        return {key: known(item) if item and type(item) in _WITH_TEXT else item for key, item in value.items()}
    return value


def readable(text: str) -> str:
    """A text for people, with `…` for what is unknown in it."""
    return text if is_known(text) else _INVENTED.sub("\N{HORIZONTAL ELLIPSIS}", text)


def readable_sql(code: str) -> str:
    r"""SQL without the unknown databases and schemas before names, and with `…` for everything else that is unknown.

    >>> readable_sql('select * from "freshetunknown_database"."sales"."orders" where at = \'freshetunknown_env\'')
    'select * from "sales"."orders" where at = \'…\''
    """
    return code if is_known(code) else _IN_SQL.sub("\N{HORIZONTAL ELLIPSIS}", _QUALIFIER.sub("", code))


def readable_table(name: str) -> str | None:
    """The known end of a table's name, of parts with dots between them; None if the table itself is unknown.

    >>> readable_table("freshetunknown_database.crm.accounts"), readable_table("crm.freshetunknown_table")
    ('crm.accounts', None)
    """
    if is_known(name):
        return name
    parts = name.split(".")
    last = max(number for number, part in enumerate(parts) if not is_known(part))
    return ".".join(parts[last + 1 :]) or None


def _has(own: str | None, name: GivenName) -> bool:
    """Whether a name is another one, or has it among its words: macros often put `_` and a schema of the project after the target's."""
    return own is not None and f"_{name.text}_".casefold() in f"_{own}_".casefold()

"""Macros of dbt and dbt_utils whose own text would make too little of what is known without a warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshet_render_answers import Answers

STAR = ("from", "relation_alias", "except", "prefix", "suffix", "quote_identifiers", "unquote_aliases", "rename")
"""The parameters: https://github.com/dbt-labs/dbt-utils/blob/main/macros/sql/star.sql"""
RENAMES = ("prefix", "suffix", "rename")
STAR_MACRO = "macro.dbt_utils.default__star"


def _columns(answers: Answers, _usual: Callable, arguments: tuple, more: dict) -> list:
    return answers.columns(*arguments, **more)


def _star(answers: Answers, usual: Callable, arguments: tuple, more: dict) -> Any:
    """A list of the known columns would leave out the others, which `*` does not."""
    given = {**dict(zip(STAR, arguments, strict=False)), **more}
    if any(given.get(name) for name in RENAMES) or not answers.is_open(given.get("from")):
        return usual()
    answers.notes.macros.add(STAR_MACRO)
    excluded = [exp.to_identifier(str(name)) for name in given.get("except") or ()]
    star = exp.Star(**({"except_": excluded} if excluded else {})).sql(answers.dialect)
    return f"{given['relation_alias']}.{star}" if given.get("relation_alias") else star


def _values(_answers: Answers, usual: Callable, _arguments: tuple, _more: dict) -> Any:
    """While dbt parses it answers with a list, and who calls it relies on that."""
    found = usual()
    return [] if found is None else found


OWN = {
    "macro.dbt.get_columns_in_relation": _columns,
    "macro.dbt_utils.get_column_values": _values,
    STAR_MACRO: _star,
}
"""By unique_id, what is called in the place of a macro: with the answers, the macro itself, and its arguments."""

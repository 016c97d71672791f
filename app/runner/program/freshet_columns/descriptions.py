"""The digests of the columns of a projection: an expression's own, and that without its outermost cast."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns import canonical, digests
from freshet_columns.relations import Field
from freshet_columns.scopes import Scope

_OF_CAST = frozenset(("this", "to"))


def described(field: Field, expression: Any, scope: Scope) -> Field:
    """The field, with the digests of the expression that makes it."""
    try:
        _describe(field, expression, scope)
    except Exception:  # noqa: BLE001 - there are no digests then, but the rest is there
        scope.run.broken = True
        field.digest = canonical.BROKEN
    return field


def _describe(field: Field, expression: Any, scope: Scope) -> None:
    while isinstance(expression, (exp.Paren, exp.Alias)):
        expression = expression.this
    is_cast = type(expression) in (exp.Cast, exp.TryCast) and not _says_more(expression)
    writer = canonical.Writer(expression.this if is_cast else expression, scope, scope.run.folding)
    parts = writer.run()
    if is_cast:
        inside = digests.joined(parts)
        field.bare = inside if type(expression) is exp.Cast else digests.made("tried", inside)
        parts = [*_head(expression), *parts, *canonical.Writer(expression.args["to"], scope, scope.run.folding).run()]
    field.digest = digests.joined(parts)
    field.looks = writer.looks
    if writer.expands:
        scope.expanding.append(field)


def _says_more(cast: Any) -> bool:
    """Whether a cast has a format and the like."""
    return len(cast.args) > len(_OF_CAST) and any(isinstance(value, exp.Expr) for name, value in cast.args.items() if name not in _OF_CAST)


def _head(cast: Any) -> list[str]:
    """How a cast begins, as within another expression. Of TRY_CAST, that it may give NULL is part of the value."""
    return [
        type(cast).__name__ + "".join("." + name if name in _OF_CAST else f".{name}={value}" for name, value in cast.args.items() if value)
    ]

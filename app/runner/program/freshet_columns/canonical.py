"""Expressions in canonical form: a text in prefix notation that has what a column means in place of its name.

Parentheses, comments, the case of keywords and of names without quotation marks, and names of tables are not part of it; conditions joined
by AND or OR are sorted. The walk keeps its own stack. It comes after `expressions.dependences`, which has found out what the names mean
(`Scope.resolved`); a name that it did not look at is a text (`LOOSE`), or puts the text of the whole query in the place of the expression.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from freshet_columns import digests
from freshet_columns.names import Folding
from freshet_columns.scopes import Scope

AGGREGATE, WINDOW, MAYBE_AGGREGATE, ORDER = 1, 2, 4, 8
"""What an expression looks at besides its own row: the rows of a group, those of a window, perhaps those of a group; and their order."""
RESOLVED, LOOSE, WRITTEN = 0, 1, 2
"""What is written of a name: what it means; the same, but the name where its meaning was not looked up; always the name."""
BROKEN = digests.DOUBT
"""The digest where making one has failed."""


class Writer:
    """One expression on its way."""

    __slots__ = ("expands", "folding", "looks", "names", "out", "scope", "stack", "windowed")

    def __init__(self, node: Any, scope: Scope | None, folding: Folding, *, names: int = RESOLVED) -> None:
        self.scope = scope
        self.folding = folding
        self.names = names
        self.stack: list[Any] = [node]
        self.out: list[str] = []
        self.looks = 0
        self.expands = False
        """Whether it makes several rows of one."""
        self.windowed: list[int] = []
        """Functions that stand in front of OVER, so that they are no aggregates."""

    def run(self) -> list[str]:
        """Write all that is on the stack."""
        stack = self.stack
        while stack:
            node = stack.pop()
            handler = _HANDLERS.get(type(node))
            if handler is None:
                handler = _handler_of(type(node))
            handler(self, node)
        return self.out

    def unknown(self) -> None:
        """Put the whole query in this place."""
        self.out.append(self.scope.run.statement() if self.scope is not None else "?")


Handler = Callable[[Writer, Any], None]
_HANDLERS: dict[type, Handler] = {}
_FAMILIES: list[tuple[type, Handler]] = []


def writes(*kinds: type) -> Callable[[Handler], Handler]:
    """Register the handler of some kinds of nodes."""

    def register(handler: Handler) -> Handler:
        _HANDLERS.update(dict.fromkeys(kinds, handler))
        return handler

    return register


def writes_all(base: type) -> Callable[[Handler], Handler]:
    """Register the handler of all kinds of a class that have none of their own."""

    def register(handler: Handler) -> Handler:
        _FAMILIES.append((base, handler))
        return handler

    return register


def digest(node: Any, scope: Scope, *, names: int = RESOLVED) -> str:
    """The digest of an expression whose columns were looked up."""
    try:
        if names != WRITTEN and type(node) is exp.Column and type(node.this) is exp.Identifier:
            args = node.args
            first = args.get("catalog") or args.get("db") or args.get("table") or args["this"]
            known = scope.resolved.get(id(first))
            if known is not None and known[1] is not None and known[1].digest is not None:
                return known[1].digest
        return digests.joined(Writer(node, scope, scope.run.folding, names=names).run())
    except Exception:  # noqa: BLE001 - there are no digests then, but the rest is there
        scope.run.broken = True
        return BROKEN


def plain(node: Any, folding: Folding) -> str:
    """The digest of a text, without knowing what its names mean."""
    return digests.joined(Writer(node, None, folding).run())


def others(node: Any, scope: Scope, known: frozenset[str]) -> list[str]:
    """The digests of all clauses of a node, but for these."""
    found = []
    for name, value in node.args.items():
        if value and name not in known:
            items = value if isinstance(value, list) else [value]
            found.append(digests.made(name, *(digest(item, scope, names=LOOSE) for item in items)))
    return sorted(found)


# What is written of each kind of node


def generic(writer: Writer, node: Any) -> None:
    """The name of the kind and of its parts, then the parts."""
    head = type(node).__name__
    parts: list[Any] = []
    for name, value in node.args.items():
        if isinstance(value, exp.Expr):
            head += "." + name
            parts.append(value)
        elif value.__class__ is list:
            if value:
                head += f".{name}{len(value)}"
                parts += value
        elif value:
            head += f".{name}={_argument(value)}"
    writer.out.append(head)
    parts.reverse()
    writer.stack += parts


def _argument(value: Any) -> str:
    written = str(getattr(value, "value", value))
    return written if "\0" not in written else digests.hashed(written)


def _value(writer: Writer, value: Any) -> None:
    writer.out.append(digests.text(_argument(value)))


def _folded(writer: Writer, node: Any) -> None:
    """Keywords that sqlglot keeps as they were written."""
    words = [str(value).upper() for value in node.args.values() if isinstance(value, str)]
    writer.out.append(digests.text(" ".join([type(node).__name__, *words])))
    writer.stack += [value for value in reversed(list(node.args.values())) if isinstance(value, exp.Expr)]


def _inside(writer: Writer, node: Any) -> None:
    writer.stack.append(node.this)


def _literal(writer: Writer, node: Any) -> None:
    writer.out.append(digests.text(node.this) if node.is_string else f"#{node.this}")


def _identifier(writer: Writer, node: Any) -> None:
    writer.out.append("`" + digests.text(writer.folding.of(node)))


def _var(writer: Writer, node: Any) -> None:
    writer.out.append(digests.text(str(node.this).upper()))


def _type(writer: Writer, node: Any) -> None:
    kind = node.this
    if node.expressions or node.args.get("kind") or isinstance(kind, exp.Expr):
        generic(writer, node)
    else:
        writer.out.append(f"type {_argument(kind)}")


def _sorted(writer: Writer, node: Any) -> None:
    """Conditions joined by AND or OR, whatever their order and parentheses."""
    kind = type(node)
    conditions: list[Any] = []
    waiting = [node]
    while waiting:
        one = waiting.pop()
        while isinstance(one, exp.Paren):
            one = one.this
        if type(one) is kind:
            waiting += [one.expression, one.this]
        else:
            conditions.append(one)
    _in_any_order(writer, f"{kind.__name__}{len(conditions)}", conditions)


def in_list(writer: Writer, node: Any) -> None:
    """A value in a list, whatever the order of that."""
    values = node.args.get("expressions")
    if not values or any(value for name, value in node.args.items() if name not in ("this", "expressions")):
        generic(writer, node)
        return
    writer.stack.append(node.this)
    _in_any_order(writer, f"InList{len(values)}", values)


def _in_any_order(writer: Writer, head: str, parts: list[Any]) -> None:
    """Write the head, and then each part."""
    end = _End(head, writer.out, [])
    writer.out = []
    writer.stack.append(end)
    for one in parts:
        writer.stack += [_Next(end), one]


class _End:
    """All parts are written."""

    __slots__ = ("before", "conditions", "head")

    def __init__(self, head: str, before: list[str], conditions: list[str]) -> None:
        self.head, self.before, self.conditions = head, before, conditions


class _Next:
    """A part is written."""

    __slots__ = ("end",)

    def __init__(self, end: _End) -> None:
        self.end = end


def _next(writer: Writer, mark: _Next) -> None:
    mark.end.conditions.append(digests.joined(writer.out))
    writer.out = []


def _end(writer: Writer, mark: _End) -> None:
    writer.out = [*mark.before, mark.head, *sorted(mark.conditions)]


_EXACT_TYPES: dict[type, Handler] = {
    exp.Paren: _inside,
    exp.Literal: _literal,
    exp.Identifier: _identifier,
    exp.Var: _var,
    exp.DataType: _type,
    exp.WindowSpec: _folded,
    exp.And: _sorted,
    exp.Or: _sorted,
    _Next: _next,
    _End: _end,
}
_HANDLERS.update(_EXACT_TYPES)


def _handler_of(kind: type) -> Handler:
    if not issubclass(kind, exp.Expr):
        handler: Handler = _value
    else:
        handler = next((found for base, found in _FAMILIES if issubclass(kind, base)), generic)
    _HANDLERS[kind] = handler
    return handler

"""What the rendering of a node has asked for: macros, and answers about the warehouse, some of them invented. Independent of dbt."""

from __future__ import annotations

HARMLESS = ("get_intervals_between",)
"""Macros that ask for rows to find out how many of their own to make: the columns do not depend on them. Of dbt and of dbt_utils."""
MAX_REASONS = 3


class Notes:
    """The notes of one node."""

    def __init__(self, package: str, internal: tuple) -> None:
        """`package`: the node's own. `internal`: names of packages that belong to dbt."""
        self.macros = set()  # type: set[str]
        """unique_ids of all macros that were called, at any depth."""
        self.asked = {}  # type: dict[tuple, str]
        """(`columns`, `relation`, `table` or `listed`, *names) → a short text about the answer."""
        self.reasons = []  # type: list[str]
        """What was invented, in sentences."""
        self.types = set()  # type: set[str]
        """Types that stand for unknown ones."""
        self.graph = False
        """Whether a macro looked at the whole graph."""
        self._package, self._internal = package, internal
        self._stack = []  # type: list[str]

    def enter(self, macro: str) -> None:
        """A macro is called."""
        self.macros.add(macro)
        self._stack.append(macro)

    def leave(self) -> None:
        """The last macro of `enter` has ended."""
        if self._stack:
            self._stack.pop()

    def ask(self, kind: str, names: tuple, answer: str) -> None:
        """Note an answer on which the text depends."""
        self.asked[(kind, *names)] = answer

    def invent(self, what: str, who: str | None = None) -> None:
        """Note that an answer is invented; `what` is the rest of a sentence that begins with the macro."""
        if any(_plain(macro) in HARMLESS for macro in self._stack):
            return
        sentence = f"{who or self.caller()} {what}."
        if sentence not in self.reasons and len(self.reasons) < MAX_REASONS:
            self.reasons.append(sentence)

    def including(self, other: Notes) -> Notes:
        """These notes, and those of another rendering of the same node."""
        self.macros |= other.macros
        self.asked.update(other.asked)
        self.reasons += [reason for reason in other.reasons if reason not in self.reasons]
        self.types |= other.types
        self.graph = self.graph or other.graph
        return self

    def caller(self) -> str:
        """The macro that asks: the innermost one that is not dbt's own."""
        for macro in reversed(self._stack):
            package = macro.split(".")[1]
            if package not in self._internal:
                return f"`{_plain(macro)}`" if package == self._package else f"`{package}.{_plain(macro)}`"
        return f"`{_plain(self._stack[0])}`" if self._stack else "The SQL file"


def _plain(macro: str) -> str:
    """A macro's name as it is called: without the prefix that dispatch adds.

    >>> _plain("macro.dbt_utils.default__star")
    'star'
    """
    name = macro.rsplit(".", maxsplit=1)[-1]
    prefix, separator, rest = name.partition("__")
    return rest if separator and prefix and rest else name

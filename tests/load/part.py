"""A part of the load: what it does, the rows that it adds to the table, and what must not be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What came of one run."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    """What was counted, and how often."""
    violations: list[str] = field(default_factory=list)

    def row(self, what: str, counted: object) -> None:
        """Add a row to the table."""
        self.rows.append((what, f"{counted:,}" if isinstance(counted, int) else str(counted)))

    def check(self, holds: object, says: str) -> None:
        """Add a violation, unless it holds."""
        if not holds:
            self.violations.append(says)


Run = Callable[[], Awaitable[Outcome]]

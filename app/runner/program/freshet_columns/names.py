"""Names of columns and tables: which spellings mean the same one in a dialect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot.dialects.dialect import Dialect, NormalizationStrategy

_FOLDS: dict[Any, Callable[[str, bool], str]] = {
    NormalizationStrategy.LOWERCASE: lambda name, quoted: name if quoted else name.lower(),
    NormalizationStrategy.UPPERCASE: lambda name, quoted: name if quoted else name.upper(),
    NormalizationStrategy.CASE_SENSITIVE: lambda name, _quoted: name,
    NormalizationStrategy.CASE_INSENSITIVE: lambda name, _quoted: name.lower(),
    NormalizationStrategy.CASE_INSENSITIVE_UPPERCASE: lambda name, _quoted: name.upper(),
}


class Folding:
    """The keys of identifiers: two identifiers with the same key are the same name."""

    def __init__(self, dialect: str) -> None:
        strategy = Dialect.get_or_raise(dialect).normalization_strategy
        self.key: Callable[[str, bool], str] = _FOLDS[strategy]
        self.sensitive = strategy is NormalizationStrategy.CASE_SENSITIVE

    def of(self, identifier: Any) -> str:
        """The key of an Identifier or of a node that has a name."""
        return self.key(identifier.name, bool(identifier.args.get("quoted")))

"""The Jinja in `packages.yml` and in paths: `env_var` and `var` with literal names. Nothing is executed; anything else is rejected."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.project.adapter_evidence import literal_or_default

_JINJA = re.compile(
    r"\{\{((?:[^}]|\}(?!\}))*+)\}\}|\{#(?:[^#]|#(?!\}))*+#\}|(\{%(?:[^%]|%(?!\}))*+%\})|(\{[{#%].*+)",  # the last is not closed
    re.DOTALL,
)
_QUOTED = r"""'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+\""""
_CALL = re.compile(
    rf"-?\s*+(env_var|var)\(\s*+({_QUOTED})\s*+"
    rf"(?:,\s*+(?:default\s*+=\s*+)?({_QUOTED}|-?\d++(?:\.\d++)?|[Tt]rue|[Ff]alse|[Nn]one)\s*+)?,?\s*+\)\s*+-?"
)
_USER = re.compile(r"(?<=://)(?:\{\{[^{}]*\}\}|[^/{@])*@")
MAX_LENGTH = 1024


class ExpressionError(ValueError):
    """An expression cannot be evaluated; `reason` says why and what to do."""

    def __init__(self, expression: str, reason: str) -> None:
        super().__init__(f"{expression}: {reason}")
        self.expression = expression
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Values:
    """The values of `env_var` and `var`."""

    environment: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)

    def evaluate(self, value: object) -> Any:
        """Evaluate the expressions in all texts of a YAML value. Raises ExpressionError."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self.evaluate(item) for item in value]
        if isinstance(value, dict):
            return {key: self.evaluate(item) for key, item in value.items()}
        return value

    def _text(self, text: str) -> Any:
        if "{" not in text:
            return text
        if len(text) > MAX_LENGTH:
            raise ExpressionError(text[:100], "it is too long")
        whole = _JINJA.fullmatch(text)
        if whole and whole[1]:
            return self._call(whole[0], whole[1])
        return _JINJA.sub(self._part, text)

    def _part(self, match: re.Match[str]) -> str:
        if match[3]:
            raise ExpressionError(match[3][:100], "it is not closed")
        if match[2]:
            raise ExpressionError(match[2], "statements are not evaluated: write the value itself")
        return "" if match[1] is None else str(self._call(match[0], match[1]))

    def _call(self, expression: str, inner: str) -> Any:
        call = _CALL.fullmatch(inner.strip())
        if call is None:
            raise ExpressionError(
                expression, "only `env_var('NAME')` and `var('name')`, with or without a default, are evaluated: write the value itself"
            )
        kind, name, default = call[1], ast.literal_eval(call[2]), call[3]
        values: Mapping[str, Any] = self.environment if kind == "env_var" else self.variables
        if name in values:
            return values[name]
        if default is None:
            where = "env" if kind == "env_var" else "vars"
            raise ExpressionError(expression, f"it has no value: set it under `{where}:` in `.github/freshet.yml`")
        return ast.literal_eval(default.capitalize() if default[0].isalpha() else default)


def resolved(value: object, values: Values) -> str | None:
    """A text with its expressions evaluated; None for anything else, and for expressions that only dbt can evaluate."""
    if not isinstance(value, str):
        return None
    try:
        text = values.evaluate(value)
    except ExpressionError:
        return literal_or_default(value)
    return text if isinstance(text, str) else None


def strip_credentials(address: str) -> str:
    """Remove the user name and password, which may be expressions: Freshet never uses credentials from an address.

    >>> without_user("https://{{ env_var('TOKEN') }}@github.com/octo/shop.git")
    'https://github.com/octo/shop.git'
    """
    return _USER.sub("", address, count=1)

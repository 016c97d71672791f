"""The Jinja that people write into `packages.yml`: `env_var` and `var` with literal names. Nothing is run; anything else is refused."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_JINJA = re.compile(r"\{\{(.*?)\}\}|\{#.*?#\}|(\{%.*?%\})", re.DOTALL)
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_CALL = re.compile(
    rf"-?\s*(env_var|var)\(\s*({_QUOTED})\s*(?:,\s*(?:default\s*=\s*)?({_QUOTED}|-?\d+(?:\.\d+)?|[Tt]rue|[Ff]alse|[Nn]one)\s*)?,?\s*\)\s*-?"
)
_USER = re.compile(r"(?<=://)(?:\{\{[^{}]*\}\}|[^/{@])*@")
MAX_LENGTH = 1024


class ExpressionError(ValueError):
    """An expression has no value here; `reason` says why and what to do."""

    def __init__(self, expression: str, reason: str) -> None:
        super().__init__(f"{expression}: {reason}")
        self.expression = expression
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Values:
    """What `env_var` and `var` answer."""

    environment: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)

    def of(self, value: object) -> Any:
        """Return a value of YAML with the expressions in its texts evaluated. Raises ExpressionError."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self.of(item) for item in value]
        if isinstance(value, dict):
            return {key: self.of(item) for key, item in value.items()}
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

    def _part(self, found: re.Match[str]) -> str:
        if found[2]:
            raise ExpressionError(found[2], "statements are not evaluated: write the value out")
        return "" if found[1] is None else str(self._call(found[0], found[1]))

    def _call(self, expression: str, inner: str) -> Any:
        call = _CALL.fullmatch(inner.strip())
        if call is None:
            raise ExpressionError(
                expression, "only `env_var('NAME')` and `var('name')`, with or without a default, are evaluated: write the value out"
            )
        kind, name, default = call[1], ast.literal_eval(call[2]), call[3]
        known: Mapping[str, Any] = self.environment if kind == "env_var" else self.variables
        if name in known:
            return known[name]
        if default is None:
            where = "env" if kind == "env_var" else "vars"
            raise ExpressionError(expression, f"nobody gave a value: write it under `{where}:` in `.github/freshet.yml`")
        return ast.literal_eval(default.capitalize() if default[0].isalpha() else default)


def without_user(address: str) -> str:
    """Return an address without the user name and password in it, which may be an expression: we use credentials of nobody.

    >>> without_user("https://{{ env_var('TOKEN') }}@github.com/octo/shop.git")
    'https://github.com/octo/shop.git'
    """
    return _USER.sub("", address, count=1)

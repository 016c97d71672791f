"""Keeps what Jinja makes of a text, so that a model's SQL is compiled once for the parse and for its columns, and equal tests once in all.

What Jinja compiles depends on the text and on nothing else: filters and variables are looked up when a template is rendered.
"""

from __future__ import annotations

import importlib
import inspect
import marshal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

MODULES = ("dbt_common.clients.jinja", "dbt.clients.jinja")
PARAMETERS = ["self", "source", "name", "filename", "raw", "defer_init"]
MAX_CHARACTERS = 8 << 20
"""Of all texts that are kept; their code takes ten times as much memory."""
MAX_TEXT = 64 << 10


class Templates:
    """The code of texts, as it is or, from another process, as bytes."""

    def __init__(self) -> None:
        self._codes = {}  # type: dict[str, CodeType | bytes]
        self._characters = 0
        self._unsent = []  # type: list[str]

    def find(self, text: str) -> CodeType | None:
        """The code of a text."""
        found = self._codes.get(text)
        if isinstance(found, bytes):
            found = self._codes[text] = marshal.loads(found)  # noqa: S302 - from a fork of this process
        return found

    def keep(self, text: str, code: CodeType | bytes) -> None:
        """Keep the code of a text, if there is room."""
        if len(text) <= MAX_TEXT and self._characters + len(text) <= MAX_CHARACTERS and text not in self._codes:
            self._codes[text] = code
            self._characters += len(text)
            self._unsent.append(text)

    def fresh(self) -> dict:
        """In bytes, what was kept since the last call."""
        found = {text: code if isinstance(code, bytes) else marshal.dumps(code) for text in self._unsent for code in (self._codes[text],)}
        self._unsent = []
        return found

    def arrive(self, codes: dict) -> None:
        """Keep what another process has compiled."""
        for text, code in codes.items():
            self.keep(text, code)


TEMPLATES = Templates()


def forget() -> None:
    """Discard all of them."""
    TEMPLATES.__init__()


def install() -> None:
    """Look up texts before dbt compiles them, if it does so as expected."""
    environment = _environment()
    if environment is None or "freshet" in vars(environment.compile):
        return
    environment.compile = _remembering(environment.compile, environment)


def _environment() -> Any:
    """The class of dbt, whose templates are of texts without a name."""
    for name in MODULES:
        try:
            found = importlib.import_module(name)
            environment = found.MacroFuzzEnvironment
        except (ImportError, AttributeError):
            continue
        is_known = list(inspect.signature(environment.compile).parameters) == PARAMETERS
        return environment if is_known and not getattr(found, "MACRO_DEBUGGING", True) else None
    return None


def _remembering(inner: Callable, own: type) -> Callable:
    def compile_(environment: Any, source: Any, name: Any = None, filename: Any = None, raw: bool = False, defer_init: bool = False) -> Any:  # noqa: FBT001, FBT002 - Jinja's
        if type(environment) is not own or type(source) is not str or name is not None or filename is not None or raw or defer_init:
            return inner(environment, source, name, filename, raw, defer_init)
        code = TEMPLATES.find(source)
        if code is None:
            code = inner(environment, source)
            TEMPLATES.keep(source, code)
        return code

    compile_.freshet = True
    return compile_

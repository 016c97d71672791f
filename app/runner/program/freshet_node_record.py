"""Records what parsing a node asks for. Independent of dbt.

dbt's functions report here, through `freshet_node_parsing` and `freshet_placeholders`; outside of `recording` nothing is recorded.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_WARNINGS = 50
MAX_LOGGED = 10_000
"""Characters that a node's macros may log."""


class Asked(NamedTuple):
    """A value that was missing, and what was used in its place."""

    how: str
    """As in `freshet_placeholders`."""
    kind: str
    name: str
    answer: str
    """A digest of what was used."""
    place: tuple
    """The file, as dbt names it, and line that asked."""


class Recorder:
    """What parsing one node has asked for."""

    def __init__(self) -> None:
        self.macros = {}  # type: dict[str, None]
        """unique_ids of macros that were called, in order."""
        self.variables = {}  # type: dict[str, None]
        self.environment = {}  # type: dict[str, None]
        self.asked = []  # type: list[Asked]
        self.warnings = []  # type: list[tuple]
        """Deprecations that were reported: their names and arguments."""
        self.logged = []  # type: list[str]
        """What macros have written to the log."""
        self.certain = True
        """Whether all that decides about the node is recorded."""


_current = [None]  # type: list[Recorder | None]
_tainted = [False]


@contextmanager
def recording() -> Iterator[Recorder]:
    """Record what is reported meanwhile."""
    recorder = Recorder()
    _current[0] = recorder
    try:
        yield recorder
    finally:
        _current[0] = None


@contextmanager
def paused() -> Iterator[None]:
    """Record nothing meanwhile: dbt itself asks."""
    recorder = _current[0]
    _current[0] = None
    try:
        yield
    finally:
        _current[0] = recorder


def spoil() -> None:
    """Something has happened that depends on more than what is recorded."""
    if _current[0] is not None:
        _current[0].certain = False


def taint() -> None:
    """Something may have changed on which other nodes depend, and that is not recorded."""
    spoil()
    _tainted[0] = True


def is_tainted() -> bool:
    """Whether nodes may depend on more than what is recorded, from now on."""
    return _tainted[0]


def begin() -> None:
    """Prepare for a parse."""
    _tainted[0] = False


def macro(unique_id: str) -> None:
    """A macro is called."""
    if _current[0] is not None:
        _current[0].macros[unique_id] = None


def variable(name: object) -> None:
    """A variable of the project is read."""
    _named("variables", name)


def environment(name: object) -> None:
    """An environment variable is read."""
    _named("environment", name)


def asked(what: Asked) -> None:
    """A value is missing."""
    if _current[0] is not None:
        _current[0].asked.append(what)


def warning(name: object, arguments: dict) -> None:
    """A deprecation is reported."""
    recorder = _current[0]
    if recorder is not None:
        plain = isinstance(name, str) and all(value is None or isinstance(value, (str, int, bool)) for value in arguments.values())
        recorder.certain = recorder.certain and plain and len(recorder.warnings) < MAX_WARNINGS
        recorder.warnings.append((name, arguments))


def logged(text: str) -> None:
    """A macro writes to the log."""
    recorder = _current[0]
    if recorder is not None:
        recorder.logged.append(text)
        recorder.certain = recorder.certain and sum(map(len, recorder.logged)) <= MAX_LOGGED


def _named(kind: str, name: object) -> None:
    if _current[0] is not None:
        if isinstance(name, str):
            getattr(_current[0], kind)[name] = None
        else:
            spoil()

"""Other dbt projects that a project refers to, as dbt's `projects:` names them, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ProjectState = Literal["not_asked", "available", "unknown", "ambiguous"]
"""`not_asked`: there is no installation to ask, as on the command line. `unknown`: no lineage, or none that the repository may use.
`ambiguous`: several projects that it may use have this name."""


@dataclass(frozen=True, slots=True)
class PublicModel:
    """A model with `access: public`, which other projects may refer to."""

    project: str
    name: str
    version: str | int | float | None = None
    latest_version: str | int | float | None = None
    """Of all of its versions; None: it has none, or it is not known."""
    relation_name: str | None = None
    """None: not known."""


@dataclass(frozen=True, slots=True)
class OtherProject:
    """A project that the dependencies of another one name."""

    name: str
    state: ProjectState = "not_asked"
    models: tuple[PublicModel, ...] = ()
    is_cut: bool = False
    """Whether it has more public models than these."""

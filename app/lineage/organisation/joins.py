"""A join between two projects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

JoinReason = Literal["relation", "package", "reference"]
"""`relation`: a source is the table that a node makes. `package`: a node of a package is one of the project that the package is.
`reference`: a node that dbt knows by name alone is one of the project that it is said to be of."""


@dataclass(frozen=True, slots=True)
class Join:
    """Two nodes of different projects, by id. `detail` says why it is certain or not, as a clause."""

    upstream: str
    downstream: str
    reason: JoinReason
    certain: bool
    detail: str
    merged: bool = False
    """Whether both are one node, which has the id `upstream`."""

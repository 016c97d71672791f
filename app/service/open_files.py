"""The limit of open files of this process, which limits the connections of clients."""

from __future__ import annotations

import resource

ENOUGH = 16_384
"""More than the connections of clients (`web/http/connections`), databases, containers and git need."""


def raise_limit() -> None:
    """Raise the soft limit up to `ENOUGH`, if the hard one allows it: for the sake of `select`, most systems begin with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

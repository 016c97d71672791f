"""How long ago something was, in words."""

from __future__ import annotations

from datetime import UTC, datetime

from app.core.plurals import count

_STEPS = ((60, "second"), (3600, "minute"), (86_400, "hour"), (float("inf"), "day"))


def ago(at: datetime, now: datetime | None = None) -> str:
    """The largest whole unit that has passed since.

    >>> ago(datetime(2026, 1, 1, 9, 0, tzinfo=UTC), datetime(2026, 1, 1, 11, 59, tzinfo=UTC))
    '2 hours ago'
    """
    seconds = max(0.0, ((now or datetime.now(UTC)) - at).total_seconds())
    if seconds < 1:
        return "just now"
    size, unit = 1.0, "second"
    for limit, name in _STEPS:
        unit = name
        if seconds < limit:
            break
        size = limit
    return f"{count(int(seconds // size), unit)} ago"


def lasted(seconds: float) -> str:
    """A duration: tenths of seconds below a minute, then minutes and seconds.

    >>> lasted(2.345), lasted(75)
    ('2.3 s', '1 min 15 s')
    """
    if seconds < 59.95:  # noqa: PLR2004 - what is written as 60.0
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"

"""The name that somebody may have meant. Names come from strangers, so lengths and numbers are limited."""

from __future__ import annotations

from collections.abc import Iterable

MAX_LENGTH = 64
MAX_COMPARED = 500
MAX_EDITS = 2


def most_similar(name: str, names: Iterable[str]) -> str | None:
    """The name that differs least, by at most two letters and a quarter of its length; None if there is none, or no single one.

    >>> most_similar("stg_order", ["stg_orders", "orders"]), most_similar("a", ["b"])
    ('stg_orders', None)
    """
    most = min(MAX_EDITS, len(name) // 4)
    if not most or len(name) > MAX_LENGTH:
        return None
    close = (other for other in sorted(names) if abs(len(other) - len(name)) <= most and other != name and _may_be_close(name, other))
    distances: dict[str, int] = {}
    for other in close:
        if len(distances) == MAX_COMPARED:
            break
        distances[other] = _distance(name, other, most)
    best = min(distances.values(), default=most + 1)
    found = [other for other, distance in distances.items() if distance == best]
    return found[0] if best <= most and len(found) == 1 else None


def _may_be_close(name: str, other: str) -> bool:
    """Names that differ little usually begin or end alike."""
    return name[:2] == other[:2] or name[-2:] == other[-2:]


def _distance(a: str, b: str, most: int) -> int:
    """Inserted, deleted and replaced letters; two that changed places count once. Any number above `most` if there are more."""
    far = most + 1
    rows = [{j: j for j in range(most + 1)}]
    for i, letter in enumerate(a, 1):
        before, row = rows[-1], {0: i} if i <= most else {}
        # Further from the diagonal are only those with more differences.
        for j in range(max(1, i - most), min(len(b), i + most) + 1):
            cost = min(before.get(j, far) + 1, row.get(j - 1, far) + 1, before.get(j - 1, far) + (letter != b[j - 1]))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == b[j - 1]:
                cost = min(cost, rows[-2].get(j - 2, far) + 1)
            row[j] = cost
        if min(row.values(), default=far) > most:
            return far
        rows.append(row)
    return rows[-1].get(len(b), far)

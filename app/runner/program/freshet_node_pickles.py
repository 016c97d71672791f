"""Writes and reads what a state keeps of dbt's objects. A state is untrusted: only data classes can be read."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import io
import pickle
from typing import Any

DATA = {
    ("datetime", "date"),
    ("datetime", "datetime"),
    ("datetime", "timedelta"),
    ("datetime", "timezone"),
    ("collections", "OrderedDict"),
    ("pytz", "_UTC"),
}
"""Classes of values in nodes that are not dbt's."""


def digest(*values: object) -> str:
    """Return a short hash of values that `repr` writes in full."""
    return hashlib.blake2b(repr(values).encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()


class Pickler(pickle.Pickler):
    """Writes a format that `Unpickler` can read."""

    def reducer_override(self, value: object) -> Any:
        """Write enumerations by value: some versions of Python would write a function call."""
        return (type(value), (value.value,)) if isinstance(value, enum.Enum) else NotImplemented


class Unpickler(pickle.Unpickler):
    """Creates objects of dbt's data classes only."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a data class. Raises UnpicklingError for anything else."""
        if (module, name) not in CLASSES:
            found = super().find_class(module, name) if (module, name) in DATA or module.startswith("dbt") else None
            is_data = isinstance(found, type) and (dataclasses.is_dataclass(found) or issubclass(found, (enum.Enum, str)))
            if (module, name) not in DATA and not is_data:
                raise pickle.UnpicklingError(f"{module}.{name} is not a data class")
            CLASSES[module, name] = found
        return CLASSES[module, name]


CLASSES = {}  # type: dict[tuple, Any]


def pickled(node: object) -> bytes | None:
    """Return a node as bytes; None if it has values that cannot be."""
    file = io.BytesIO()
    try:
        Pickler(file, pickle.HIGHEST_PROTOCOL).dump(node)
    except Exception:  # noqa: BLE001 - whatever a project puts into its configuration
        return None
    return file.getvalue()


def unpickled(data: bytes) -> Any:
    """Return the node in `data`. Raises UnpicklingError, or anything else if it was tampered with."""
    return Unpickler(io.BytesIO(data)).load()

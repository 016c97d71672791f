"""What a cluster answered, in the order of the requests. Names of pods are `POD-0`, `POD-1`, in the order of their creation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parent / "recorded"
PASSED_ON = ("fieldSelector", "labelSelector", "watch")
"""Query parameters that belong to a request; others, such as versions, differ each time."""
PODS = re.compile(r"^/api/v1/namespaces/[^/]+/pods$")


@dataclass
class Exchange:
    """One request and its answer. `lines` of a watch; `frames` of a program: `["in", BYTES]` and `["out", TEXT]`."""

    request: str
    status: int
    body: Any = None
    lines: list[Any] = field(default_factory=list)
    frames: list[tuple[str, Any]] = field(default_factory=list)
    closed: bool = False
    """The cluster closed the connection."""


class Names:
    """The names of pods, there and here."""

    def __init__(self) -> None:
        self.real: list[str] = []

    def plain(self, text: str) -> str:
        for number, name in enumerate(self.real):
            text = text.replace(name, f"POD-{number}")
        return text

    def actual(self, text: str) -> str:
        for number, name in reversed([*enumerate(self.real)]):
            text = text.replace(f"POD-{number}", name)
        return text

    def learn(self, method: str, path: str, body: bytes) -> None:
        """Learn the name of a pod from the request that creates it."""
        if method == "POST" and PODS.match(path):
            self.real.append(json.loads(body)["metadata"]["name"])


def described(method: str, path: str, query: Mapping[str, str]) -> str:
    """A request as the record has it."""
    kept = "&".join(f"{key}={query[key]}" for key in PASSED_ON if key in query)
    return f"{method} {path}?{kept}" if kept else f"{method} {path}"


def without_noise(value: Any) -> Any:
    """Leave out who set which field: half of each object."""
    if isinstance(value, dict):
        return {key: without_noise(part) for key, part in value.items() if key != "managedFields"}
    return [without_noise(part) for part in value] if isinstance(value, list) else value


def save(name: str, exchanges: list[Exchange], names: Names) -> None:
    text = json.dumps([{key: value for key, value in asdict(one).items() if value} for one in exchanges], indent=1, ensure_ascii=False)
    (RECORDED / f"{name}.json").write_text(names.plain(text) + "\n")


def load(name: str) -> list[Exchange]:
    return [Exchange(**one) for one in json.loads((RECORDED / f"{name}.json").read_text())]

"""The shortest series and the smallest edit that still differ."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import astuple
from itertools import pairwise
from pathlib import Path

from app.pipeline.ports import DbtJob
from tests.integration.runner_images import named
from tests.series.comparing import differences
from tests.series.running import SCOPE, Difference, Files, Pair

OF_A_JOB = ("extraction_id", "label", "project_dir", "profile", "target", "adapter_type", "install_dir", "variables", "environment")
TRIES = 60
"""Each parses twice or more."""


class Shrinking:
    """Tries shorter and smaller series while it may."""

    def __init__(self, pair: Pair, tries: int = TRIES) -> None:
        self._pair, self._left = pair, tries

    async def shrink(self, difference: Difference) -> tuple[list[Files], list[str]]:
        """The smallest series that was found, and its difference."""
        trees = [step.files for step in difference.path]
        found = difference.found
        for length in (2, 3, 5, 9, 17, 33):
            if length < len(trees) and (again := await self._differs(trees[-length:])):
                trees, found = trees[-length:], again
                break
        for position in range(len(trees) - 2, -1, -1):
            shorter = [*trees[:position], *trees[position + 1 :]]
            if len(shorter) > 1 and (again := await self._differs(shorter)):
                trees, found = shorter, again
        trees, found = await self._with_smaller_edit(trees, found)
        return await self._with_fewer_files(trees, found)

    async def _with_smaller_edit(self, trees: list[Files], found: list[str]) -> tuple[list[Files], list[str]]:
        if len(trees) < 2:
            return trees, found
        for path in changed(trees[-2], trees[-1]):
            smaller = [*trees[:-1], _with(trees[-1], path, trees[-2])]
            if again := await self._differs(smaller):
                trees, found = smaller, again
        return trees, found

    async def _with_fewer_files(self, trees: list[Files], found: list[str]) -> tuple[list[Files], list[str]]:
        """Without halves, quarters, and so on, of the files that stay as they are."""
        kept = {path for before, after in pairwise(trees) for path in changed(before, after)} | {"dbt_project.yml"}
        paths = sorted(path for path in trees[-1].files if path not in kept)
        size = len(paths) // 2
        while size:
            for start in range(0, len(paths), size):
                gone = set(paths[start : start + size])
                smaller = [Files({path: text for path, text in tree.files.items() if path not in gone}, tree.package) for tree in trees]
                if gone and (again := await self._differs(smaller)):
                    trees, found = smaller, again
            paths = [path for path in paths if path in trees[-1].files]
            size //= 2
        return trees, found

    async def _differs(self, trees: Sequence[Files]) -> list[str]:
        if self._left <= 0:
            return []
        self._left -= 1
        return await run(self._pair, trees)


async def run(pair: Pair, trees: Sequence[Files]) -> list[str]:
    """Parse trees one after the other, with states; return how the last result differs from a full parse."""
    state = None
    for tree in trees[:-1]:
        answer = await pair.ours.parse(pair.job, tree.tree(), state)
        state = answer.state or state
    full, incremental = await pair.both(trees[-1], state)
    return differences(full, incremental)


def changed(before: Files, after: Files) -> list[str]:
    """The paths that differ."""
    old, new = {**before.files, **before.package}, {**after.files, **after.package}
    return sorted(path for path in {*old, *new} if old.get(path) != new.get(path))


def _with(tree: Files, path: str, other: Files) -> Files:
    """A tree with one path as in another."""
    parts = []
    for here, there in ((tree.files, other.files), (tree.package, other.package)):
        part = {name: text for name, text in here.items() if name != path}
        parts.append(part | ({path: there[path]} if path in there else {}))
    return Files(*parts)


def write(path: Path, job: DbtJob, trees: Sequence[Files]) -> None:
    """Write a series to a file, for `read`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {name: getattr(job, name) for name in OF_A_JOB}
    text = json.dumps({"job": facts, "image": [job.image.name, job.image.dbt_version], "trees": [[*astuple(tree)] for tree in trees]})
    path.write_text(text)


def read(path: Path) -> tuple[DbtJob, list[Files]]:
    """Read what `write` wrote."""
    found = json.loads(path.read_text())
    return DbtJob(**found["job"], image=named(*found["image"]), state=SCOPE), [Files(*parts) for parts in found["trees"]]


def told(trees: Sequence[Files]) -> str:
    """The edits of a series as a diff, and the files of its first tree."""
    lines = [f"{len(trees)} trees; the first has {len(trees[0].files)} files"]
    for number, (before, after) in enumerate(pairwise(trees), 1):
        old, new = {**before.files, **before.package}, {**after.files, **after.package}
        for path in changed(before, after):
            diff = difflib.unified_diff(
                old.get(path, "").splitlines(), new.get(path, "").splitlines(), f"{number - 1}/{path}", f"{number}/{path}", n=1, lineterm=""
            )
            lines += [*diff]
    return "\n".join(f"    {line}" for line in lines)

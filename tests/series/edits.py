"""Random edits of a project: what kinds there are, and how often each is taken."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from types import ModuleType

from tests.series import entry_edits, file_edits, model_edits, other_edits, section_edits
from tests.series.project import Project

Edit = Callable[[Project, Random, int], str | None]
"""Edits the project in place, with the number of the step; returns what it did, None if there was nothing to do."""
OFTEN = {
    **dict.fromkeys(("model_edit", "model_add", "model_ref", "yaml_describe", "yaml_test_add", "yaml_entry_add", "macro_edit"), 3),
    **dict.fromkeys(("model_rename", "model_delete", "model_config", "model_ask", "model_call", "doc_edit", "project_vars", "broken"), 2),
    "model_depend": 5,
    "macro_calls": 2,
    **dict.fromkeys(("yaml_entry_move", "yaml_entry_remove", "project_config", "package_bump", "yaml_config"), 2),
}


HELPERS = ("any_entry", "changed", "pick")


def _edits(module: ModuleType) -> dict[str, Edit]:
    names = [name for name in vars(module) if not name.startswith("_") and name not in HELPERS]
    return {name: getattr(module, name) for name in names if getattr(getattr(module, name), "__module__", "") == module.__name__}


MODULES = (model_edits, file_edits, entry_edits, section_edits, other_edits)
KINDS = {kind: function for module in MODULES for kind, function in _edits(module).items()}
WEIGHTS = [OFTEN.get(kind, 1) for kind in KINDS]


def edit(project: Project, random: Random, number: int) -> list[tuple[str, str]]:
    """Edit the project once or a few times: the kinds, and what each did."""
    done: list[tuple[str, str]] = []
    count = random.choice((1, 1, 1, 1, 2, 3))
    while len(done) < count:
        kind = random.choices([*KINDS], WEIGHTS)[0]
        said = KINDS[kind](project, random, number)
        if said is not None:
            done.append((kind, said))
    return done

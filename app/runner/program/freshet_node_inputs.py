"""Digests of everything that parsing a node can depend on, besides its own text: macros, configuration, variables, the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import freshet_node_texts
from dbt.context.context_config import RenderedConfig, UnrenderedConfig
from dbt.flags import get_flags
from dbt.version import __version__
from freshet_node_pickles import digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dbt.parser.manifest import ManifestLoader

BY_NAME = ("vars",)
BY_FOLDER = (
    *("models", "seeds", "snapshots", "tests", "data_tests", "sources", "exposures", "metrics", "semantic-models", "semantic_models"),
    *("saved-queries", "saved_queries", "unit-tests", "unit_tests", "functions"),
)
WITHOUT_EFFECT = (
    *("version", "require-dbt-version", "on-run-start", "on-run-end", "docs-paths", "asset-paths", "clean-targets", "target-path"),
    *("log-path", "query-comment", "dbt-cloud"),
)
"""Keys of `dbt_project.yml` that nodes do not depend on."""
GENERATE = ("generate_database_name", "generate_schema_name", "generate_alias_name")
"""Macros that dbt calls for every node: https://docs.getdbt.com/docs/build/custom-schemas."""

Fqn = list  # of text: package, folders, name


class Inputs:
    """What nodes of one parse can depend on."""

    def __init__(self, loader: ManifestLoader, macro_names: set | None) -> None:
        """Take what `loader` has read: `macro_names` are the unique_ids of macros in an earlier parse, if there was one."""
        self._root = loader.root_project
        self._projects = dict(loader.all_projects)
        self._sections = {}  # type: dict[tuple, tuple]
        self._levels = {}  # type: dict[int, tuple]
        self._of_levels = {}  # type: dict[tuple, str]
        self._macro_lists = {}  # type: dict[tuple, str]
        self._closures = {}  # type: dict[str, tuple]
        self._texts = {}  # type: dict[str, tuple]
        self._variables = {}  # type: dict[str, str]
        self._manifest = loader.manifest
        self._macros = loader.manifest.macros
        self._macro_digests = {key: digest(macro.macro_sql) for key, macro in self._macros.items()}
        self._packages = {name: digest(_own(project)) for name, project in self._projects.items()}
        self.everything = digest(
            __version__,
            list(self._projects),
            sorted((key, str(value)) for key, value in vars(get_flags()).items() if key.isupper()),
            sorted((key, repr(value)) for key, value in vars(self._root.credentials).items()),
            self._root.profile_name,
            self._root.target_name,
            self._root.threads,
            self._packages[self._root.project_name],
            self._environment_of_projects(),
        )
        """Decides about all nodes."""
        self.macro_names = set(self._macros)
        changed = self.macro_names.symmetric_difference(self.macro_names if macro_names is None else macro_names)
        for_all = any(key.split(".")[-1] in GENERATE for key in changed)
        self.changed_names = None if for_all else freshet_node_texts.names_to_find(changed)
        """Names of macros that came or went since the earlier parse; None if they can be looked up anywhere."""
        self._mentioning = {}  # type: dict[str, bool]

    def of_node(self, package: str, resource_type: object, fqn: Fqn) -> str:
        """Return a digest of the project's configuration for one node."""
        names = [package] if package == self._root.project_name else [package, self._root.project_name]
        levels = tuple(tuple(self._levels_of(section, fqn)) for name in names for section in self._sections_of(name, resource_type))
        if (package, levels) not in self._of_levels:
            self._of_levels[package, levels] = digest(self._packages.get(package), levels)
        return self._of_levels[package, levels]

    def of_macros(self, unique_ids: tuple) -> str:
        """Return a digest of the texts of macros."""
        if unique_ids not in self._macro_lists:
            self._macro_lists[unique_ids] = digest([self._macro_digests.get(key) for key in unique_ids])
        return self._macro_lists[unique_ids]

    def variable(self, name: str) -> str:
        """Return a digest of all values of a variable: those of the root project, of packages, and of the job."""
        if name not in self._variables:
            self._variables[name] = digest(self._values(name))
        return self._variables[name]

    def templates(self, names: Iterable) -> str:
        """Return those values of variables that are rendered when they are read, and so depend on more."""
        values = [value for name in names for _, _, value in self._values(name)]
        return "\n".join(value for value in values if isinstance(value, str) and "{" in value)

    def _values(self, name: str) -> list:
        found = [("job", None, self._root.cli_vars[name])] if name in self._root.cli_vars else []
        for project_name, project in self._projects.items():
            values = project.vars.to_dict()
            for scope, values_of in ((None, values), *((key, value) for key, value in values.items() if isinstance(value, dict))):
                if name in values_of:
                    found.append((project_name, scope, values_of[name]))
        return found

    def shared(self) -> list:
        """Return all that nodes share: values of variables, configuration, and `graph`, which is empty while dbt parses."""
        found = [getattr(self._manifest, "flat_graph", None), self._root.cli_vars, vars(self._root.credentials)]
        return found + [values for project in self._projects.values() for values in (project.vars.to_dict(), vars(project))]

    @staticmethod
    def environment(name: str) -> str | None:
        """Return a digest of an environment variable; None if there is none."""
        return digest(os.environ[name]) if name in os.environ else None

    def static_closure(self, unique_id: str) -> tuple:
        """Return the unique_ids of macros that one mentions, directly or through others."""
        if unique_id not in self._closures:
            found, waiting = {}, [unique_id]  # type: dict[str, None], list[str]
            while waiting:
                key = waiting.pop()
                if key not in found and key in self._macros:
                    found[key] = None
                    waiting += self._macros[key].depends_on.macros
            self._closures[unique_id] = tuple(found)
        return self._closures[unique_id]

    def certain(self, own: str, unique_ids: tuple) -> bool:
        """Whether the texts of a node and its macros are the same in every run."""
        return not freshet_node_texts.differs_between_runs(own) and not any(self._of_text(key)[0] for key in unique_ids)

    def computes_names(self, own: str, unique_ids: tuple) -> bool:
        """Whether the texts of a node and its macros may look for macros by computed names."""
        found = freshet_node_texts.looks_up_computed_names(own, tuple(self._projects))
        return found or any(self._of_text(key)[1] for key in unique_ids)

    def may_find_others(self, own: str, unique_ids: tuple) -> bool:
        """Whether a node with these texts may find other macros than in the earlier parse."""
        if not self.changed_names:
            return self.changed_names is None
        return freshet_node_texts.mentions(own, self.changed_names) or any(self._mentions(key) for key in unique_ids)

    def _mentions(self, unique_id: str) -> bool:
        if unique_id not in self._mentioning:
            macro = self._macros.get(unique_id)
            self._mentioning[unique_id] = macro is None or freshet_node_texts.mentions(macro.macro_sql, self.changed_names or [])
        return self._mentioning[unique_id]

    def _of_text(self, unique_id: str) -> tuple:
        if unique_id not in self._texts:
            text = self._macros[unique_id].macro_sql if unique_id in self._macros else ""
            packages = tuple(self._projects)
            self._texts[unique_id] = (
                freshet_node_texts.differs_between_runs(text),
                freshet_node_texts.looks_up_computed_names(text, packages),
            )
        return self._texts[unique_id]

    def _sections_of(self, package: str, resource_type: object) -> tuple:
        key = (package, str(resource_type))
        if key not in self._sections:
            project = self._projects[package]
            self._sections[key] = tuple(kind(project).get_config_dict(resource_type) for kind in (RenderedConfig, UnrenderedConfig))
        return self._sections[key]

    def _levels_of(self, section: object, fqn: Fqn) -> list:
        """Digests of the levels that apply to a node, as in dbt's `fqn_search`."""
        found = []
        for name in (None, *fqn):
            section = section if name is None else section.get(name)
            if not isinstance(section, dict):
                break
            # A dictionary of its own is kept with its digest, so that its id stays its own.
            if id(section) not in self._levels:
                applying = {key: value for key, value in section.items() if not isinstance(value, dict) or str(key).startswith("+")}
                self._levels[id(section)] = (section, digest(applying))
            found.append(self._levels[id(section)][1])
        return found

    def _environment_of_projects(self) -> object:
        """The environment and the job's variables, if a project's settings for all nodes read them."""
        rendered = any("{" in repr(_own(project)) for project in self._projects.values())
        return (sorted(os.environ.items()), self._root.cli_vars) if rendered else None


def _own(project: Any) -> list:
    """Settings of a project that all of its nodes depend on."""
    ignored = (*BY_NAME, *BY_FOLDER, *WITHOUT_EFFECT)
    return sorted((str(key), repr(value)) for key, value in project.unrendered.project_dict.items() if key not in ignored)

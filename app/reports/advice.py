"""What to do about one of dbt's errors, from its class and from what the commit has: other projects, package lists, similar names."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import yaml

from app.core.models.other_projects import OtherProject
from app.core.yaml_text import NotYamlError, compose
from app.project.layout import ProjectLayout
from app.project.package_files import PACKAGE_FILES
from app.reports.dbt_error_catalogue import BY_CODE
from app.reports.dbt_errors import classify
from app.reports.error_class import ErrorClass
from app.reports.markdown import code
from app.reports.similar_names import most_similar

MODEL_ENDINGS = (".sql", ".py", ".csv")
MAX_NAMES = 20_000
MAX_SEARCHES = 10
"""Names for which a similar one is looked for, in one output."""

_OTHERWISE = "Or list that project in `packages.yml`, or a package that has a model of that name: the lineage needs nothing else of it."
_WITHOUT_LINEAGE = {
    "not_asked": "dbt-core does not resolve references to other projects such as {0}. Freshet's GitHub App does, from the lineage of that "
    "project; the command line has no other lineages.",
    "unknown": "dbt-core does not resolve references to other projects such as {0}. Freshet does, from their newest lineages, but has no "
    "lineage of {0} that this repository may use. Install the GitHub App on the repository of {0}, in the same account; if that "
    "repository is private, `FRESHET_PRIVATE_PACKAGES` decides who may use it. Wait for its lineage. Then re-run this check.",
}
"""By the state of the project, whose name goes into the text."""

_MISSING = re.compile(
    r"depends on an? \w+ named '(?P<name>[^'\n]{1,200})' (?:with version '(?P<version>[^'\n]{1,100})' )?"
    r"(?:in package or project '(?P<package>[^'\n]{1,200})' )?which was not found"
)
_PYTHON_ERROR = re.compile(r"(?:TypeError|AttributeError|KeyError|ValueError): ")


@dataclass(frozen=True, slots=True)
class Advice:
    """The class of an error with the advice that fits the commit, and its place if the message has none or a wrong one."""

    known: ErrorClass
    place: tuple[str, int | None] | None = None


class Advisor:
    """Advises on the errors of one commit."""

    def __init__(self, layout: ProjectLayout) -> None:
        self._layout = layout
        self._projects = {one.name: one for one in layout.other_projects}
        self._broken_list = _broken_package_list(layout)
        self._names = frozenset(_model_names(layout))
        self._similar: dict[str, str | None] = {}

    def advise(self, error: str) -> Advice:
        """The advice for one error."""
        if self._broken_list and _PYTHON_ERROR.match(error):
            path, line, step = self._broken_list
            return Advice(replace(BY_CODE["packages_file"], title="A package list is not a list", next_step=step), (path, line))
        known = classify(error)
        missing = _MISSING.search(error) if known.code == "missing_ref" else None
        return Advice(self._about_reference(known, missing) if missing else known)

    def _about_reference(self, known: ErrorClass, missing: re.Match[str]) -> ErrorClass:
        name, package, version = missing["name"], missing["package"], missing["version"]
        if package in self._projects:
            return replace(BY_CODE["other_project"], next_step=_about_other(self._projects[package], name, version))
        if package and package != self._layout.project_name:
            return replace(known, next_step=_about_package(package, name))
        if version is not None and self._has_versions(name):
            step = f"The model {code(name)} has no version {code(version)}. Correct `v=` in `ref()`, or add the version under `versions:`."
            return replace(known, next_step=step)
        similar = self._most_similar(name)
        if similar:
            return replace(known, next_step=f"Did you mean {code(similar)}? {known.next_step}")
        if self._projects:
            others = ", ".join(code(project) for project in [*self._projects][:5])
            step = f"{known.next_step} A model of another project ({others}) needs its project's name: `ref('project', 'model')`."
            return replace(known, next_step=step)
        return known

    def _has_versions(self, name: str) -> bool:
        return name in self._names or any(
            re.fullmatch(r"_v\w{1,50}", other[len(name) :]) for other in self._names if other.startswith(name)
        )

    def _most_similar(self, name: str) -> str | None:
        if name not in self._similar:
            self._similar[name] = most_similar(name, self._names) if len(self._similar) < MAX_SEARCHES else None
        return self._similar[name]


def _about_other(project: OtherProject, name: str, version: str | None) -> str:
    """What to do about a model of another project. It tells nothing of that project but public models that the repository may use."""
    named, model = code(project.name), code(name)
    versions = [str(one.version) for one in project.models if one.name == name]
    if versions and version is not None and version not in versions:
        return f"{named} has no public version {code(version)} of {model}. Correct `v=` in `ref()`, or make that version public."
    if versions:
        return (
            f"{named} has a public model {model}, but dbt did not find it. If it has versions, name one: `ref('project', 'model', v=1)`. "
            "dbt 1.6 is the first version that can refer to models of other projects."
        )
    if project.state == "available":
        return (
            f"The newest lineage of {named} has no public model {model}. Correct the names in `ref()`; or set `access: public` for the "
            f"model in {named}, and wait for the lineage of that commit. Then re-run this check."
        )
    if project.state == "ambiguous":
        return f"Several projects that this repository may use have the name {named}: give each a name of its own. {_OTHERWISE}"
    return f"{_WITHOUT_LINEAGE[project.state].format(named)} {_OTHERWISE}"


def _about_package(package: str, name: str) -> str:
    return (
        f"{code(package)} is no installed package that has a model {code(name)}. Correct the names in `ref()`, or list the package in "
        "`packages.yml`. If it is another project of yours, dbt-core needs it as a package too."
    )


def _broken_package_list(layout: ProjectLayout) -> tuple[str, int | None, str] | None:
    """The file and line of a package list of the project that is not a list, and what to do; dbt does not say where it is."""
    for name in PACKAGE_FILES:
        path = posixpath.join(layout.project_dir, name)
        text = layout.package_texts.get(path)
        try:
            node = compose(text) if text else None
        except NotYamlError:
            continue
        if node is not None and not isinstance(node, yaml.MappingNode):
            return path, node.start_mark.line + 1, f"Begin {code(path)} with `packages:`, and write the list below it."
        for key, value in node.value if node is not None else ():
            if key.value == "packages" and not isinstance(value, yaml.SequenceNode):
                step = f"`packages:` in {code(path)} is not a list. Write `packages: []`, or remove the key if the project has none."
                return path, key.start_mark.line + 1, step
    return None


def _model_names(layout: ProjectLayout) -> Iterable[str]:
    for member in layout.members[:MAX_NAMES]:
        stem, ending = posixpath.splitext(posixpath.basename(member.path))
        if ending in MODEL_ENDINGS and "/macros/" not in f"/{member.path}":
            yield stem

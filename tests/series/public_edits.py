"""Random edits of the files of a public project, whatever it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Self

import yaml

from tests.series.containers import LINK
from tests.series.project import Texts, name_of

DOCS = re.compile(r"(\{%-?\s*docs\s+\w+\s*-?%\})")
MACRO = re.compile(r"(\{%-?\s*macro\s[^%]*%\})")
DESCRIPTION = re.compile(r"^(\s*(?:- )?description:\s*)(\S.*)$", re.MULTILINE)
REF = re.compile(r"\{\{\s*ref\(\s*['\"](\w+)['\"]\s*\)\s*\}\}")
VARS = re.compile(r"^vars:\s*$", re.MULTILINE)


@dataclass
class PublicFiles:
    """A project below a directory of a repository, and its packages."""

    top: str
    texts: Texts
    package: Texts

    @classmethod
    def of(cls, project_dir: str, files: Texts, package: Texts) -> Self:
        """The project before all edits."""
        return cls(f"{project_dir}/" if project_dir else "", files, package)

    def copied(self) -> Self:
        """The same, apart from later edits."""
        return type(self)(self.top, dict(self.texts), dict(self.package))

    def files(self) -> Texts:
        """The files of the repository by path."""
        return dict(sorted(self.texts.items()))

    def paths(self, *ends: str, below: str = "models/") -> list[str]:
        """Files in a folder of the project that are no links."""
        top = self.top + below
        return sorted(
            path for path, text in self.texts.items() if path.startswith(top) and path.endswith(ends) and not text.startswith(LINK)
        )


Edit = Callable[[PublicFiles, Random, int], str | None]


def _pick(random: Random, paths: list[str]) -> str | None:
    return random.choice(paths or [None])


def model_edit(project: PublicFiles, random: Random, number: int) -> str | None:
    if path := _pick(random, project.paths(".sql")):
        project.texts[path] += f"\n-- {number}"
    return path


def model_ask(project: PublicFiles, random: Random, _number: int) -> str | None:
    path = _pick(random, project.paths(".sql"))
    if path is None:
        return None
    ask = random.choice(
        ["{{ env_var('NEW_VALUE') }}", "{{ env_var('USER', 'x') }}", "{{ var('new', 1) }}", "{{ this }}", "{{ target.name }}"]
    )
    project.texts[path] += f"\n-- {ask}"
    return f"{path}: {ask}"


def model_ref(project: PublicFiles, random: Random, _number: int) -> str | None:
    paths = project.paths(".sql")
    if not paths:
        return None
    path, name = random.choice(paths), name_of(random.choice(paths))
    project.texts[path] += f"\n-- {{{{ ref('{name}') }}}}"
    return f"{path}: {name}"


def model_add(project: PublicFiles, random: Random, number: int) -> str | None:
    path = _pick(random, project.paths(".sql"))
    if path is None:
        return None
    new = f"{path.rsplit('/', 1)[0]}/added_{number}.sql"
    project.texts[new] = project.texts[path] if random.random() < 0.5 else f"select 1 as id from {{{{ ref('{name_of(path)}') }}}}"
    return f"{new} like {path}"


def model_delete(project: PublicFiles, random: Random, _number: int) -> str | None:
    """One that no other mentions."""
    mentioned = set(re.findall(r"ref\(\s*['\"](\w+)['\"]", "\n".join(project.texts.values())))
    path = _pick(random, [path for path in project.paths(".sql") if name_of(path) not in mentioned])
    if path is not None:
        del project.texts[path]
    return path


def model_rename(project: PublicFiles, random: Random, number: int) -> str | None:
    path = _pick(random, project.paths(".sql"))
    if path is None:
        return None
    old, new = name_of(path), f"renamed_{number}"
    project.texts[f"{path.rsplit('/', 1)[0]}/{new}.sql"] = project.texts.pop(path)
    mention, entry = re.compile(rf"(ref\(\s*['\"]){old}(['\"])"), re.compile(rf"(- name:\s*['\"]?){old}(['\"]?\s*)$", re.MULTILINE)
    for other in project.paths(".sql", ".yml", ".yaml", below=""):
        project.texts[other] = entry.sub(rf"\g<1>{new}\2", mention.sub(rf"\g<1>{new}\2", project.texts[other]))
    return f"{path} to {new}"


def model_move(project: PublicFiles, random: Random, _number: int) -> str | None:
    paths = project.paths(".sql", ".yml", ".md")
    if not paths:
        return None
    path, folder = random.choice(paths), random.choice(paths).rsplit("/", 1)[0]
    target = f"{folder}/{path.rsplit('/', 1)[1]}"
    if target in project.texts:
        return None
    project.texts[target] = project.texts.pop(path)
    return f"{path} to {target}"


def model_switch(project: PublicFiles, random: Random, _number: int) -> str | None:
    path = _pick(random, project.paths(".sql"))
    if path is not None:
        off, text = "{{ config(enabled=false) }}\n", project.texts[path]
        project.texts[path] = text.removeprefix(off) if text.startswith(off) else off + text
    return path


def yaml_describe(project: PublicFiles, random: Random, number: int) -> str | None:
    path = _pick(random, [path for path in project.paths(".yml", ".yaml") if DESCRIPTION.search(project.texts[path])])
    if path is not None:
        found = random.choice([*DESCRIPTION.finditer(project.texts[path])])
        text = random.choice([f"{found[1]}Text {number}", f"{found[1]}{found[2]}"])
        project.texts[path] = project.texts[path][: found.start()] + text + project.texts[path][found.end() :]
    return path


def yaml_entry(project: PublicFiles, random: Random, number: int) -> str | None:
    """An entry comes, goes, changes, or moves to another file."""
    path = _pick(random, project.paths(".yml", ".yaml"))
    try:
        document = yaml.safe_load(project.texts[path]) if path else None
    except yaml.YAMLError:
        return None
    sections = [key for key, value in document.items() if isinstance(value, list) and value] if isinstance(document, dict) else []
    if path is None or not isinstance(document, dict) or not sections:
        return None
    section = random.choice(sections)
    entry = random.choice(document[section])
    what = random.choice(["remove", "describe", "move", "test", "shuffle"])
    if what in {"remove", "move"}:
        document[section].remove(entry)
    if what == "move":
        project.texts[f"{path.rsplit('/', 1)[0]}/moved_{number}.yml"] = yaml.safe_dump({"version": 2, section: [entry]}, sort_keys=False)
    if what == "describe" and isinstance(entry, dict):
        entry["description"] = f"Text {number}"
    if what == "test" and isinstance(entry, dict) and section == "models":
        entry.setdefault("columns", []).append({"name": f"column_{number}", "tests": ["unique", "not_null"]})
    if what == "shuffle":
        random.shuffle(document[section])
    project.texts[path] = yaml.safe_dump({key: value for key, value in document.items() if value != []}, sort_keys=False)
    return f"{path}: {what} {section}"


def doc_edit(project: PublicFiles, random: Random, number: int) -> str | None:
    path = _pick(random, [path for path in project.paths(".md") if DOCS.search(project.texts[path])])
    if path is not None:
        project.texts[path] = DOCS.sub(rf"\g<1>Text {number} ", project.texts[path], count=1)
    return path


def macro_edit(project: PublicFiles, random: Random, number: int) -> str | None:
    path = _pick(random, [path for path in project.paths(".sql", below="macros/") if MACRO.search(project.texts[path])])
    if path is not None:
        project.texts[path] = MACRO.sub(rf"\g<1>{{# {number} #}}", project.texts[path], count=1)
    return path


def macro_add(project: PublicFiles, random: Random, number: int) -> str | None:
    path = f"{project.top}macros/added_{random.randrange(3)}.sql"
    project.texts[path] = f"{{% macro added_{number}(x) %}}{{{{ x }}}}{{% endmacro %}}"
    return path


def project_vars(project: PublicFiles, random: Random, number: int) -> str | None:
    path = f"{project.top}dbt_project.yml"
    text = project.texts[path]
    project.texts[path] = VARS.sub(f"vars:\n  added: {number}", text) if VARS.search(text) else f"{text}\nvars:\n  added: {number}\n"
    project.texts[path] = re.sub(r"(\n  added: \d+)+", f"\n  added: {number}", project.texts[path])
    del random
    return path


def seed_edit(project: PublicFiles, random: Random, number: int) -> str | None:
    path = _pick(random, [*project.paths(".csv", below="seeds/"), *project.paths(".csv", below="data/")])
    if path is not None:
        project.texts[path] += f"{number}\n"
    return path


def package_edit(project: PublicFiles, random: Random, number: int) -> str | None:
    path = _pick(random, sorted(path for path, text in project.package.items() if path.endswith(".sql") and not text.startswith(LINK)))
    if path is not None:
        project.package[path] += f"\n{{# {number} #}}"
    return path


def broken(project: PublicFiles, random: Random, _number: int) -> str | None:
    path, text = random.choice([("broken.sql", "{{ ref('nowhere') }}"), ("broken.sql", "{% if %}"), ("broken.yml", "models: [")])
    project.texts[f"{project.top}models/{path}"] = text
    return f"{path}: {text}"


OFTEN = (model_edit, yaml_describe, yaml_entry, model_rename, macro_edit)
EDITS: tuple[Edit, ...] = (
    *(
        *OFTEN,
        *OFTEN,
        model_ask,
        model_ref,
        model_add,
        model_add,
        model_delete,
        model_move,
        model_switch,
        doc_edit,
        macro_add,
        project_vars,
    ),
    *(seed_edit, package_edit, broken),
)


def edit(project: PublicFiles, random: Random, number: int) -> list[tuple[str, str]]:
    """Edit the project once or a few times: the kinds, and what each did."""
    done: list[tuple[str, str]] = []
    count = random.choice((1, 1, 1, 2))
    while len(done) < count:
        chosen = random.choice(EDITS)
        said = chosen(project, random, number)
        if said is not None:
            done.append((chosen.__name__, said))
    return done

"""Edits of the other files that define something of their own: doc blocks, snapshots, seeds, analyses, tests."""

from __future__ import annotations

import re
from random import Random

from tests.series.model_edits import changed, pick
from tests.series.project import Project


def doc_edit(project: Project, random: Random, number: int) -> str | None:
    return changed(project, pick(random, project, "models/", ".md"), number)


def doc_add(project: Project, random: Random, number: int) -> str | None:
    name = random.choice([f"d{number}", f"d{number}", "later_doc"])
    path = random.choice([pick(random, project, "models/", ".md"), f"models/docs{number}.md", f"analyses/docs{number}.md"])
    if path is not None:
        project.texts[path] = project.texts.get(path, "") + f"{{% docs {name} %}}About {number}{{% enddocs %}}\n"
    return f"{path}: {name}"


def doc_delete(project: Project, random: Random, _number: int) -> str | None:
    path = pick(random, project, "models/", ".md")
    if path is None:
        return None
    lines = project.texts[path].splitlines(keepends=True)
    mentioned = "\n".join(project.files().values())
    left = [line for line in lines if not (found := re.search(r"docs (\w+) %", line)) or f"'{found[1]}'" in mentioned]
    if len(left) == len(lines):
        return None
    project.texts[path] = "".join(left)
    if not left:
        del project.texts[path]
    return path


def doc_move(project: Project, random: Random, number: int) -> str | None:
    path = pick(random, project, "models/", ".md")
    if path is None:
        return None
    lines = project.texts.pop(path).splitlines(keepends=True)
    if len(lines) > 1 and random.random() < 0.5:
        project.texts[path] = "".join(lines[1:])
        lines = lines[:1]
    target = random.choice([f"models/moved{number}.md", "models/marts/other.md"])
    project.texts[target] = project.texts.get(target, "") + "".join(lines)
    return f"{path} to {target}"


def snapshot_edit(project: Project, random: Random, number: int) -> str | None:
    return changed(project, pick(random, project, "snapshots/"), number)


def snapshot_add(project: Project, _random: Random, number: int) -> str | None:
    path = f"snapshots/snap{number}.sql"
    project.texts[path] = project.texts.get("snapshots/snap.sql", "").replace("snapshot snap %", f"snapshot snap{number} %")
    return path


def snapshot_delete(project: Project, random: Random, _number: int) -> str | None:
    path = pick(random, project, "snapshots/snap")
    if path is not None:
        del project.texts[path]
    return path


def seed_edit(project: Project, random: Random, number: int) -> str | None:
    path = pick(random, project, "seeds/", ".csv")
    if path is not None:
        project.texts[path] += f"{number}\n"
    return path


def seed_add(project: Project, random: Random, number: int) -> str | None:
    path = random.choice([f"seeds/seed{number}.csv", f"seeds/codes/seed{number}.csv"])
    project.texts[path] = "id\n1\n"
    return path


def seed_delete(project: Project, random: Random, _number: int) -> str | None:
    path = pick(random, project, random.choice(["seeds/seed", "seeds/codes/", "seeds/"]), ".csv")
    if path is not None:
        del project.texts[path]
    return path


def analysis_edit(project: Project, random: Random, number: int) -> str | None:
    return changed(project, pick(random, project, "analyses/"), number)


def analysis_add(project: Project, random: Random, number: int) -> str | None:
    path = f"analyses/look{number}.sql"
    project.texts[path] = f"select * from {{{{ ref('{random.choice(project.names() or ['shared'])}') }}}} -- 0"
    return path


def analysis_delete(project: Project, random: Random, _number: int) -> str | None:
    path = pick(random, project, "analyses/")
    if path is not None:
        del project.texts[path]
    return path


def singular_edit(project: Project, random: Random, number: int) -> str | None:
    return changed(project, random.choice(["tests/single.sql", "tests/asleep.sql"]) if project.has_tests() else None, number)


def singular_add(project: Project, random: Random, number: int) -> str | None:
    path = random.choice([f"tests/single{number}.sql", f"tests/deeper/single{number}.sql"])
    off = random.choice(["", "", "{{ config(enabled=false) }} "])
    project.texts[path] = f"{off}select * from {{{{ ref('{random.choice(project.names() or ['shared'])}') }}}} -- 0"
    return path


def singular_delete(project: Project, random: Random, _number: int) -> str | None:
    path = pick(random, project, random.choice(["tests/single", "tests/asleep", "tests/deeper"]))
    if path is not None:
        del project.texts[path]
    return path


def singular_switch(project: Project, random: Random, _number: int) -> str | None:
    path = pick(random, project, random.choice(["tests/single", "tests/asleep"]))
    if path is not None:
        off, text = "{{ config(enabled=false) }} ", project.texts[path]
        project.texts[path] = text.replace(off, "") if off in text else off + text
    return path

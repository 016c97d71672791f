"""Generated repositories: what the container gets, compared with what dbt's own file reading finds in a checkout by git."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from app.core.yaml_text import listed, mapping
from app.github.git.local import Place, local_source
from app.pipeline.ports import SourceTree
from app.project import checkout, discovery, read_files
from app.project import layout as project
from app.project.layout import ProjectLayout
from app.project.repository_settings import RepositorySettings
from tests.integration.runner_images import RUNNER_IMAGE

TREES = 40
NAMES = [
    "a",
    "B",
    "b",
    "a b",
    "it's",
    '"q"',
    "é",
    "e\u0301",
    "\u3000",
    "-x",
    "x.y",
    "ünï\u200dc",
    ".h",
    "#c",
    "~t",
    "n" * 200,
    "a\nb",
    "\udce9",
]
ENDINGS = [".sql", ".SQL", ".yml", ".yaml", ".py", ".csv", ".md", ".json", ".txt", ""]
DIRECTORIES = [
    "models",
    "models/core",
    "seeds",
    "macros",
    "tests",
    "tests/fixtures",
    "snapshots",
    "analyses",
    "functions",
    "shared",
    "shared/m",
]
SETTINGS = {
    "model-paths": [
        "[models]",
        "[shared]",
        "['models', '../shared']",
        "models/",
        "[./models, models/core]",
        "[\"{{ env_var('M', 'shared') }}\"]",
        "[/models]",
    ],
    "docs-paths": ["[shared]", "['.']"],
    "macro-paths": ["[macros, shared/m]"],
}
TARGETS = [
    "a.sql",
    "../shared",
    "../shared/a.sql",
    "..",
    ".",
    "../..",
    "core",
    "/etc/hostname",
    "nowhere",
    "../models/b.sql",
    "../shared/m/../a.sql",
    "loop",
]
CONTENTS = ["select 1", "select 1\n", "", "\ufeffselect 1\r\n", "version: 2\n", "{% docs x %}{% enddocs %}", "id,name\n1,é\n", "a\r\nb\r\n"]
READ = """
import base64, hashlib, io, json, os, sys, tarfile
from types import SimpleNamespace
from dbt.config.project import package_config_from_data
from dbt.parser import read_files
from dbt.parser.search import filesystem_search
import dbt.config.project as config
def spread(data, where):
    os.makedirs(where)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            path = os.path.join(where, member.name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if member.issym():
                os.symlink(member.linkname, path)
            elif member.isreg():
                with open(path, "wb") as file:
                    file.write(archive.extractfile(member).read())
def found(root, paths):
    project = SimpleNamespace(project_root=root, **paths)
    ignored = read_files.generate_dbt_ignore_spec(root)
    seen = {}
    for kind, facts in read_files.get_file_types_for_project(project).items():
        for extension in facts["extensions"]:
            for directory in facts["paths"]:
                try:
                    matches = filesystem_search(project, [directory], extension, ignored)
                except OSError as error:
                    # A broken link ends dbt's reading.
                    os.unlink(error.filename)
                    return found(root, paths) | {"broken " + os.path.relpath(error.filename, root): ""}
                for match in matches:
                    if kind.value == "singular_test" and match.relative_path.split("/")[0] in ("generic", "fixtures"):
                        continue
                    with open(match.full_path, "rb") as file:
                        seen[kind.value + " " + match.original_file_path] = hashlib.sha1(file.read()).hexdigest()
    for name in ("packages.yml", "selectors.yml", "vars.yml", ".dbtignore", "dbt_project.yml"):
        if os.path.isfile(os.path.join(root, name)):
            with open(os.path.join(root, name), "rb") as file:
                seen["root " + name] = hashlib.sha1(file.read()).hexdigest()
    return seen
os.chdir("/work")
for number, line in enumerate(sys.stdin):
    case = json.loads(line)
    answers = []
    for side in ("git", "ours"):
        where = os.path.join("/work", str(number), side)
        spread(base64.b64decode(case[side]), where)
        answers.append(found(os.path.normpath(os.path.join(where, "src", case["project"])), case["paths"]))
    print(json.dumps(answers), flush=True)
"""


def generate(seed: int, top: Path) -> str:
    """Write and commit a repository; the directory of its project."""
    rng = random.Random(seed)  # noqa: S311 - reproducible
    directory = rng.choice(["", "p", "deep/p q"])
    base = top / directory
    base.mkdir(parents=True, exist_ok=True)
    lines = [f"{key}: {rng.choice(values)}" for key, values in SETTINGS.items() if rng.random() < 0.4]
    write(base / "dbt_project.yml", "\n".join(["name: shop", "profile: shop", *lines]))
    for _ in range(rng.randrange(4, 25)):
        write(base / rng.choice([*DIRECTORIES, "", "../shared"]) / (rng.choice(NAMES) + rng.choice(ENDINGS)), rng.choice(CONTENTS))
    for _ in range(rng.randrange(8)):
        link(
            base / rng.choice([*DIRECTORIES, ""]) / (rng.choice([*NAMES, "core", "loop"]) + rng.choice([*ENDINGS, "", ""])),
            rng.choice(TARGETS),
        )
    for name in rng.sample(DIRECTORIES, 2):
        if rng.random() < 0.3:
            link(base / name, rng.choice(TARGETS))
    for name, text in {".dbtignore": "*.md\ncore/\n", "vars.yml": "vars: {x: 1}\n", "selectors.yml": "selectors: []\n"}.items():
        if rng.random() < 0.3:
            write(base / name, text)
    write(top / ".gitattributes", "*.txt export-ignore\n*.md export-ignore\n*.sql ident\n")
    return directory


def write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_symlink():
            path.write_bytes(text.encode())
    except OSError:
        return


def link(path: Path, target: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    except OSError:
        return


def git(path: Path, *arguments: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "core.quotePath=false")
    subprocess.run(["git", "-C", str(path), *who, *arguments], check=True, capture_output=True)


async def laid_out(tree: SourceTree, directory: str) -> ProjectLayout:
    async def contents(entries: list[checkout.Entry]) -> dict[str, bytes]:
        found = await tree.read([entry.oid for entry in entries])
        return {entry.path: found[entry.oid] for entry in entries}

    view = checkout.check_out(tree.entries, await contents(checkout.links_of(tree.entries)))
    texts = await contents(project.config_entries(view.files))
    found = discovery.find_projects([entry.path for entry in view.files], texts, RepositorySettings())
    return project.lay_out(view, texts, directory, "generated", RepositorySettings(), found)


def packed(top: Path) -> bytes:
    """An archive of a checkout."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.add(top, "src", filter=lambda info: None if "/.git/" in info.name + "/" else info)
    return data.getvalue()


def search_paths(layout: ProjectLayout, top: Path) -> dict[str, Any]:
    """What dbt makes of the settings."""
    config = mapping((top / layout.project_dir / "dbt_project.yml").read_bytes())

    def of(key: str, default: list[str]) -> list[str]:
        return [path.replace("{{ env_var('M', 'shared') }}", "shared") for path in listed(config.get(key, default))]

    names = {key: of(key, list(default)) for key, default in read_files.DEFAULT_PATHS.items() if default}
    every = sorted({path.rstrip("/") for paths in names.values() for path in paths})
    found = {key.replace("-", "_"): paths for key, paths in names.items()}
    tests = found["test_paths"]
    return {
        **found,
        "docs_paths": of("docs-paths", every),
        "all_source_paths": every,
        "generic_test_paths": [f"{path}/generic" for path in tests],
        "fixture_paths": [f"{path}/fixtures" for path in tests],
    }


@pytest.mark.containers
async def test_the_container_gets_what_dbt_finds_in_a_checkout(tmp_path: Path) -> None:
    cases, layouts = [], []
    for seed in range(TREES):
        origin, clone = tmp_path / f"{seed}", tmp_path / f"{seed}-clone"
        origin.mkdir()
        directory = generate(seed, origin)
        git(origin, "init", "--quiet")
        git(origin, "add", "--all", "--force")
        git(origin, "commit", "--quiet", "--message=x")
        git(tmp_path, "clone", "--quiet", str(origin), str(clone))
        async with (
            local_source(Place(None, origin, "HEAD"), dict(os.environ), tmp_path) as source,
            source.open(source.repository, source.sha) as tree,
        ):
            layout = await laid_out(tree, directory)
            archive = b"".join([chunk async for chunk in tree.members(layout.members)]) + bytes(1024)
        both = {"git": base64.b64encode(packed(clone)).decode(), "ours": base64.b64encode(archive).decode()}
        cases.append({**both, "project": directory, "paths": search_paths(layout, clone)})
        layouts.append(layout)
    answers = read_by_dbt(cases)
    for seed, (layout, (theirs, ours)) in enumerate(zip(layouts, answers, strict=True)):
        clone = tmp_path / f"{seed}-clone"
        omitted = {_real(clone / path) for path in layout.omitted}
        left = {
            key: value for key, value in theirs.items() if not behind(clone, clone / layout.project_dir / key.partition(" ")[2], omitted)
        }
        assert ours == left, f"tree {seed}: {sorted(set(ours.items()) ^ set(left.items()))}, omitted {omitted}"


def _real(path: Path) -> Path:
    """The path with links in directories followed, but not the last one."""
    return path.parent.resolve() / path.name


def behind(clone: Path, path: Path, omitted: set[Path]) -> bool:
    """Whether Freshet says that it does not read a path, or a link on its way."""
    return any(_real(part) in omitted for part in (path, *path.parents) if clone in part.parents)


def read_by_dbt(cases: list[dict[str, Any]]) -> list[tuple[dict[str, str], dict[str, str]]]:
    """Run dbt's search on both sides of all cases, in one container."""
    walls = ["--network=none", "--read-only", "--cap-drop=ALL", "--tmpfs=/work:mode=1777"]
    command = ["docker", "run", "--rm", "--interactive", *walls, "--entrypoint=/opt/dbt/bin/python", RUNNER_IMAGE, "-I", "-c", READ]
    lines = "".join(json.dumps(case) + "\n" for case in cases).encode()
    done = subprocess.run(command, input=lines, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]

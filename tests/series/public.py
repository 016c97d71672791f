"""Commits of public projects as the service passes them to a container: their files, their packages, and their job."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from app.core.errors import FreshetError
from app.core.models.annotations import Annotation
from app.core.models.extractions import Stage
from app.core.models.github import Repository
from app.github.git.commit_tree import CommitTree, parse_listing
from app.github.git.local import local_packages
from app.github.git.process import Git, clean_environ
from app.pipeline.decoding.inline import Inline
from app.pipeline.ports import DbtJob, Installer, PackageRequest, PackageTree, StateScope, TarStream
from app.pipeline.refresh import Commit, Tools, refresh
from app.project.runner_images import RunnerImage
from app.service import components, config
from app.store.lineages import KnownInput
from tests.compat import __main__ as compat
from tests.compat.hub import GitHub, Hub
from tests.double import git
from tests.series.containers import Tree
from tests.service import ROOT, clean_environment

REPOSITORIES = Path(os.environ.get("COMPAT_REPOSITORIES", ROOT / ".cache" / "compat"))
IMAGES = ("dbt-runner:latest", "dbt-runner:1.10", "dbt-runner:1.7")
READ = re.compile(r"\.(sql|py|ya?ml|md|csv)$", re.IGNORECASE)
UNREAD = re.compile(r"(^|/)(\.|readme|changelog|contributing|license)|(^|/)profiles\.yml$", re.IGNORECASE)
"""Files that dbt may read: the first without the second."""
MISSING = re.compile(rb"\d+ blob [0-9a-f]+ +BAD\t")
LOST = b"missing"
KINDS: dict[str, Callable[[bytes], git.Content]] = {
    "100644": lambda content: content,
    "100755": git.Executable,
    "120000": lambda content: git.Symlink(content.decode()),
}
SCOPE = StateScope(1, 2, "series", own="main", followed="main", fresh=False)


@dataclass(frozen=True)
class Parsing:
    """What a commit makes of a container: a job on files and packages."""

    job: DbtJob
    tree: Tree
    input_hash: bytes


@dataclass(frozen=True)
class Carried:
    """dbt need not run: an earlier commit had the same input."""

    input_hash: bytes


@dataclass(frozen=True)
class Refused:
    """Nothing reaches a container."""

    reason: str


Prepared = Parsing | Carried | Refused


class _CapturedError(Exception):
    def __init__(self, parsing: Parsing) -> None:
        super().__init__("captured")
        self.parsing = parsing


class _Source:
    """A bare repository (implements `ports.Sources`), of whose biggest files a snapshot may lack the contents: they are left out."""

    def __init__(self, git: Git, git_dir: str) -> None:
        self._git, self._git_dir = git, git_dir

    @asynccontextmanager
    async def open(self, repository: Repository, sha: str, ref: str = "") -> AsyncIterator[CommitTree]:
        del ref
        listing = await self._git.run("--git-dir", self._git_dir, "ls-tree", "-r", "-z", "--long", sha)
        there = b"\0".join(line for line in listing.split(b"\0") if not MISSING.match(line))
        tree = CommitTree(self._git, self._git_dir, sha, parse_listing(there), f"{repository.full_name} at {sha[:7]}")
        try:
            yield tree
        finally:
            await tree.close()


class _Capturing:
    """A `ports.Runner` that stops an extraction where dbt would start."""

    def __init__(self, images: Sequence[RunnerImage]) -> None:
        self._images = images

    async def images(self) -> Sequence[RunnerImage]:
        return self._images

    async def parse(self, job: DbtJob, tree: TarStream, packages: PackageTree | None) -> NoReturn:
        files = b"".join([part async for part in tree])
        packed = None if packages is None else b"".join([part async for part in packages.stream()])
        raise _CapturedError(Parsing(replace(job, show_log=None, state=SCOPE), Tree(files, packed), b""))

    async def identify(self, request: PackageRequest) -> str:
        raise NotImplementedError

    async def install(self, request: PackageRequest) -> PackageTree:
        raise NotImplementedError

    async def sweep(self) -> int:
        return 0

    async def keep_warm(self, used: Sequence[tuple[str, str, float]]) -> None:
        pass

    async def check(self) -> str:
        return ""

    async def close(self) -> None:
        pass


class _Progress:
    """Takes `project_dir`, and knows the inputs of earlier commits (implements `refresh.Progress`)."""

    def __init__(self, project_dir: str | None, known: set[bytes]) -> None:
        self._project_dir, self._known = project_dir, known
        self.input_hash = b""

    async def enter(self, stage: Stage) -> None:
        pass

    async def choose_project_dir(self, projects: Sequence[str]) -> str | None:
        del projects
        return self._project_dir

    async def find_known_input(self, input_hash: bytes) -> KnownInput | None:
        self.input_hash = input_hash
        return KnownInput(0, "", {}) if input_hash in self._known else None

    def record(self, **facts: object) -> None:
        pass

    def record_log(self, log: str) -> None:
        pass

    async def show_log(self, log: str) -> None:
        pass

    def annotate(self, annotations: Sequence[Annotation]) -> None:
        pass


class PublicProject:
    """One project of a public repository."""

    def __init__(self, full_name: str, project_dir: str | None, installer: Installer, images: Sequence[RunnerImage], scratch: str) -> None:
        self.full_name, self.project_dir = full_name, project_dir
        self.hub_url = os.environ["DBT_PACKAGE_HUB_URL"]
        self.git_dir = str(GitHub(REPOSITORIES).repository(full_name))
        self._installer, self._images = installer, images
        self._git = Git(clean_environ(os.environ, home=scratch, protocols="file"))
        self.known: set[bytes] = set()
        """Hashes of the inputs of commits that were parsed: add to it."""

    async def find(self) -> None:
        """Take the directory that the service would, if none was given."""
        prepared = await self.prepare("HEAD")
        if self.project_dir is None and isinstance(prepared, Parsing):
            self.project_dir = prepared.job.project_dir

    def commits(self, count: int) -> list[str]:
        """The last commits of the main branch that change what dbt may read, the oldest first."""
        below = [self.project_dir] if self.project_dir else []
        found: list[str] = []
        for sha in self.read("rev-list", "--first-parent", "HEAD", "--", *below).split():
            if len(found) == count:
                break
            if any(READ.search(path) and not UNREAD.search(path) for path in self.changes(sha)):
                found.append(sha)
        return found[::-1]

    def changes(self, sha: str) -> list[str]:
        """The paths that a commit changes in the project."""
        below = [self.project_dir] if self.project_dir else []
        return self.read("diff-tree", "-r", "-m", "--first-parent", "--root", "--no-commit-id", "--name-only", sha, "--", *below).split(
            "\n"
        )

    def contents(self, sha: str, before: str | None) -> dict[str, git.Content | None]:
        """What to change so that the files of a commit become those of another; None: all files of a commit."""
        if before is None:
            listed = self.read("ls-tree", "-r", "-z", sha).split("\0")
            entries = {line.partition("\t")[2]: tuple(line.split(None, 3)[:3:2]) for line in listed if " blob " in line}
        else:
            parts = self.read("diff-tree", "-r", "-z", "--no-renames", before, sha).split("\0")
            pairs = zip(parts[::2], parts[1::2], strict=False)
            entries = {path: tuple(facts.split()[1:4:2]) for facts, path in pairs}
        found = _batch([oid for mode, oid in entries.values() if mode in KINDS], self.git_dir)
        return {path: KINDS[mode](found[oid]) if mode in KINDS else None for path, (mode, oid) in entries.items() if found.get(oid) != LOST}

    def read(self, *arguments: str) -> str:
        """Run git in the repository."""
        return subprocess.run(["git", "--git-dir", self.git_dir, *arguments], check=True, capture_output=True, text=True).stdout

    async def prepare(self, sha: str) -> Prepared:
        """Do all of an extraction up to dbt."""
        repository = Repository(0, self.full_name, 0)
        progress = _Progress(self.project_dir, self.known)
        tools = Tools(_Source(self._git, self.git_dir), self._installer, _Capturing(self._images), Inline())
        try:
            await refresh(Commit("series", repository, sha, columns=False), tools, progress)
        except _CapturedError as captured:
            return replace(captured.parsing, input_hash=progress.input_hash)
        except FreshetError as error:
            return Refused(str(error))
        return Carried(progress.input_hash)


def _batch(oids: Sequence[str], git_dir: str) -> dict[str, bytes]:
    """The contents of blobs; `LOST` for those that a snapshot lacks."""
    command = ["git", "--git-dir", git_dir, "cat-file", "--batch"]
    stream = io.BytesIO(subprocess.run(command, check=True, capture_output=True, input="\n".join(oids).encode()).stdout)
    found = {}
    for oid in oids:
        size = stream.readline().split()[-1]
        found[oid] = LOST if size == LOST else stream.read(int(size))
        stream.seek(0 if size == LOST else 1, io.SEEK_CUR)
    return found


@asynccontextmanager
async def projects(names: Iterable[tuple[str, str | None]]) -> AsyncIterator[list[PublicProject]]:
    """Open projects: repositories as OWNER/NAME with directories, None: the one that Freshet chooses. Packages come from a stand-in hub."""
    github = GitHub(REPOSITORIES)
    _, listed = compat.read()
    images = await asyncio.to_thread(lambda: [image for name in IMAGES if (image := described(name)) is not None])
    with tempfile.TemporaryDirectory(prefix="freshet-series-") as scratch:
        async with Hub(github, listed["packages"], listed["redirects"], listed["untagged"]).serve() as hub_url:
            with _environment(compat.environment(scratch, REPOSITORIES, f"{hub_url}/")):
                settings = config.read()
                packages = local_packages(config.environment(), settings.work_dir, settings.github_server_url, settings.package_hosts)
                settings.work_dir.mkdir(parents=True)
                async with components.installer(settings, packages, settings.github_server_url) as installer:
                    found = [PublicProject(name, directory, installer, images, scratch) for name, directory in names]
                    for project in found:
                        await project.find()
                    yield found


class _environment:  # noqa: N801 - used like a function
    """This process's environment, for a while."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def __enter__(self) -> None:
        self._before = dict(os.environ)
        os.environ.clear()
        os.environ.update({**clean_environment(), **self._variables})

    def __exit__(self, *_: object) -> None:
        os.environ.clear()
        os.environ.update(self._before)


def described(name: str) -> RunnerImage | None:
    """An image of the engine; None if there is none."""
    answer = subprocess.run(["docker", "image", "inspect", name], check=False, capture_output=True, text=True)
    if answer.returncode:
        return None
    [found] = json.loads(answer.stdout)
    labels = found["Config"]["Labels"]
    return RunnerImage(name, found["Id"], labels["io.freshet.dbt-version"], frozenset(labels["io.freshet.adapters"].split()))

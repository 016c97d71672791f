"""What running dbt on one project of a commit needs: its files, packages, adapter and dbt version.

Works from the list of files of the commit and the contents of the small ones. Where YAML is invalid, more is included rather than less (the
whole directory, packages), so that dbt runs and reports the mistake itself.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.core.models.other_projects import OtherProject
from app.core.yaml_text import join, listed, literal, mapping
from app.project import adapter_evidence, dbt_version, package_files, repository_settings
from app.project.adapter_choice import AdapterChoice, infer, is_settled
from app.project.adapter_evidence import literal_or_default
from app.project.checkout import FILE_MODES, Checkout, Entry
from app.project.committed_packages import find_installed
from app.project.directory_names import is_installed
from app.project.discovery import DiscoveredProjects
from app.project.expressions import Values, resolved
from app.project.other_projects import named_projects
from app.project.package_files import PACKAGE_FILES, PACKAGE_TEXTS, invalid_yaml, local_directories, package_roots
from app.project.read_files import Member, read_paths
from app.project.repository_settings import RepositorySettings
from app.project.runner_images import RequestedVersion

PROJECT_FILE = package_files.PROJECT_FILE
NO_PROFILE = "freshet"
"""The profile's name when the project names none."""
MAX_CONFIG_BYTES = 1 << 20
MAX_EVIDENCE_BYTES = 256 << 10
MAX_LOCK_BYTES = 4 << 20
MAX_LOCK_FILES = 50
MAX_CONFIG_FILES = 500
MAX_CONFIG_TOTAL_BYTES = 8 << 20
MAX_LOCK_TOTAL_BYTES = 24 << 20
CODE_OWNERS = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""The first one that exists counts, as on GitHub."""
MAX_CODE_OWNERS_BYTES = 3 << 20
"""GitHub does not read longer ones."""
MAX_CODE_BYTES = 64 << 10
MAX_CODE_FILES = 300
MAX_CODE_PATHS = 50
MAX_CODE_TOTAL_BYTES = 4 << 20

Texts = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class ProjectLayout:
    """Everything about a commit that running dbt on one of its projects needs."""

    project_dir: str
    project_name: str | None
    profile: str
    adapter: AdapterChoice
    dbt: RequestedVersion
    settings: RepositorySettings
    discovered: DiscoveredProjects
    """All projects of the repository, this one included."""
    needs_packages: bool
    """Whether packages have to be installed; False when they are committed."""
    install_dir: str
    """Where packages go, relative to the root of the repository."""
    package_texts: Mapping[str, bytes]
    """See `ports.PackageRequest.texts`."""
    members: tuple[Member, ...]
    committed: Mapping[str, str] = field(default_factory=dict)
    """If some packages have to be fetched, the directories of those that need not be, by the address that asks for them."""
    omitted: Mapping[str, str] = field(default_factory=dict)
    """Files that a checkout has for dbt and the container has not, with the reasons, which continue "`models/a.sql` …"."""
    long_seeds: tuple[str, ...] = ()
    """Seeds over the size up to which dbt compares contents."""
    unreadable: tuple[str, ...] = ()
    """Configuration files that are not valid YAML: dbt fails on them without naming them."""
    code_owners: bytes | None = None
    """The repository's CODEOWNERS."""
    other_projects: tuple[OtherProject, ...] = ()
    """Those that it names, to refer to their models."""


def config_entries(entries: Sequence[Entry]) -> list[Entry]:
    """Return the files of a checkout to read before `lay_out`: dbt's configuration, and evidence of adapter and version."""
    ranked = [(rank, entry.path.count("/"), entry.path, entry) for entry in entries if (rank := _rank(entry)) is not None]
    nearest = [entry for *_, entry in sorted(ranked, key=lambda item: item[:3])]
    locks = _bounded((entry for entry in nearest if adapter_evidence.is_lock(entry.path)), MAX_LOCK_FILES, MAX_LOCK_TOTAL_BYTES)
    others = (entry for entry in nearest if not adapter_evidence.is_lock(entry.path))
    return [*_bounded(others, MAX_CONFIG_FILES - len(locks), MAX_CONFIG_TOTAL_BYTES), *locks, *_code_owners(entries)]


def code_entries(checkout: Checkout, texts: Texts, project_dir: str, settings: RepositorySettings) -> list[Entry]:
    """Return the models and macros to read as well, to infer the adapter; none if `texts` already decide it."""
    config = mapping(texts.get(posixpath.join(project_dir, PROJECT_FILE)))
    if is_settled(project_dir, literal_or_default(config.get("profile")), texts, settings.for_project(project_dir)):
        return []
    models = [name for key in ("model-paths", "source-paths", "snapshot-paths") for name in listed(config.get(key)) if literal(name)]
    macros = [name for name in listed(config.get("macro-paths", "macros")) if literal(name)]
    below = [path for name in (*(models or ["models"]), *macros)[:MAX_CODE_PATHS] if (path := join(project_dir, name)) is not None]
    found = {entry.path: entry for directory in below for entry in checkout.below(directory)}
    return bounded_code([found[path] for path in sorted(found) if path.endswith((".sql", ".yml", ".yaml"))])


def bounded_code(entries: Sequence[Entry]) -> list[Entry]:
    """Return some of the models and macros, from everywhere if there are too many."""
    code = [entry for entry in entries if entry.size <= MAX_CODE_BYTES]
    return _bounded(code[:: max(1, -(-len(code) // MAX_CODE_FILES))], MAX_CODE_FILES, MAX_CODE_TOTAL_BYTES)


def lay_out(
    checkout: Checkout, texts: Texts, project_dir: str, label: str, settings: RepositorySettings, discovered: DiscoveredProjects
) -> ProjectLayout:
    """Decide which files of a commit go into the container, and how dbt is run.

    `texts` has the contents of `config_entries` and `code_entries` by path. Raises TreeTooBigError, see `ReadPaths.members`.
    """
    own = settings.for_project(project_dir)
    values = Values(own.environment, own.variables)
    texts = checkout.with_links(texts)
    config = mapping(texts.get(posixpath.join(project_dir, PROJECT_FILE)))
    roots = list(package_roots(project_dir, texts))
    install_dir = package_files.install_dir(project_dir, resolved(config.get("packages-install-path"), values))
    installed = find_installed(install_dir, roots, checkout, texts)
    read = read_paths(roots, texts, values, installed.directories)
    members = read.members(checkout, label)
    profile = literal_or_default(config.get("profile"))
    return ProjectLayout(
        project_dir=project_dir,
        project_name=literal(config.get("name")),
        profile=profile or NO_PROFILE,
        adapter=infer(project_dir, profile, texts, own),
        dbt=dbt_version.requested_version(project_dir, texts, own),
        settings=settings,
        discovered=discovered,
        needs_packages=not installed.complete,
        install_dir=install_dir,
        package_texts={
            path: texts[path]
            for root in (*roots, *installed.by_address.values())
            for name in PACKAGE_TEXTS
            if (path := posixpath.join(root, name)) in texts
        },
        committed={} if installed.complete else installed.by_address,
        members=members,
        omitted=read.omitted(checkout, _other_directories(roots, project_dir, install_dir, checkout, texts)),
        long_seeds=read.long_seeds(members),
        unreadable=tuple(invalid_yaml(project_dir, texts, (PROJECT_FILE, *PACKAGE_FILES))),
        code_owners=next((texts[path] for path in CODE_OWNERS if path in texts), None),
        other_projects=tuple(map(OtherProject, named_projects(project_dir, texts))),
    )


def _other_directories(roots: Sequence[str], project_dir: str, install_dir: str, checkout: Checkout, texts: Texts) -> Iterator[str]:
    """Directories of packages, which may be in submodules."""
    yield from local_directories(roots, project_dir, texts)
    yield from (path for path in checkout.submodules if posixpath.dirname(path) == install_dir)


def input_hash(layout: ProjectLayout, *more: str) -> bytes:
    """Hash everything that determines the lineage (files, settings, `more`) to 16 bytes: equal hashes mean equal lineages.

    `more` must identify the image, the adapter and the packages that are used; a layout only says what was requested.
    """
    digest = hashlib.blake2b(digest_size=16)
    adapter, settings = layout.adapter, layout.settings
    for text in (layout.project_dir, layout.profile, adapter.adapter_type, adapter.target, layout.install_dir, str(layout.needs_packages)):
        digest.update(text.encode(errors="surrogateescape") + b"\0")
    for text in (repr(adapter.names), repr(settings.for_project(layout.project_dir)), repr(settings.packages), *more):
        digest.update(text.encode(errors="surrogateescape") + b"\0")
    for path in sorted(layout.package_texts):
        content = layout.package_texts[path]
        digest.update(f"{path}\0{len(content)}\0".encode(errors="surrogateescape") + content)
    if layout.code_owners is not None:
        digest.update(b"CODEOWNERS\0" + hashlib.blake2b(layout.code_owners).digest())
    for other in layout.other_projects:
        # What is not known of a project has no effect.
        if other.models or other.state == "ambiguous":
            digest.update(f"{other!r}\0".encode())
    for member in layout.members:
        digest.update(f"{member.path}\0{member.oid}\0".encode("utf-8", "surrogateescape"))
    return digest.digest()


def _code_owners(entries: Sequence[Entry]) -> list[Entry]:
    found = {entry.path: entry for entry in entries if entry.path in CODE_OWNERS and entry.mode in FILE_MODES}
    first = next((found[path] for path in CODE_OWNERS if path in found), None)
    return [] if first is None or first.size > MAX_CODE_OWNERS_BYTES else [first]


def _rank(entry: Entry) -> int | None:
    """The order in which files are read, 0 first; None: not read."""
    if entry.mode not in FILE_MODES or entry.size > MAX_LOCK_BYTES:
        return None
    directory, name = posixpath.split(entry.path)
    if name in PACKAGE_TEXTS or entry.path == repository_settings.PATH:
        rank, most = 9 if is_installed(directory) else 0, MAX_CONFIG_BYTES
    else:
        weight = adapter_evidence.evidence_rank(entry.path)
        if weight is None or is_installed(directory):
            return None
        rank, most = 2 + weight, MAX_LOCK_BYTES if adapter_evidence.is_lock(entry.path) else MAX_EVIDENCE_BYTES
    return rank if entry.size <= most else None


def _bounded(entries: Iterable[Entry], count: int, size: int) -> list[Entry]:
    chosen: list[Entry] = []
    for entry in entries:
        if len(chosen) < count and entry.size <= size:
            chosen.append(entry)
            size -= max(0, entry.size)
    return chosen

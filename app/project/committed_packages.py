"""Packages that a repository contains below the install path, compared with those that its projects ask for.

By name and version: a directory that nobody asks for installs nothing. dbt itself only counts them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.core.yaml_text import join, listed, literal, mapping
from app.project.checkout import Checkout
from app.project.package_files import LOCK_FILE, PACKAGE_FILES, PROJECT_FILE, invalid_yaml, package_specs
from app.project.runner_images import fits

MAX_SPECS = 500
"""Of one list."""

Texts = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class InstalledPackages:
    """Which of the packages that are asked for are committed."""

    complete: bool
    """Whether there is nothing to fetch."""
    directories: tuple[str, ...] = ()
    """Those that dbt is to read. If anything has to be fetched, only those that are asked for."""
    by_address: Mapping[str, str] = field(default_factory=dict)
    """The directories of packages that need not be fetched, by the address that asks for them."""


@dataclass(frozen=True, slots=True)
class _Committed:
    directory: str
    name: str
    version: str | None


def find_installed(install_dir: str, roots: Sequence[str], checkout: Checkout, texts: Texts) -> InstalledPackages:
    """Compare the packages below `install_dir` with what the project at `roots[0]`, its local packages, and committed ones ask for."""
    asked = [(root, spec) for root in roots for spec in package_specs(root, texts)[:MAX_SPECS]]
    unreadable = any(invalid_yaml(root, texts, PACKAGE_FILES) for root in roots)
    committed = [_read(directory, texts) for directory in _directories(install_dir, checkout)]
    everything = tuple(package.directory for package in committed)
    if not asked:
        return InstalledPackages(complete=bool(committed) or not unreadable, directories=everything)
    by_name = {name: package for package in committed for name in (posixpath.basename(package.directory), package.name)}
    found: dict[str, _Committed] = {}
    unknown = 0
    missing = unreadable
    pending, seen = asked, set(roots)
    locked = _locked(roots[0], texts)
    local = {root: literal(mapping(texts.get(posixpath.join(root, PROJECT_FILE))).get("name")) or "" for root in roots}
    while pending:
        root, spec = pending.pop()
        package, known = _match(spec, _names(spec, roots[0], root, locked, local), by_name, locked)
        if package is None:
            missing, unknown = missing or known, unknown + (not known)
        else:
            found[_address(spec)] = package
            if package.directory not in seen:
                seen.add(package.directory)
                pending.extend((package.directory, one) for one in package_specs(package.directory, texts)[:MAX_SPECS])
    used = {package.directory for package in found.values()}
    # A git repository may have another name than its package: these may be the ones.
    complete = not missing and unknown <= len(everything) - len(used)
    kept = everything if complete else tuple(directory for directory in everything if directory in used)
    return InstalledPackages(complete, kept, {address: package.directory for address, package in found.items()})


def _directories(install_dir: str, checkout: Checkout) -> list[str]:
    inside = {posixpath.dirname(entry.path) for entry in checkout.below(install_dir) if posixpath.basename(entry.path) == PROJECT_FILE}
    linked = [link for link in checkout.links if posixpath.dirname(link) == install_dir]
    inside |= {link for link in linked if checkout.file(posixpath.join(link, PROJECT_FILE)) is not None}
    return sorted(directory for directory in inside if posixpath.dirname(directory) == install_dir)


def _read(directory: str, texts: Texts) -> _Committed:
    config = mapping(texts.get(posixpath.join(directory, PROJECT_FILE)))
    version = config.get("version")
    return _Committed(directory, literal(config.get("name")) or posixpath.basename(directory), None if version is None else str(version))


def _address(spec: Mapping[str, Any]) -> str:
    return next((str(spec[kind]) for kind in ("local", "tarball", "git", "private", "package") if kind in spec), "")


def _locked(project_dir: str, texts: Texts) -> dict[str, dict[str, Any]]:
    """The entries of the lock file by address."""
    lock = mapping(texts.get(posixpath.join(project_dir, LOCK_FILE)))
    return {_address(spec): spec for spec in listed(lock.get("packages")) if isinstance(spec, dict)}


def _names(
    spec: Mapping[str, Any], project_dir: str, root: str, locked: Mapping[str, Mapping[str, Any]], local_names: Mapping[str, str]
) -> tuple[list[str], bool]:
    """Names that a package may have, and whether one of them must be right."""
    if name := literal(spec.get("name")) or literal(locked.get(_address(spec), {}).get("name")):
        return [name], True
    if local := literal(spec.get("local")):
        paths = (join(base, local) for base in (project_dir, root))
        return [local_names[path] for path in paths if path is not None and path in local_names], True
    last = _address(spec).rstrip("/").removesuffix(".git").rpartition("/")[2]
    if "package" in spec and "{{" not in last:
        return [last], True
    return [last, re.sub(r"\W+", "_", last), re.sub(r"^dbt[-_]", "", last)], False


def _match(
    spec: Mapping[str, Any], names: tuple[list[str], bool], by_name: Mapping[str, _Committed], locked: Mapping[str, Mapping[str, Any]]
) -> tuple[_Committed | None, bool]:
    """The committed package that a request means, if its version is in the requested range; and whether its name is known."""
    candidates, known = names
    package = next((by_name[name] for name in candidates if name in by_name), None)
    if package is None:
        return None, known
    required = [str(part) for part in listed(spec.get("version"))] if "package" in spec else []
    # Many packages never change the version in their own project file: the lock file knows better.
    versions = [str(version) for version in (locked.get(_address(spec), {}).get("version"), package.version) if version is not None]
    right = not required or not versions or any(fits(version, required) for version in versions)
    return (package if right else None), True

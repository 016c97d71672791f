"""Finds the commit of a branch, a tag or a sha in a remote repository, without fetching it: https://git-scm.com/docs/git-ls-remote."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.core.errors import GoneError
from app.github.git.process import Git

LS_REMOTE_S = 60.0
MAX_LISTING_BYTES = 32 << 20

_SHA = re.compile(r"[0-9a-f]{40}")
_ABBREVIATED = re.compile(r"[0-9a-f]{7,39}")
_REVISION = re.compile(r"(?![-/.])(?!.*(?:\.\.|//|/\.|@\{|\.lock(?:/|$)|[/.]$))[^\x00-\x20\x7f~^:?*\[\\]{1,255}")
"""https://git-scm.com/docs/git-check-ref-format."""


@dataclass(frozen=True, slots=True)
class ResolvedRevision:
    """A commit, and a reference to it if one is known."""

    sha: str
    ref: str = ""


async def resolve_revision(
    git: Git, url: str, revision: str | None, doing: str, *, config: Mapping[str, str] | None = None, secrets: Sequence[str] = ()
) -> ResolvedRevision:
    """Find the commit of `revision`; None means the head of the default branch. Raises GoneError or GitError.

    The server is asked even for a complete sha: access to the repository may have ended while it is still in our cache.
    """
    if revision is not None and not _REVISION.fullmatch(revision):
        raise GoneError(doing, f"{revision!r} cannot be a branch, a tag or a commit")
    arguments = ("ls-remote", "--quiet", "--", url, *_patterns(revision))
    listing = await git.run(*arguments, config=config, secrets=secrets, timeout_s=LS_REMOTE_S, max_bytes=MAX_LISTING_BYTES)
    found = choose_commit(revision, parse_refs(listing))
    if found is None:
        raise _missing(revision, doing)
    return found


def parse_refs(listing: bytes) -> dict[str, str]:
    """Object ids by reference name."""
    lines = [line.split("\t", 1) for line in listing.decode(errors="replace").splitlines() if "\t" in line]
    return {name: sha for sha, name in lines if _SHA.fullmatch(sha)}


def choose_commit(revision: str | None, refs: Mapping[str, str]) -> ResolvedRevision | None:
    """Choose the commit of a revision, None if there is none. A tag wins over a branch with the same name, as in dbt.

    https://github.com/dbt-labs/dbt-core/blob/main/core/dbt/clients/git.py, `_checkout`

    >>> choose("v1", {"refs/heads/v1": "a" * 40, "refs/tags/v1": "b" * 40, "refs/tags/v1^{}": "c" * 40})
    ResolvedRevision(sha='cccccccccccccccccccccccccccccccccccccccc', ref='refs/tags/v1')
    """
    if revision is None:
        return ResolvedRevision(refs["HEAD"], "HEAD") if "HEAD" in refs else None
    for ref in (f"refs/tags/{revision}", f"refs/heads/{revision}", revision if revision.startswith("refs/") else ""):
        sha = refs.get(f"{ref}^{{}}") or refs.get(ref)
        if sha:
            return ResolvedRevision(sha, ref)
    if _SHA.fullmatch(revision):
        return ResolvedRevision(revision)
    if not _ABBREVIATED.fullmatch(revision):
        return None
    heads = {sha: ref for ref, sha in refs.items() if sha.startswith(revision)}
    return ResolvedRevision(*heads.popitem()) if len(heads) == 1 else None


def _patterns(revision: str | None) -> tuple[str, ...]:
    """Arguments for ls-remote; none (all references) to search for an abbreviated sha."""
    if revision is None:
        return ("HEAD",)
    if _ABBREVIATED.fullmatch(revision):
        return ()
    return ("HEAD", revision, f"refs/heads/{revision}", f"refs/tags/{revision}", f"refs/tags/{revision}^{{}}")


def _missing(revision: str | None, doing: str) -> GoneError:
    if revision is None:
        return GoneError(doing, "the repository has no commit yet")
    if _ABBREVIATED.fullmatch(revision):
        reason = f"{revision} is neither a branch or tag, nor the newest commit of one"
        return GoneError(doing, reason, "Use the complete sha of the commit, with 40 characters. dbt requires that, too.")
    return GoneError(doing, f"there is no branch, tag or commit {revision}", "Check the package's `revision`.")

"""Which commit a branch, a tag or a sha of a remote repository stands for, without fetching anything: https://git-scm.com/docs/git-ls-remote."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.errors import GoneError
from app.github.git import Git

LS_REMOTE_S = 60.0
MAX_LISTING_BYTES = 32 << 20

_SHA = re.compile(r"[0-9a-f]{40}")
_ABBREVIATED = re.compile(r"[0-9a-f]{7,39}")
_REVISION = re.compile(r"(?![-/.])(?!.*(?:\.\.|//|/\.|@\{|\.lock(?:/|$)|[/.]$))[^\x00-\x20\x7f~^:?*\[\\]{1,255}")
"""https://git-scm.com/docs/git-check-ref-format."""


@dataclass(frozen=True, slots=True)
class Found:
    """A commit, and a reference that leads to it, if one is known."""

    sha: str
    ref: str = ""


async def look_up(
    git: Git, url: str, revision: str | None, doing: str, *, config: Mapping[str, str] | None = None, secrets: Sequence[str] = ()
) -> Found:
    """Return the commit of `revision`, None being the default branch's newest. Raises GoneError, or GitError as the server answers.

    The server is asked even for a whole sha: who may not read the repository any more learns nothing from what we still have of it.
    """
    if revision is not None and not _REVISION.fullmatch(revision):
        raise GoneError(doing, f"{revision!r} cannot be a branch, a tag or a commit")
    arguments = ("ls-remote", "--quiet", "--", url, *_patterns(revision))
    listing = await git.run(*arguments, config=config, secrets=secrets, timeout_s=LS_REMOTE_S, max_bytes=MAX_LISTING_BYTES)
    found = choose(revision, parse(listing))
    if found is None:
        raise _missing(revision, doing)
    return found


def parse(listing: bytes) -> dict[str, str]:
    """Return the object ids of references by name."""
    lines = [line.split("\t", 1) for line in listing.decode(errors="replace").splitlines() if "\t" in line]
    return {name: sha for sha, name in lines if _SHA.fullmatch(sha)}


def choose(revision: str | None, refs: Mapping[str, str]) -> Found | None:
    """Return what a revision stands for; a tag comes before a branch of the same name, as for dbt.

    https://github.com/dbt-labs/dbt-core/blob/main/core/dbt/clients/git.py, `_checkout`

    >>> choose("v1", {"refs/heads/v1": "a" * 40, "refs/tags/v1": "b" * 40, "refs/tags/v1^{}": "c" * 40})
    Found(sha='cccccccccccccccccccccccccccccccccccccccc', ref='refs/tags/v1')
    """
    if revision is None:
        return Found(refs["HEAD"], "HEAD") if "HEAD" in refs else None
    for ref in (f"refs/tags/{revision}", f"refs/heads/{revision}", revision if revision.startswith("refs/") else ""):
        sha = refs.get(f"{ref}^{{}}") or refs.get(ref)
        if sha:
            return Found(sha, ref)
    if _SHA.fullmatch(revision):
        return Found(revision)
    if not _ABBREVIATED.fullmatch(revision):
        return None
    heads = {sha: ref for ref, sha in refs.items() if sha.startswith(revision)}
    return Found(*heads.popitem()) if len(heads) == 1 else None


def _patterns(revision: str | None) -> tuple[str, ...]:
    """Return what to ask for: all references only where one may end in the commit that an abbreviated sha begins."""
    if revision is None:
        return ("HEAD",)
    if _ABBREVIATED.fullmatch(revision):
        return ()
    return ("HEAD", revision, f"refs/heads/{revision}", f"refs/tags/{revision}", f"refs/tags/{revision}^{{}}")


def _missing(revision: str | None, doing: str) -> GoneError:
    if revision is None:
        return GoneError(doing, "the repository has no commit yet")
    if _ABBREVIATED.fullmatch(revision):
        reason = f"{revision} is no branch or tag, and not the newest commit of one"
        return GoneError(doing, reason, "Write the commit with all of its 40 characters: dbt knows no shorter ones either.")
    return GoneError(doing, f"there is no branch, tag or commit {revision}", "Check `revision` where the package is asked for.")

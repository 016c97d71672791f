"""Which private repositories of its installation a repository may use as packages: the operator's `FRESHET_PRIVATE_PACKAGES`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from app.core.models.github import Repository

INSTALLATION, NONE = "installation", "none"
_PATTERN = re.compile(r"[\w.*-]+/[\w.*-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class PrivatePackages:
    """The rules: `installation`, or names and patterns of the repositories that are packages for all of their installation."""

    rules: tuple[str, ...] = (INSTALLATION,)

    def allows(self, requester: Repository, full_name: str) -> bool:
        """Whether `requester` may use `full_name` as a package, provided that its installation contains it.

        What is in a package stands in the lineages of those who use it, and everybody can read those of a public repository.
        """
        if INSTALLATION in self.rules and requester.private:
            return True
        return any("/" in rule and fnmatchcase(full_name.lower(), rule.lower()) for rule in self.rules)

    def allows_models(self, requester: Repository, other: Repository) -> bool:
        """Whether lineages of `requester` may have public models of `other`, of the same installation.

        Otherwise `ref()` would tell anybody who can push, or open a pull request, which models a private repository has.
        """
        return other.id == requester.id or not other.private or self.allows(requester, other.full_name)

    def scope(self, requester: Repository) -> str:
        """Equal for requesters that may use the same packages of an installation."""
        return f"{' '.join(self.rules)} {'private' if requester.private else 'public'}"


def check(rules: list[str]) -> list[str]:
    """Check the rules of the configuration. Raises ValueError.

    >>> check(["installation", "acme/dbt-*"])
    ['installation', 'acme/dbt-*']
    """
    for text in rules:
        if text not in {INSTALLATION, NONE} and not _PATTERN.fullmatch(text):
            message = f"{text!r} is neither installation, none nor a repository such as acme/dbt-tools or acme/dbt-*"
            raise ValueError(message)
    if not rules or (NONE in rules and len(rules) > 1):
        message = "must be none alone, or what may be used: installation, or repositories such as acme/dbt-*"
        raise ValueError(message)
    return rules

"""Addresses on GitHub, and Markdown that links to them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from app.reports.markdown import code


@dataclass(frozen=True, slots=True)
class RepositoryLinks:
    """Addresses in one repository. Everything in them is escaped, so a link ends where it should."""

    server_url: str
    full_name: str

    def commit(self, sha: str) -> str:
        """The page of a commit."""
        return f"{self._repository}/commit/{_quoted(sha)}"

    def file(self, sha: str, path: str, line: int | None = None) -> str:
        """A file at a commit, at a line."""
        return f"{self._repository}/blob/{_quoted(sha)}/{_quoted(path)}{f'#L{line}' if line else ''}"

    def pull_request(self, number: int) -> str:
        """The page of a pull request."""
        return f"{self._repository}/pull/{number}"

    @property
    def _repository(self) -> str:
        return f"{self.server_url.rstrip('/')}/{_quoted(self.full_name)}"


def link(text: str, address: str | None) -> str:
    """Untrusted text as code that links to an address of ours; without an address, only the code."""
    return f"[{code(text)}]({address})" if address else code(text)


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "replace"), safe="/")

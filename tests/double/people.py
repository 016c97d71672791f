"""Other holders of tokens: users, other Apps, and workflows of GitHub Actions.

https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github#githubs-token-formats
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta

from tests.double.auth import new_token_value, random_text
from tests.double.pulls import Pulls
from tests.double.state import Repository, Role, Token

LIFETIME = timedelta(hours=8)


class People(Pulls):
    """Creates tokens. ``roles`` are the users' roles in repositories; other private repositories are not found."""

    def user_token(
        self,
        login: str,
        roles: Mapping[Repository, Role],
        *,
        client_id: str | None = None,
        permissions: Mapping[str, str] | None = None,
    ) -> str:
        """A user token of our App, limited to its installations, or of another App with these permissions."""
        return self._user_token("ghu_", login, roles, client_id=client_id or self.app.client_id, permissions=dict(permissions or {}))

    def classic_token(
        self, login: str, roles: Mapping[Repository, Role], *, scopes: Collection[str] = ("repo",), prefix: str = "ghp_"
    ) -> str:
        """A classic personal token, or (``gho_``) one of an OAuth app."""
        return self._user_token(prefix, login, roles, scopes=frozenset(scopes))

    def fine_grained_token(
        self,
        login: str,
        roles: Mapping[Repository, Role],
        *,
        permissions: Mapping[str, str],
        repositories: Collection[Repository] | None = None,
    ) -> str:
        """A fine-grained personal token, for some of the user's repositories or for all of them."""
        chosen = None if repositories is None else frozenset(repository.id for repository in repositories)
        return self._user_token("github_pat_", login, roles, permissions={"metadata": "read", **permissions}, repository_ids=chosen)

    def actions_token(self, repository: Repository, permissions: Mapping[str, str]) -> str:
        """A workflow's ``GITHUB_TOKEN``: https://docs.github.com/en/actions/security-for-github-actions/security-guides."""
        value = new_token_value(self.app.id, self.state.token_form, len(self.state.tokens))
        only = frozenset({repository.id})
        return self._keep(Token(value, self.state.now() + LIFETIME, {"metadata": "read", **permissions}, repository_ids=only))

    def sign_in(self, login: str, roles: Mapping[Repository, Role] | None = None) -> None:
        """Sign a person in on GitHub, in all browsers without a cookie ``user``; ``roles`` replace the earlier ones."""
        self.state.person = login
        if roles is not None:
            self.state.roles[login] = {repository.id: role for repository, role in roles.items()}

    def put_into_team(self, team: str, login: str, membership: str = "active") -> None:
        """Make a person a member of a team ``org/slug``."""
        self.state.teams.setdefault(team.lower(), {})[login] = membership

    def revoke(self, token: str) -> None:
        """Revoke a token."""
        del self.state.tokens[token]

    def revoke_all_tokens(self) -> None:
        """Revoke every token."""
        self.state.tokens.clear()

    def _user_token(
        self,
        prefix: str,
        login: str,
        roles: Mapping[Repository, Role],
        *,
        permissions: Mapping[str, str] | None = None,
        repository_ids: frozenset[int] | None = None,
        scopes: frozenset[str] | None = None,
        client_id: str | None = None,
    ) -> str:
        self.state.account(login, "User")
        token = Token(
            value=prefix + random_text(36),
            expires_at=self.state.now() + LIFETIME,
            permissions=dict(permissions or {}),
            repository_ids=repository_ids,
            user=login,
            roles={repository.id: role for repository, role in roles.items()},
            scopes=scopes,
            client_id=client_id,
        )
        return self._keep(token)

    def _keep(self, token: Token) -> str:
        self.state.tokens[token.value] = token
        return token.value

"""GitHub's web flow for users of an App: the authorize page, the exchange of codes, refreshed tokens.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app
https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens
https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors

Who is signed in on GitHub: the browser's cookie ``user``, otherwise :attr:`State.person`. A person authorizes the App without being asked,
as somebody who did so before; ``denies`` are logins of those who press "Cancel".
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlencode

from aiohttp import web
from yarl import URL

from tests.double.auth import random_text
from tests.double.rest import state_of
from tests.double.state import Grant, Json, State, Token

CODE_LIFETIME = timedelta(minutes=10)
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


async def authorize(request: web.Request) -> web.Response:  # noqa: PLR0911 - one a kind of answer
    """``GET /login/oauth/authorize``: redirects back with a code, or with an error."""
    state, query = state_of(request), request.query
    if query.get("client_id") != state.app.client_id:
        return web.Response(status=404, text="Not Found")
    if not state.app.callback_urls:
        return web.Response(status=404, text="The App has no callback URL")
    target = query.get("redirect_uri", state.app.callback_urls[0])
    if target not in state.app.callback_urls:
        return _back(state.app.callback_urls[0], query, error="redirect_uri_mismatch", error_description="The redirect_uri MUST match.")
    login = request.cookies.get("user", state.person)
    if not login:
        return web.Response(text="Sign in to GitHub")
    if login in state.denies:
        return _back(target, query, error="access_denied", error_description="The user has denied your application access.")
    challenge = query.get("code_challenge")
    if challenge is not None and (query.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(challenge)):
        return web.Response(status=400, text="Only S256 is supported")
    code = random_text(20)
    state.grants[code] = Grant(login, target, challenge, state.now() + CODE_LIFETIME)
    return _back(target, query, code=code)


async def access_token(request: web.Request) -> web.Response:
    """``POST /login/oauth/access_token``: errors have status 200."""
    state, form = state_of(request), {name: str(value) for name, value in (await request.post()).items()}
    answer = _answer(state, form)
    if "application/json" in request.headers.get("Accept", ""):
        return web.json_response(answer)
    return web.Response(text=urlencode(answer), content_type="application/x-www-form-urlencoded")


def _answer(state: State, form: Json) -> Json:
    if (form.get("client_id"), form.get("client_secret")) != (state.app.client_id, state.app.client_secret):
        return _error("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.")
    if form.get("grant_type", "authorization_code") == "refresh_token":
        return _refresh(state, form.get("refresh_token", ""))
    grant = state.grants.pop(form.get("code", ""), None)
    if grant is None or grant.expires_at <= state.now() or not _proves(grant, form.get("code_verifier", "")):
        return _error("bad_verification_code", "The code passed is incorrect or expired.")
    if form.get("redirect_uri", grant.redirect_url) != grant.redirect_url:
        return _error("redirect_uri_mismatch", "The redirect_uri MUST match the registered callback URL for this application.")
    return _issue(state, grant.login)


def _refresh(state: State, refresh: str) -> Json:
    """The old access token and the old refresh token do not work any more."""
    old = next((token for token in state.tokens.values() if token.refresh == refresh and refresh), None)
    if old is None or old.refresh_expires_at is None or old.refresh_expires_at <= state.now():
        return _error("bad_refresh_token", "The refresh token passed is incorrect or expired.")
    del state.tokens[old.value]
    state.refreshed += 1
    return _issue(state, old.user or "")


def _issue(state: State, login: str) -> Json:
    state.account(login, "User")
    now, expires = state.now(), state.user_token_lifetime_s
    roles = state.roles.setdefault(login, {})
    token = Token(f"ghu_{random_text(36)}", now + timedelta(days=3650), {}, user=login, roles=roles, client_id=state.app.client_id)
    answer: Json = {"access_token": token.value, "scope": "", "token_type": "bearer"}
    if expires is not None:
        life = timedelta(seconds=state.refresh_token_lifetime_s)
        token = replace(token, expires_at=now + timedelta(seconds=expires), refresh=f"ghr_{random_text(76)}", refresh_expires_at=now + life)
        more = {"expires_in": expires, "refresh_token": token.refresh, "refresh_token_expires_in": state.refresh_token_lifetime_s}
        answer = {**answer, **more}
    state.tokens[token.value] = token
    return answer


def _proves(grant: Grant, verifier: str) -> bool:
    """https://www.rfc-editor.org/rfc/rfc7636#section-4.6."""
    if grant.challenge is None:
        return True
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return _VERIFIER.fullmatch(verifier) is not None and digest == grant.challenge


def _error(code: str, description: str) -> Json:
    return {"error": code, "error_description": description, "error_uri": "https://docs.github.com/apps/oauth"}


def _back(target: str, query: Mapping[str, str], **answer: str) -> web.Response:
    state = {"state": query["state"]} if "state" in query else {}
    return web.Response(status=302, headers={"Location": str(URL(target).update_query({**answer, **state}))})

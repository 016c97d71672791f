"""The double's web flow, against GitHub's documentation."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import aiohttp

from tests.double import GitHubDouble
from tests.double.schema import validate_response

CALLBACK = "https://freshet.example/sign-in/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
HEADERS = {"User-Agent": "test"}


async def authorize(github: GitHubDouble, session: aiohttp.ClientSession, **query: str) -> dict[str, str]:
    """What the browser is sent back with."""
    asked = {"client_id": github.app.client_id, "redirect_uri": CALLBACK, "state": "s", **query}
    address = f"{github.server_url}/login/oauth/authorize"
    async with session.get(address, params=asked, headers=HEADERS, allow_redirects=False) as response:
        assert response.status == 302
        target = response.headers["Location"]
    assert target.startswith(github.app.callback_urls[0])
    return {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}


async def exchange(github: GitHubDouble, session: aiohttp.ClientSession, **fields: str) -> dict[str, Any]:
    known = {"client_id": github.app.client_id, "client_secret": github.app.client_secret, **fields}
    headers = {**HEADERS, "Accept": "application/json"}
    async with session.post(f"{github.server_url}/login/oauth/access_token", data=known, headers=headers) as response:
        assert response.status == 200, "errors too"
        answer: dict[str, Any] = await response.json()
        return answer


async def who(github: GitHubDouble, session: aiohttp.ClientSession, token: str) -> int:
    headers = {**HEADERS, "Authorization": f"Bearer {token}"}
    async with session.get(f"{github.api_url}/user", headers=headers) as response:
        assert validate_response("GET", "/user", response.status, await response.json()) == []
        return response.status


async def test_codes_work_once_for_the_verifier_and_address_they_were_given_for() -> None:
    now = [datetime.now(UTC)]
    async with GitHubDouble(clock=lambda: now[0]) as github, aiohttp.ClientSession() as session:
        github.app.callback_urls = [CALLBACK]
        github.sign_in("mona")
        pkce = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}

        async def code() -> str:
            back = await authorize(github, session, **pkce)
            assert back["state"] == "s"
            return back["code"]

        good = await code()
        answer = await exchange(github, session, code=good, code_verifier=VERIFIER, redirect_uri=CALLBACK)
        assert (answer["token_type"], answer["expires_in"], answer["refresh_token_expires_in"]) == ("bearer", 28800, 15_897_600)
        assert (answer["access_token"][:4], answer["refresh_token"][:4]) == ("ghu_", "ghr_")
        assert (await exchange(github, session, code=good, code_verifier=VERIFIER))["error"] == "bad_verification_code"
        assert (await exchange(github, session, code=await code()))["error"] == "bad_verification_code", "no verifier"
        assert (await exchange(github, session, code=await code(), code_verifier="w" * 43))["error"] == "bad_verification_code"
        wrong = await exchange(github, session, code=await code(), code_verifier=VERIFIER, redirect_uri="https://evil.example")
        assert wrong["error"] == "redirect_uri_mismatch"
        late = await code()
        now[0] += timedelta(minutes=10)
        assert (await exchange(github, session, code=late, code_verifier=VERIFIER))["error"] == "bad_verification_code"
        wrong = await exchange(github, session, code=await code(), code_verifier=VERIFIER, client_secret="x")
        assert wrong["error"] == "incorrect_client_credentials"
        assert (await authorize(github, session, redirect_uri="https://evil.example"))["error"] == "redirect_uri_mismatch"
        github.state.denies.add("mona")
        assert (await authorize(github, session))["error"] == "access_denied"


async def test_tokens_expire_and_a_refresh_ends_both_old_ones() -> None:
    now = [datetime.now(UTC)]
    async with GitHubDouble(clock=lambda: now[0]) as github, aiohttp.ClientSession() as session:
        github.app.callback_urls = [CALLBACK]
        github.sign_in("mona")
        first = await exchange(github, session, code=(await authorize(github, session))["code"])
        assert await who(github, session, first["access_token"]) == 200
        now[0] += timedelta(hours=8)
        assert await who(github, session, first["access_token"]) == 401
        refresh = {"grant_type": "refresh_token"}
        second = await exchange(github, session, refresh_token=first["refresh_token"], **refresh)
        assert await who(github, session, second["access_token"]) == 200
        third = await exchange(github, session, refresh_token=second["refresh_token"], **refresh)
        assert await who(github, session, second["access_token"]) == 401, "before it expired"
        again = await exchange(github, session, refresh_token=first["refresh_token"], **refresh)
        assert again["error"] == "bad_refresh_token"
        now[0] += timedelta(days=185)
        assert (await exchange(github, session, refresh_token=third["refresh_token"], **refresh))["error"] == "bad_refresh_token"


async def test_answers_are_forms_unless_json_is_accepted() -> None:
    async with (
        GitHubDouble() as github,
        aiohttp.ClientSession() as session,
        session.post(f"{github.server_url}/login/oauth/access_token", data={"client_id": "x"}, headers=HEADERS) as response,
    ):
        assert dict(parse_qsl(await response.text()))["error"] == "incorrect_client_credentials"

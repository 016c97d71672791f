"""Authentication as the App: margins of its JWT, limited tokens, one request for concurrent calls."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import SecretStr

from app.core.errors import ConfigurationError, FreshetError, GoneError, NotConfiguredError, RejectedError, SuspendedError
from app.core.models.github import Repository
from app.github.app.auth import FETCH, REPORT, AppAuth
from app.github.rest.http import ApiClient

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PKCS8 = serialization.PrivateFormat.PKCS8
PEM = KEY.private_bytes(serialization.Encoding.PEM, PKCS8, serialization.NoEncryption()).decode()
HOUR_S = 3600


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class FakeApi:
    """Creates tokens that are valid for an hour, after a short delay."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.requests: list[tuple[str, Mapping[str, Any]]] = []
        self.error: FreshetError | None = None
        self.clock_offset_s = 0.0

    async def post(self, path: str, type_: Any, *, doing: str, token: SecretStr, body: Mapping[str, Any]) -> Any:
        assert doing
        assert token.get_secret_value().count(".") == 2
        self.requests.append((path, body))
        await asyncio.sleep(0.01)
        if self.error is not None:
            raise self.error
        return type_(token=f"ghs_{len(self.requests)}", expires_at=datetime.fromtimestamp(self.clock.now + HOUR_S, UTC))


def make() -> tuple[AppAuth, FakeApi, Clock]:
    clock = Clock()
    api = FakeApi(clock)
    return AppAuth(123, PEM, cast("ApiClient", api), clock=clock), api, clock


def claims(token: SecretStr) -> dict[str, Any]:
    off = {"verify_exp": False, "verify_iat": False}
    decoded: dict[str, Any] = jwt.decode(token.get_secret_value(), KEY.public_key(), algorithms=["RS256"], options=off)  # type: ignore[arg-type]
    return decoded


def test_the_jwt_has_a_margin_for_githubs_clock_on_both_sides() -> None:
    auth, _, clock = make()
    found = claims(auth.jwt())
    assert found["iss"] == "123"
    assert found["iat"] == clock.now - 60
    assert found["exp"] == clock.now + 9 * 60
    assert found["exp"] - found["iat"] <= 600


def test_the_jwt_is_reused_until_it_nearly_expires() -> None:
    auth, _, clock = make()
    first = auth.jwt()
    clock.now += 6 * 60
    assert auth.jwt() is first
    clock.now += 2 * 60
    second = auth.jwt()
    assert second is not first
    assert claims(second)["exp"] == clock.now + 9 * 60


async def test_a_token_is_limited_to_one_repository_and_purpose() -> None:
    auth, api, _ = make()
    await auth.token(7, 42, FETCH)
    assert api.requests == [("/app/installations/7/access_tokens", {"repository_ids": [42], "permissions": {"contents": "read"}})]
    assert (await auth.fetch_token(Repository(42, "octo/shop", 7))).get_secret_value() == "ghs_1"


async def test_concurrent_calls_share_one_request() -> None:
    auth, api, _ = make()
    tokens = await asyncio.gather(*(auth.token(7, 42, FETCH) for _ in range(50)))
    assert len(api.requests) == 1
    assert {token.value.get_secret_value() for token in tokens} == {"ghs_1"}
    await asyncio.gather(auth.token(7, 42, REPORT), auth.token(7, 43, FETCH), auth.token(8, 42, FETCH))
    assert len(api.requests) == 4


async def test_the_first_of_concurrent_calls_may_be_cancelled() -> None:
    auth, api, _ = make()
    first, second = asyncio.ensure_future(auth.token(7, 42, FETCH)), asyncio.ensure_future(auth.token(7, 42, FETCH))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).value.get_secret_value() == "ghs_2"
    assert len(api.requests) == 2


async def test_unused_locks_are_released() -> None:
    auth, _, _ = make()
    for repository_id in range(20):
        await auth.token(7, repository_id, FETCH)
    gc.collect()
    assert len(auth._locks) == 0


async def test_a_token_is_reused_until_five_minutes_before_it_expires() -> None:
    auth, api, clock = make()
    first = await auth.token(7, 42, FETCH)
    clock.now += HOUR_S - 5 * 60 - 1
    assert await auth.token(7, 42, FETCH) is first
    clock.now += 2
    assert await auth.token(7, 42, FETCH) is not first
    assert len(api.requests) == 2


async def test_tokens_can_be_forgotten() -> None:
    auth, api, _ = make()
    token, other = await auth.token(7, 42, FETCH), await auth.token(8, 43, FETCH)
    auth.forget_token(token.value)
    assert (await auth.token(7, 42, FETCH)).value != token.value
    auth.forget(7)
    await auth.token(7, 42, FETCH)
    assert await auth.token(8, 43, FETCH) is other
    assert len(api.requests) == 4


async def test_errors_are_not_cached() -> None:
    auth, api, _ = make()
    api.error = SuspendedError("getting a token", "suspended")
    with pytest.raises(SuspendedError):
        await auth.token(7, 42, FETCH)
    api.error = None
    assert (await auth.token(7, 42, FETCH)).value.get_secret_value() == "ghs_2"


async def test_a_repository_removed_from_the_installation_is_gone() -> None:
    auth, api, _ = make()
    api.error = RejectedError("getting a token", "a repository is not accessible to the parent installation", status=422)
    with pytest.raises(GoneError):
        await auth.token(7, 42, FETCH)
    api.error = RejectedError("getting a token", "The permissions requested are not granted to this installation.", status=422)
    with pytest.raises(RejectedError):
        await auth.token(7, 42, FETCH)


async def test_without_an_app_there_are_no_tokens() -> None:
    auth = AppAuth(None, None, cast("ApiClient", FakeApi(Clock())))
    with pytest.raises(NotConfiguredError):
        auth.jwt()
    with pytest.raises(NotConfiguredError):
        await auth.token(7, 42, FETCH)
    auth.configure("123", SecretStr(PEM))
    assert claims(auth.jwt())["iss"] == "123"


def unusable() -> dict[str, str]:
    pem = serialization.Encoding.PEM
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(pem, PKCS8, serialization.NoEncryption()).decode()
    locked = KEY.private_bytes(pem, PKCS8, serialization.BestAvailableEncryption(b"password")).decode()
    return {"empty": "", "text": "not a key", "cut": PEM[:200], "elliptic": other, "encrypted": locked}


@pytest.mark.parametrize("name", list(unusable()))
def test_the_error_for_an_unusable_key_names_the_variable(name: str) -> None:
    with pytest.raises(ConfigurationError, match="GITHUB_PRIVATE_KEY") as caught:
        AppAuth(1, unusable()[name], cast("ApiClient", FakeApi(Clock())))
    assert "PRIVATE KEY-----" not in str(caught.value)


def test_a_key_with_escaped_line_ends_is_accepted() -> None:
    AppAuth(1, PEM.replace("\n", "\\n"), cast("ApiClient", FakeApi(Clock()))).jwt()


async def test_tokens_are_not_printed() -> None:
    auth, _, _ = make()
    token = await auth.token(7, 42, FETCH)
    text = f"{token} {token!r} {auth.jwt()} {auth.jwt()!r}"
    assert "ghs_" not in text
    assert "eyJ" not in text

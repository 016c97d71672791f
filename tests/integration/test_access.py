"""Authentication and authorization: the real routes, against a GitHub double with state over real HTTP."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from uuid import uuid4

import pytest
import pytest_asyncio
from aiohttp import web

from app.core import log
from app.core.models.github import Repository
from app.store import Store, listen
from app.web.api.operations import operations
from tests.double import Answer, Delay, Reset
from tests.double import Repository as Hosted
from tests.double.state import Role
from tests.integration.access_world import CONNECTIONS, SERVICE, World, running
from tests.integration.test_api_shape import path_of, wanted
from tests.patience import HANGS_S

NO_ROLE: dict[Hosted, Role] = {}


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that is logged during the test."""
    stream = io.StringIO()
    log.configure(stream)
    yield stream
    log.configure()


@pytest_asyncio.fixture
async def world(store: Store) -> AsyncIterator[World]:
    async with running(store) as found:
        yield found


Make = Callable[[World, dict[Hosted, Role]], str]
KINDS: dict[str, Make] = {
    "App user": lambda world, roles: world.github.user_token("mona", roles),
    "classic": lambda world, roles: world.github.classic_token("mona", roles),
    "OAuth": lambda world, roles: world.github.classic_token("mona", roles, prefix="gho_"),
    "of old": lambda world, roles: world.github.classic_token("mona", roles, prefix="0123"),
    "fine-grained": lambda world, roles: world.github.fine_grained_token("mona", roles, permissions={"contents": "write"}),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_users_have_the_rights_of_their_role_on_github(world: World, kind: str) -> None:
    shop, open_ = await world.create("octo/shop"), await world.create("octo/open", private=False)
    away = await world.create("far/away")
    stranger = KINDS[kind](world, {})
    reader = KINDS[kind](world, {shop: "pull", open_: "pull"})
    writer = KINDS[kind](world, {shop: "push", open_: "admin", away: "pull"})
    assert [await world.read(token) for token in (stranger, reader, writer)] == [404, 200, 200]
    assert [await world.trigger(token) for token in (stranger, reader, writer)] == [404, 403, 202]
    assert [await world.read(token, "octo/open") for token in (stranger, reader, writer)] == [200, 200, 200]
    assert [await world.trigger(token, "octo/open") for token in (stranger, reader, writer)] == [403, 403, 202]
    # Where the App is not installed, its users' tokens see nothing private.
    assert [await world.read(token, "far/away") for token in (reader, writer)] == [404, 404 if kind == "App user" else 200]
    assert await world.listed(stranger) == ["octo/open"]
    assert await world.listed(reader) == ["octo/open", "octo/shop"]


async def test_a_hidden_repository_looks_like_a_missing_one(world: World) -> None:
    await world.create("octo/shop")
    token = world.github.classic_token("mona", {})
    there = await world.ask(token, f"{CONNECTIONS}/{world.connections['octo/shop']}")
    nowhere = await world.ask(token, f"{CONNECTIONS}/00000000-0000-4000-8000-000000000000")
    assert there[:2] == nowhere[:2]


@pytest.mark.parametrize(
    ("scopes", "private", "public"),
    [
        (["repo"], (200, 202), (200, 202)),
        (["public_repo", "user"], (404, 404), (200, 202)),
        (["repo:status"], (404, 404), (200, 403)),
        (["security_events", "repo_deployment"], (404, 404), (200, 403)),
        ([], (404, 404), (200, 403)),
    ],
)
async def test_a_classic_token_is_limited_by_its_scopes(
    world: World, scopes: list[str], private: tuple[int, int], public: tuple[int, int]
) -> None:
    shop, open_ = await world.create("octo/shop"), await world.create("octo/open", private=False)
    token = world.github.classic_token("mona", {shop: "admin", open_: "admin"}, scopes=scopes)
    assert (await world.read(token), await world.trigger(token)) == private
    assert (await world.read(token, "octo/open"), await world.trigger(token, "octo/open")) == public


@pytest.mark.parametrize(
    ("permissions", "read", "push"), [({}, 404, 404), ({"contents": "read"}, 200, 403), ({"contents": "write"}, 200, 202)]
)
async def test_a_token_is_limited_by_its_permissions(world: World, permissions: dict[str, str], read: int, push: int) -> None:
    shop, other = await world.create("octo/shop"), await world.create("octo/other")
    roles: dict[Hosted, Role] = {shop: "admin", other: "admin"}
    for token in (
        world.github.fine_grained_token("mona", roles, permissions=permissions, repositories=[shop]),
        world.github.actions_token(shop, permissions),
    ):
        assert (await world.read(token), await world.trigger(token)) == (read, push)
        assert (await world.read(token, "octo/other"), await world.trigger(token, "octo/other")) == (404, 404)


async def test_a_fine_grained_token_is_limited_by_its_users_role(world: World) -> None:
    shop = await world.create("octo/shop")
    token = world.github.fine_grained_token("mona", {shop: "pull"}, permissions={"contents": "write"})
    assert (await world.read(token), await world.trigger(token)) == (200, 403)


async def test_a_workflow_sees_its_own_repository_and_public_ones(world: World) -> None:
    shop, _ = await world.create("octo/shop"), await world.create("octo/hidden")
    await world.create("octo/open", private=False)
    token = world.github.actions_token(shop, {"contents": "read"})
    assert await world.listed(token) == ["octo/open", "octo/shop"]
    assert await world.trigger(token, "octo/open") == 403


async def test_a_user_token_of_another_app_is_unknown(world: World) -> None:
    shop = await world.create("octo/shop")
    stolen = world.github.user_token("mona", {shop: "admin"}, client_id="Iv1.deputy", permissions={"contents": "write"})
    status, problem, headers = await world.ask(stolen, f"{CONNECTIONS}/{world.connections['octo/shop']}")
    assert (status, problem["title"]) == (401, "Unknown token")
    assert headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert await world.read(world.github.user_token("mona", {shop: "admin"})) == 200


async def test_without_the_apps_client_user_tokens_of_all_apps_are_accepted_and_logged(store: Store, logged: io.StringIO) -> None:
    async with running(store, with_client=False) as world:
        shop = await world.create("octo/shop")
        theirs = world.github.user_token("mona", {shop: "push"}, client_id="Iv1.deputy", permissions={"metadata": "read"})
        ours = world.github.user_token("mona", {shop: "push"})
        assert [await world.read(ours), await world.trigger(ours)] == [200, 202]
        assert await world.read(theirs) == 404
    assert logged.getvalue().count("user tokens of other GitHub Apps are accepted") == 1


async def test_wrong_client_credentials_refuse_everyone_and_say_what_to_do(world: World) -> None:
    shop = await world.create("octo/shop")
    token = world.github.user_token("mona", {shop: "admin"})
    world.github.app.client_secret = "another"
    status, problem, _ = await world.ask(token, f"{CONNECTIONS}/{world.connections['octo/shop']}")
    assert (status, "GITHUB_CLIENT_SECRET" in problem["detail"]) == (503, True)


@pytest.mark.parametrize("token", [None, "", "ghp_unknown", "ghs_unknown", "ghu_unknown", "github_pat_unknown", "unknown"])
async def test_an_unknown_token_is_401_everywhere(world: World, token: str | None) -> None:
    await world.create("octo/open", private=False)
    for path in (CONNECTIONS, f"{CONNECTIONS}/{world.connections['octo/open']}", "/api/metadata/extractions/active"):
        status, problem, headers = await world.ask(token, path)
        assert (status, problem["status"]) == (401, 401)
        assert headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("token", ["x" * 4097, "ghp_\u00e9", "ghp_a\tb"])
async def test_a_malformed_token_is_not_sent_to_github(world: World, token: str) -> None:
    assert (await world.ask(token, CONNECTIONS))[0] == 401
    assert world.github.requests == []


async def test_a_token_of_520_characters_is_accepted(world: World) -> None:
    world.github.state.token_form = "long"
    token = world.github.actions_token(await world.create("octo/shop"), {"contents": "read"})
    assert (len(token), await world.read(token)) == (520, 200)


# -- every address ----------------------------------------------------------------------------------------------------


async def test_no_operation_reveals_that_a_hidden_repository_exists(world: World) -> None:
    await world.create("octo/shop")
    connection_id = world.connections["octo/shop"]
    ids = {"connections": connection_id, "extractions": await world.store.extractions.enqueue(connection_id, "main", "1" * 40, "push")}
    stranger = world.github.classic_token("mona", {})
    guarded = [one for one in operations(_no_delivery) if one.guard == "token" and "{id}" in one.path]
    asked = 0
    for operation in guarded:
        id_ = next((id_ for noun, id_ in ids.items() if f"/{noun}/{{id}}" in operation.path), None)
        if id_ is None:
            continue
        query, body = wanted(operation)
        there, nowhere = [
            await world.ask(stranger, path_of(operation, one), operation.method, params=query, json=body) for one in (id_, str(uuid4()))
        ]
        assert there[:2] == nowhere[:2], operation.path
        assert there[0] == 404, operation.path
        asked += 1
    assert asked >= 6
    status, body, _ = await world.ask(stranger, "/api/metadata/extractions/active")
    assert (status, body["items"]) == (200, [])


async def _no_delivery(_: web.Request) -> web.Response:
    raise AssertionError("a delivery came")


async def test_a_spent_rate_limit_does_not_reveal_names(world: World) -> None:
    await world.create("octo/shop")
    for repository in ("octo/shop", "octo/nothing"):
        body, token = {"repository": repository}, world.github.classic_token("mona", {})
        assert (await world.ask(token, CONNECTIONS, "POST", json=body))[0] == 404
        world.clock[0] += 11
        world.github.faults.add("GET", "/repos", 9, Answer(429, headers={"Retry-After": "30"}))
        assert (await world.ask(token, CONNECTIONS, "POST", json=body))[0] == 503
        world.github.faults.clear()
        # Nor does a list that cannot be narrowed.
        token = world.github.classic_token("mona", {})
        world.github.faults.add("GET", "/user/repos", 1, Answer(403, "{}"))
        world.github.faults.add("GET", "/repos", 9, Answer(429, headers={"Retry-After": "30"}))
        assert (await world.ask(token, f"{CONNECTIONS}?repository={repository}"))[0] == 503
        world.github.faults.clear()


async def test_operator_functions_require_a_service_token(world: World) -> None:
    shop = await world.create("octo/shop")
    token = world.github.classic_token("mona", {shop: "admin"})
    assert (await world.ask(token, "/api/webhooks/github/setup", "POST"))[0] == 403
    assert (await world.read(SERVICE), await world.trigger(SERVICE)) == (200, 202)


# -- names and owners -------------------------------------------------------------------------------------------------


async def test_repositories_are_identified_by_id_not_by_name(world: World) -> None:
    shop = await world.create("octo/shop")
    reader = world.github.classic_token("mona", {shop: "push"})
    await world.github.rename_repository(shop, "store")
    impostor = await world.github.create_repository("octo/shop", {"a": b""})
    theirs = world.github.classic_token("eve", {impostor: "admin"})
    workflow = world.github.actions_token(shop, {"contents": "write"})
    assert [await world.may(token, "push", shop) for token in (reader, workflow, theirs)] == [True, True, False]
    assert await world.read(reader) == 200
    assert (await world.read(theirs), await world.trigger(theirs)) == (404, 404)


async def test_after_a_transfer_user_tokens_need_the_app_to_be_installed(world: World) -> None:
    shop = await world.create("octo/shop")
    token, classic = world.github.user_token("mona", {shop: "push"}), world.github.classic_token("mona", {shop: "push"})
    await world.github.transfer_repository(shop, "elsewhere")
    assert (await world.read(token), await world.read(classic)) == (404, 200)
    assert (await world.may(token, "push", shop), await world.may(classic, "push", shop)) == (False, True)


# -- GitHub has trouble -----------------------------------------------------------------------------------------------


TROUBLES = (Reset(), Answer(502, "<html>Unicorn!</html>"), Answer(503), Answer(429), Delay(2))


@pytest.mark.parametrize("path", ["/rate_limit", "/applications/", r"/repos/[^/]+/[^/]+$", "/commits/", "/user/installations"])
async def test_an_outage_of_github_is_503_and_never_access(store: Store, path: str) -> None:
    async with running(store, with_client=path not in ("/rate_limit", "/commits/")) as world:
        shop = await world.create("octo/shop")
        token = world.github.user_token("mona", {shop: "pull"})
        address = CONNECTIONS if path == "/user/installations" else f"{CONNECTIONS}/{world.connections['octo/shop']}"
        for trouble in TROUBLES:
            world.github.faults.add("*", path, 100, trouble)
            with world.impatient():
                status, problem, headers = await world.ask(token, address)
            assert (status, problem["title"]) == (503, "GitHub is unavailable"), trouble
            assert int(headers["Retry-After"]) >= 5
            assert "octo" not in str(problem)
            world.github.faults.clear()
            world.clock[0] += 61
        assert (await world.ask(token, address))[0] == 200


@pytest.mark.parametrize("listed", [True, False])
async def test_what_a_token_may_not_read_shortens_no_page_of_active_extractions(world: World, *, listed: bool) -> None:
    """Else its lengths and its next pages would tell how much others have extracted."""
    mine = [await world.create(f"octo/mine{number}") for number in range(2)]
    theirs = [await world.create(f"octo/theirs{number}") for number in range(12)]
    for hosted in (*theirs[:6], mine[0], *theirs[6:], mine[1]):
        await world.store.extractions.enqueue(world.connections[hosted.full_name], "main", "1" * 40, "push")
    token = world.github.classic_token("mona", dict.fromkeys(mine, "pull"))
    if not listed:
        world.github.faults.add("GET", "/user/repos", 100, Answer(403, "{}"))
    pages: list[list[str]] = []
    cursor = None
    while cursor is not None or not pages:
        status, body, _ = await world.ask(
            token, "/api/metadata/extractions/active", params={"limit": "1", **({"cursor": cursor} if cursor else {})}
        )
        assert status == 200, body
        pages.append([one["repository"] for one in body["items"]])
        cursor = body["next_cursor"]
    assert [page for page in pages if page] == [["octo/mine0"], ["octo/mine1"]]
    assert pages.count([]) <= 1, "where nothing follows that the token may read, that is told on the next page alone"
    assert (await world.ask(token, "/api/metadata/extractions/active", params={"cursor": "WyIxIl0="}))[0] == 400, "cursors are sealed"


@pytest.mark.parametrize(("trouble", "status"), [(Answer(502), 503), (Answer(401), 401)])
async def test_a_list_fails_when_its_items_cannot_be_checked(world: World, trouble: Answer, status: int) -> None:
    roles: dict[Hosted, Role] = {await world.create(f"octo/r{number}"): "pull" for number in range(3)}
    token = world.github.fine_grained_token("mona", roles, permissions={"contents": "read"})
    world.github.faults.add("GET", "/commits/", 100, trouble)
    answered, problem, _ = await world.ask(token, CONNECTIONS)
    assert (answered, problem["status"]) == (status, status)


async def test_an_outage_of_git_is_503_too(store: Store) -> None:
    async with running(store) as world:
        token = world.github.actions_token(await world.create("octo/shop"), {"contents": "write"})
        for trouble in (*TROUBLES, Answer(301, headers={"Location": "https://elsewhere.example/x"})):
            world.github.faults.add("GET", "/info/refs", 100, trouble)
            with world.impatient():
                assert await world.trigger(token) == 503, trouble
            world.github.faults.clear()
            world.clock[0] += 61
        assert await world.trigger(token) == 202


LIMITED = Answer(403, '{"message": "API rate limit exceeded for user ID 1."}', {"X-RateLimit-Remaining": "0", "Retry-After": "30"})


async def test_the_callers_own_spent_rate_limit_is_reported(world: World) -> None:
    shop = await world.create("octo/shop")
    token, other = world.github.classic_token("mona", {shop: "pull"}), world.github.classic_token("eve", {shop: "pull"})
    world.github.faults.add("GET", r"/repos/[^/]+/[^/]+$", 1, LIMITED)
    first = await world.ask(token, f"{CONNECTIONS}/{world.connections['octo/shop']}")
    asked = len(world.github.requests)
    world.clock[0] += 10
    again = await world.ask(token, f"{CONNECTIONS}/{world.connections['octo/shop']}")
    assert [(status, headers["Retry-After"]) for status, _, headers in (first, again)] == [(503, "30"), (503, "20")]
    assert len(world.github.requests) == asked
    assert await world.read(other) == 200
    world.clock[0] += 20
    assert await world.read(token) == 200


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (403, "Resource protected by organization SAML enforcement. You must grant your personal token access to this organization."),
        (403, "Although you appear to have the correct authorization credentials, the `octo` organization has an IP allow list enabled"),
        (403, "Sorry. Your account was suspended"),
        (404, "Not Found"),
        (410, "Gone"),
        (451, "Repository access blocked"),
    ],
)
async def test_every_refusal_of_github_is_the_same_404(world: World, status: int, message: str) -> None:
    shop = await world.create("octo/shop")
    token = world.github.classic_token("mona", {shop: "admin"})
    world.github.faults.add("GET", "/repos", 9, Answer(status, f'{{"message": "{message}"}}'))
    assert (await world.read(token), await world.trigger(token)) == (404, 404)


async def test_an_empty_repository_can_be_read(world: World) -> None:
    shop = await world.create("octo/shop", files={})
    assert await world.read(world.github.actions_token(shop, {"contents": "read"})) == 200
    assert await world.read(world.github.actions_token(shop, {})) == 404


async def test_a_github_server_without_rate_limits_works(world: World) -> None:
    shop = await world.create("octo/shop")
    world.github.faults.add("GET", "/rate_limit", 1, Answer(404, '{"message": "Rate limiting is not enabled."}'))
    assert await world.read(world.github.classic_token("mona", {shop: "pull"})) == 200


async def test_bad_tokens_of_others_do_not_affect_a_valid_one(world: World) -> None:
    shop = await world.create("octo/shop")
    said = '{"message": "Maximum number of login attempts exceeded. Please try again later."}'
    world.github.faults.add("GET", "/rate_limit", 1, Answer(403, said))
    assert await world.read(world.github.classic_token("mona", {shop: "pull"})) == 503


async def test_without_a_usable_list_each_repository_is_checked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, other = await world.create("octo/shop"), await world.create("octo/other")
    await world.create("octo/hidden")
    token = world.github.classic_token("mona", {shop: "pull", other: "pull"})
    world.github.faults.add("GET", "/user/repos", 1, Answer(403, '{"message": "Resource not accessible"}'))
    assert await world.listed(token) == ["octo/other", "octo/shop"]
    assert world.asked("/user/repos") == 1
    monkeypatch.setattr("app.github.access.queries.MAX_LISTED", 1)
    world.viewers.forget()
    assert await world.listed(token) == ["octo/other", "octo/shop"]


# -- for how long -----------------------------------------------------------------------------------------------------


async def test_a_revoked_token_stops_working_after_a_minute(world: World) -> None:
    shop = await world.create("octo/shop")
    for token in (world.github.user_token("mona", {shop: "push"}), world.github.classic_token("mona", {shop: "push"})):
        assert (await world.read(token), await world.trigger(token), await world.listed(token)) == (200, 202, ["octo/shop"])
        world.github.revoke(token)
        world.clock[0] += 59
        assert await world.read(token) == 200
        world.clock[0] += 1
        assert (await world.read(token), await world.trigger(token)) == (401, 401)
        assert (await world.ask(token, CONNECTIONS))[0] == 401


async def test_a_token_that_github_has_just_refused_is_unknown_at_once(world: World) -> None:
    shop, other = await world.create("octo/shop"), await world.create("octo/other")
    token = world.github.classic_token("mona", {shop: "push", other: "push"})
    assert await world.read(token) == 200
    world.github.revoke(token)
    status, problem, headers = await world.ask(token, f"{CONNECTIONS}/{world.connections['octo/other']}")
    assert (status, problem["title"], "WWW-Authenticate" in headers) == (401, "Unknown token", True)
    assert await world.read(token) == 401


async def test_rights_are_cached_for_a_minute_and_refusals_for_ten_seconds(world: World) -> None:
    shop = await world.create("octo/shop")
    token = world.github.classic_token("mona", {shop: "push"})
    roles = world.github.state.tokens[token].roles
    assert await world.trigger(token) == 202
    roles[shop.id] = "pull"
    world.clock[0] += 59
    assert await world.trigger(token) == 202
    world.clock[0] += 1
    assert await world.trigger(token) == 403
    roles[shop.id] = "push"
    world.clock[0] += 9
    assert await world.trigger(token) == 403
    world.clock[0] += 1
    assert await world.trigger(token) == 202


async def test_the_age_of_an_answer_counts_from_its_request(world: World) -> None:
    shop = await world.create("octo/shop")
    token = world.github.classic_token("mona", {shop: "pull"})
    world.github.faults.add("GET", r"/repos/[^/]+/[^/]+$", 1, Delay(0.3))
    slow = asyncio.create_task(world.read(token))
    await world.being_asked("/repos/octo/shop")
    world.clock[0] += 59
    assert await slow == 200
    world.github.state.tokens[token].roles.clear()
    world.clock[0] += 1
    assert await world.read(token) == 404


async def test_a_hundred_readers_cause_one_request(world: World) -> None:
    shop = await world.create("octo/shop")
    token = world.github.fine_grained_token("mona", {shop: "pull"}, permissions={"contents": "read"})
    assert set(await asyncio.gather(*(world.read(token) for _ in range(100)))) == {200}
    assert [world.asked(path) for path in ("/rate_limit", "/repos/octo/shop", "/commits/main")] == [1, 1, 1]
    await asyncio.gather(*(world.listed(token) for _ in range(100)))
    assert world.asked("/user/repos") == 1


async def test_a_hundred_readers_share_one_request_during_an_outage(store: Store) -> None:
    async with running(store) as world:
        shop = await world.create("octo/shop")
        token = world.github.classic_token("mona", {shop: "pull"})
        world.github.faults.add("GET", "/rate_limit", 100, Delay(5))
        with world.impatient():
            assert set(await asyncio.gather(*(world.read(token) for _ in range(100)))) == {503}
        assert world.asked("/rate_limit") == 3


async def test_repositories_in_a_list_are_not_checked_again(world: World) -> None:
    roles: dict[Hosted, Role] = {await world.create(f"octo/r{number}"): "pull" for number in range(5)}
    for token in (world.github.user_token("mona", roles), world.github.classic_token("mona", roles)):
        assert len(await world.listed(token)) == 5
    assert sum(request.path.startswith("/repos") for request in world.github.requests) == 0


# -- forgetting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["installation", "installation_repositories", "repository"])
async def test_an_event_in_one_process_clears_the_cache_of_all(world: World, dsn: str, event: str) -> None:
    shop = await world.create("octo/shop")
    token = world.github.classic_token("mona", {shop: "pull"})
    assert await world.read(token) == 200
    async with listen.listening(dsn) as listener:
        with listener.wakeup("freshet_access") as wakeup:
            await wakeup.wait(5)  # it wakes when it begins to listen
            forgetting = asyncio.create_task(world.viewers.run(wakeup))
            await asyncio.sleep(0.1)
            assert await world.read(token) == 200
            world.github.state.tokens[token].roles.clear()
            await world.store.deliveries.record("another-1", "push")
            await asyncio.sleep(0.3)
            assert await world.read(token) == 200
            async with world.store.transaction() as tx:
                await tx.deliveries.record("another-2", event)
            async with asyncio.timeout(HANGS_S):
                while await world.read(token) == 200:
                    await asyncio.sleep(0.02)
            forgetting.cancel()


async def test_an_answer_requested_before_the_cache_was_cleared_is_not_cached(world: World) -> None:
    shop = await world.create("octo/shop")
    token = world.github.classic_token("mona", {shop: "pull"})
    assert await world.listed(token) == ["octo/shop"]
    world.viewers.forget()
    world.github.faults.add("GET", "/rate_limit", 1, Delay(0.3))
    waiting = asyncio.create_task(world.read(token))
    await world.being_asked("/rate_limit")
    world.viewers.forget()
    world.github.revoke(token)
    assert await world.read(token) == 401
    assert await waiting == 401


# -- secrets ----------------------------------------------------------------------------------------------------------


async def test_tokens_are_neither_logged_nor_kept(world: World, logged: io.StringIO) -> None:
    shop = await world.create("octo/shop")
    made = [make(world, {shop: "pull"}) for make in KINDS.values()] + [world.github.actions_token(shop, {"contents": "read"})]
    said = []
    for token in (*made, "ghp_nobody-knows-this-one"):
        said += [
            await world.ask(token, CONNECTIONS),
            await world.ask(token, f"{CONNECTIONS}/{world.connections['octo/shop']}/extract", "POST"),
        ]
    world.viewers.forget()
    world.github.faults.add("*", ".", 100, Answer(500, "no"))
    said += [await world.ask(token, CONNECTIONS) for token in made]
    seen = logged.getvalue() + str(said) + str([(request.path, request.query) for request in world.github.requests])
    seen += str(vars(world.viewers))
    assert "request refused" in seen
    for token in (*made, "nobody-knows-this-one"):
        assert token not in seen
        assert token[-12:] not in seen


async def test_no_request_to_github_lacks_a_name(world: World) -> None:
    await world.create("octo/shop")
    token, began = world.github.classic_token("mona", {}), len(world.github.requests)
    assert (await world.ask(token, CONNECTIONS, "POST", json={"repository": "octo/unknown"}))[0] == 404
    assert (await world.ask(token, f"{CONNECTIONS}?repository=octo/unknown"))[1]["items"] == []
    for name in ("", "shop", "octo/", "/shop", "octo/..", "../shop", "octo/shop/x", "octo/shop?x"):
        caller = await world.viewers.find(token)
        assert caller is not None
        assert not await caller.may("read", Repository(hash(name) % 1000 + 1000, name, 0))
    named = {request.path for request in world.github.requests[began:] if request.path.startswith("/repos/")}
    assert named == {"/repos/-/-"}

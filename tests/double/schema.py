"""GitHub's own schema (githubkit's models), applied to requests, responses and events.

https://github.com/github/rest-api-description. Each function returns a list of problems, empty when there are none.
githubkit lets every optional field be null and drops unknown ones; GitHub does neither, so both are looked for here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from http import HTTPStatus
from itertools import islice
from types import GenericAlias
from typing import Any, Union

from githubkit_schemas.latest import models
from githubkit_schemas.latest.webhooks import WebhookNamespace
from pydantic import BaseModel, TypeAdapter, ValidationError

UNKNOWN = ": unknown field"
_REPO = r"/(?:repos/[^/]+/[^/]+|repositories/\d+)"

# (method, path) → names of models of the body; one must match.
_REQUESTS = {
    ("POST", r"/app/installations/\d+/access_tokens"): ("AppInstallationsInstallationIdAccessTokensPostBody",),
    ("PATCH", r"/app/hook/config"): ("AppHookConfigPatchBody",),
    ("POST", r"/applications/[^/]+/token"): ("ApplicationsClientIdTokenPostBody",),
    ("DELETE", r"/applications/[^/]+/token"): ("ApplicationsClientIdTokenDeleteBody",),
    ("POST", _REPO + r"/check-runs"): (
        "ReposOwnerRepoCheckRunsPostBodyOneof0",
        "ReposOwnerRepoCheckRunsPostBodyOneof1",
    ),
    ("PATCH", _REPO + r"/check-runs/\d+"): (
        "ReposOwnerRepoCheckRunsCheckRunIdPatchBodyAnyof0",
        "ReposOwnerRepoCheckRunsCheckRunIdPatchBodyAnyof1",
    ),
}

# (method, path) → name of the model of a successful response, in brackets for a list.
_RESPONSES = {
    ("GET", r"/app"): "Integration",
    ("POST", r"/app-manifests/[^/]+/conversions"): "AppManifestsCodeConversionsPostResponse201",
    ("(GET|PATCH)", r"/app/hook/config"): "WebhookConfig",
    ("GET", r"/app/hook/deliveries"): "[HookDeliveryItem]",
    ("GET", r"/app/hook/deliveries/\d+"): "HookDelivery",
    ("GET", r"/app/installations"): "[Installation]",
    ("GET", r"/app/installations/\d+"): "Installation",
    ("POST", r"/app/installations/\d+/access_tokens"): "InstallationToken",
    ("GET", r"/installation/repositories"): "InstallationRepositoriesGetResponse200",
    ("POST", r"/applications/[^/]+/token"): "Authorization",
    ("GET", r"/rate_limit"): "RateLimitOverview",
    ("GET", r"/user"): "PublicUser",
    ("GET", r"/user/repos"): "[Repository]",
    ("GET", r"/user/installations"): "UserInstallationsGetResponse200",
    ("GET", r"/user/installations/\d+/repositories"): "UserInstallationsInstallationIdRepositoriesGetResponse200",
    ("GET", r"/orgs/[^/]+/teams/[^/]+/memberships/[^/]+"): "TeamMembership",
    ("GET", _REPO + r"/installation"): "Installation",
    ("GET", _REPO): "FullRepository",
    ("GET", _REPO + r"/branches/.+"): "BranchWithProtection",
    ("GET", _REPO + r"/commits/.+/check-runs"): "ReposOwnerRepoCommitsRefCheckRunsGetResponse200",
    ("GET", _REPO + r"/commits/.+"): "Commit",
    ("GET", _REPO + r"/commits"): "[Commit]",
    ("GET", _REPO + r"/compare/.+"): "CommitComparison",
    ("GET", _REPO + r"/git/ref/.+"): "GitRef",
    ("GET", _REPO + r"/git/trees/.+"): "GitTree",
    ("POST", _REPO + r"/check-runs"): "CheckRun",
    ("(GET|PATCH)", _REPO + r"/check-runs/\d+"): "CheckRun",
    ("GET", _REPO + r"/check-runs/\d+/annotations"): "[CheckAnnotation]",
}
_ERRORS = ("BasicError", "ValidationError")


def validate_request(method: str, path: str, body: object) -> list[str]:
    """Problems of a request of the App; ``path`` is without the API prefix and query."""
    for (verb, pattern), names in _REQUESTS.items():
        if verb == method and re.fullmatch(pattern, path):
            problems = _body_problems(names, {} if body is None else body)
            return [f"{method} {path}: {problem}" for problem in problems]
    return []


def validate_response(method: str, path: str, status: int, body: object) -> list[str]:
    """Problems of a response of the double; none without a body."""
    if body is None:
        return []
    names = _ERRORS if status >= HTTPStatus.MULTIPLE_CHOICES else _response_models(method, path)
    if not names:
        return [] if body == {} else [f"{method} {path}: no model for this answer"]
    problems = _problems(_adapter(names).validate_python, body)
    if names is _ERRORS:
        # Not every error model has "status" or "errors", though the responses do.
        problems = [problem for problem in problems if not problem.endswith(UNKNOWN)]
    return [f"{method} {path} {status}: {problem}" for problem in problems]


def validate_event(name: str, payload: dict[str, Any]) -> list[str]:
    """Problems of a webhook's payload."""
    return [f"{name}: {problem}" for problem in _problems(partial(WebhookNamespace.parse_obj, name), payload)]


def _response_models(method: str, path: str) -> tuple[str, ...]:
    """The model's name for a successful response, none if the response has no body."""
    found = (name for (verb, pattern), name in _RESPONSES.items() if re.fullmatch(verb, method) and re.fullmatch(pattern, path))
    return tuple(islice(found, 1))


@cache
def _adapter(names: tuple[str, ...]) -> TypeAdapter[Any]:
    """A validator for any of the models; building one takes a while, hence the cache."""
    model: Any = Union[tuple(getattr(models, name.strip("[]")) for name in names)]  # noqa: UP007
    shape: Any = GenericAlias(list, (model,)) if names[0].startswith("[") else model
    return TypeAdapter(shape)


def _body_problems(names: tuple[str, ...], body: object) -> list[str]:
    """Problems of a request's body: types and limits, nulls, unknown fields."""
    return [f"{path}: null" for path in _nulls(body, "body")] + _problems(_adapter(names).validate_python, body)


def _problems(parse: Callable[[Any], object], value: object) -> list[str]:
    """Violations of the model, and fields that it does not have."""
    try:
        parsed = parse(value)
    except ValidationError as error:
        return [f"{'/'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors()]
    return [f"{path}{UNKNOWN}" for path in _unknown(parsed, value, "body")]


def _nulls(value: object, path: str) -> Iterator[str]:
    """Yield the paths of all nulls."""
    if value is None:
        yield path
    for name, item in _items(value):
        yield from _nulls(item, f"{path}/{name}")


def _unknown(parsed: object, value: object, path: str) -> Iterator[str]:
    """Yield the paths of fields that the parsed model does not have; a model without fields is an object of any shape."""
    if isinstance(parsed, BaseModel) and isinstance(value, dict) and type(parsed).model_fields:
        fields = {field.alias or name: name for name, field in type(parsed).model_fields.items()}
        for key, item in value.items():
            if key not in fields:
                yield f"{path}/{key}"
            else:
                yield from _unknown(getattr(parsed, fields[key]), item, f"{path}/{key}")
    elif isinstance(parsed, list) and isinstance(value, list):
        for index, (model, item) in enumerate(zip(parsed, value, strict=True)):
            yield from _unknown(model, item, f"{path}/{index}")


def _items(value: object) -> Iterator[tuple[object, object]]:
    """Yield the members of an object or array, with their keys."""
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)

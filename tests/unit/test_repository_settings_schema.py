"""The JSON Schema of `.github/freshet.yml`: agrees with the parser, is served to editors, and is documented in full."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from app.project.repository_settings import json_schema, read
from app.web import routes

PAGE = (Path(__file__).parents[2] / "docs/freshet-yml.md").read_text()
SCHEMA = json_schema()


def holds(value: Any, schema: Mapping[str, Any]) -> bool:
    """Validate, for the keywords that our schema uses: https://json-schema.org/draft/2020-12/json-schema-validation."""
    kinds = schema.get("type", [])
    if kinds and kind(value) not in ([kinds] if isinstance(kinds, str) else kinds):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, int | float) and not isinstance(value, bool):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    if isinstance(value, str):
        pattern, forbidden = schema.get("pattern", ""), schema.get("not", {}).get("pattern")
        return bool(re.search(pattern, value)) and not (forbidden and re.search(forbidden, value))
    if isinstance(value, list):
        return schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)) and all(
            holds(item, schema.get("items", {})) for item in value
        )
    return not isinstance(value, dict) or holds_all(value, schema)


def holds_all(value: dict[str, Any], schema: Mapping[str, Any]) -> bool:
    own, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    return (
        (others is not False or value.keys() <= own.keys())
        and all(holds(name, schema.get("propertyNames", {})) for name in value)
        and all(holds(item, own.get(name, others)) for name, item in value.items())
        and all(name in value for name in schema.get("required", ()))
        and ("oneOf" not in schema or sum(all(name in value for name in case["required"]) for case in schema["oneOf"]) == 1)
    )


def kind(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    return {str: "string", int: "number", float: "number", list: "array", dict: "object"}[type(value)]


Told = {
    "dbt_version": st.sampled_from(["1.10", ">=1.7, <1.9", "latest", [">=1.7", "<2.0"], [], ["x"], None, True]),
    "adapter": st.sampled_from(["snowflake", "dbt-x", 5, None, "Duck", ["a"]]),
    "target": st.sampled_from(["prod", "-x", "", "a\nb", False, 1]),
    "vars": st.sampled_from([None, {}, {"a": [1, "x", None]}, {"a b": {"c": 1.5}}, [], "a"]),
    "env": st.sampled_from([None, {}, {"A": 1}, {"A": "x", "_b": True}, {"A": None}, {"A-B": "x"}, {"X_TOKEN": "x"}, {"A": []}, {"": "x"}]),
    "branches": st.sampled_from([None, [], ["main", "release/*"], ["a\nb"], [""], [1], "main"]),
    "impact": st.sampled_from(
        ["fail", "neutral", "off", "on", "", None, True, 1, [], {}, {"breaks": "fail"}, {"breaks": "x"}, {"breaks": False}, {"x": 1}]
        + [{key: value} for key in ("folders", "tags") for value in ([], ["a"], ["a", ".."], ["a"] * 51, ["/a"], [1], "a", None, [""])]
    ),
    "quality": st.sampled_from(
        [None, "off", {}, {"weights": {"tests": 40, "keys": 0.5}}, {"weights": {"tests": -1}}, {"weights": {"tests": 101}}]
        + [
            {"weights": {"tests": "1"}},
            {"weights": {"test": 1}},
            {"findings": {"unused_models": False}},
            {"findings": {"unused_models": 0}},
        ]
        + [{"ignored_folders": value} for value in ([], ["a"], ["a", ".."], ["a"] * 51, "a", None)]
        + [{"check_runs": value} for value in (True, "no", None)]
    ),
    "nonsense": st.sampled_from([1, None]),
}
Packages = st.fixed_dictionaries(
    {},
    optional={
        "address": st.sampled_from(["a/b", "", 1]),
        "use": st.sampled_from(["a/b", "https://x/y", "git@x:y/z", "a", "https://a:b@c/d"]),
        "skip": st.booleans(),
    },
)
Projects = st.fixed_dictionaries(
    {},
    optional={
        "dir": st.sampled_from(["a", ".", "../a", "/a", "a/..b", 1]),
        "ignored": st.sampled_from([True, False, None]),
        "target": Told["target"],
    },
)
Documents = st.fixed_dictionaries(
    {}, optional={**Told, "packages": st.none() | st.lists(Packages, max_size=1), "projects": st.none() | st.lists(Projects, max_size=1)}
)


@settings(max_examples=150, deadline=None)
@given(Documents)
def test_the_schema_and_the_parser_agree(document: dict[str, Any]) -> None:
    settings = read(yaml.safe_dump(document).encode())
    assert (not settings.complaints) == holds(document, SCHEMA), settings.complaints


def test_the_schema_accepts_the_example_of_the_page() -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    assert holds(json.loads(json.dumps(yaml.safe_load(example[1]), default=str)), SCHEMA)


def parts(schema: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """All keys with their schemas."""
    below = [*schema.get("properties", {}).items()]
    if isinstance(schema.get("items"), dict):
        below += parts(schema["items"])
    return [*below, *(part for _, inner in below for part in parts(inner) if part not in below)]


def test_every_key_is_described_for_editors_and_on_the_page() -> None:
    described = {name for line in PAGE.splitlines() if line.startswith("| `") for name in re.findall(r"`([a-z_]+)`", line.split("|")[1])}
    assert described == {name for name, _ in parts(SCHEMA)}
    for name, schema in parts(SCHEMA):
        assert schema["title"], name
        assert schema["description"].endswith("."), name
        for example in schema.get("examples", ()):
            assert holds(example, schema), name


def test_unknown_keys_are_rejected() -> None:
    for schema in (SCHEMA, SCHEMA["properties"]["packages"]["items"], SCHEMA["properties"]["projects"]["items"]):
        assert schema["additionalProperties"] is False


async def test_editors_get_the_schema_without_a_token_and_may_cache_it(aiohttp_client: Any) -> None:
    async def webhook(_: web.Request) -> web.Response:
        return web.Response()

    web_app = web.Application()
    routes.add(web_app, webhook)
    client = await aiohttp_client(web_app)
    answer = await client.get("/freshet.schema.json")
    assert answer.status == 200
    assert answer.content_type == "application/schema+json"
    assert await answer.json(content_type=None) == SCHEMA
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    again = await client.get("/freshet.schema.json", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304
    assert again.headers["ETag"] == answer.headers["ETag"]

"""No regular expression of the service takes more than linear time.

`re` holds the interpreter while it searches: one expression that takes the square of a stranger's text stops every tenant. So this collects
all expressions of `app` by itself, however they come about, derives hostile texts from each, and measures processor time, which a busy
machine stretches but does not bend.

`app/runner/program` is left out: it runs in the container, whose own time limit ends it, and not in the service's process.
"""

from __future__ import annotations

import ast
import gc
import heapq
import importlib
import re
import signal
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from itertools import chain, product
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from app.project import repository_settings
from tests import source
from tests.hostile_text import Recipe, recipes

pytestmark = pytest.mark.growth
APP = Path(__file__).parents[2] / "app"
USES = frozenset({"search", "match", "fullmatch", "finditer", "findall", "sub", "subn", "split"})
COMPILED_IN_FUNCTIONS = {
    # What these compile is found in the tables of the module, or in the schema.
    ("reports/error_class.py", "row"),
    ("core/yaml_schema.py", "_text"),
    # What `fnmatch` makes of a pattern consists of atomic groups; `test_hostile_texts` tries it.
    ("project/repository_settings.py", "includes_branch"),
}
"""Where a function makes an expression of what it is given."""
SMALL, SIZE = 1_000, 16_000
"""Characters: a first look at all texts, and a second one at those that were the slowest."""
SLOWEST = 3
"""Texts of one expression that get the second look."""
LINEAR = 8.0
"""How much longer four times the text may take. Twice the expected: linear is 4, quadratic 16."""
PATIENCE_S = 0.2
"""Of processor time, which `re` lets a signal end."""
HOPELESS = 400
"""Times the cost of a character in a plain search that even a linear expression must not reach at `SIZE`."""


@dataclass
class Found:
    """An expression, where it stands, and how it is used."""

    pattern: re.Pattern[Any]
    where: set[str] = field(default_factory=set)
    uses: set[str] = field(default_factory=set)


@cache
def modules() -> list[tuple[Path, ModuleType, ast.Module]]:
    paths = [path for path in sorted(APP.rglob("*.py")) if "program" not in path.parts and path.name != "__main__.py"]
    names = [".".join(path.relative_to(APP.parent).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return [(path, importlib.import_module(name), source.parsed(path)) for path, name in zip(paths, names, strict=True)]


@cache
def collected() -> tuple[list[Found], list[str]]:
    """All expressions, and the places where one is made that cannot be collected."""
    found: dict[re.Pattern[Any], Found] = {}
    unknown: list[str] = []
    schema = ((re.compile(text), "the schema of .github/freshet.yml", {use}) for text, use in _in_schema(repository_settings.json_schema()))
    for pattern, where, uses in chain(schema, *(_in_module(*one, unknown) for one in modules())):
        one = found.setdefault(pattern, Found(pattern))
        one.where.add(where)
        one.uses |= uses
    return list(found.values()), unknown


def _in_module(path: Path, module: ModuleType, tree: ast.Module, unknown: list[str]) -> Iterator[tuple[re.Pattern[Any], str, set[str]]]:
    place, used = str(path.relative_to(APP)), _used(tree)
    for name, value in list(vars(module).items()):
        if not name.startswith("__") and not isinstance(value, ModuleType):
            uses = used.get(name if isinstance(value, re.Pattern) else "") or {"finditer"}
            yield from ((pattern, f"{place}: {name}", uses) for pattern in _reachable(value, set()))
    for function, call in _calls(tree):
        try:
            pattern, uses = _written(call, module)
            yield pattern, f"{place}, line {call.lineno}", uses
        except NameError:
            if function and (place, function) not in COMPILED_IN_FUNCTIONS:
                unknown.append(f"{place}, line {call.lineno}")


def _used(tree: ast.Module) -> dict[str, set[str]]:
    """The methods that are called on each name; under "" those called on anything that is no plain name in capitals."""
    used: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in USES and not (isinstance(node.value, ast.Name) and node.value.id == "re"):
            name = node.value.id if isinstance(node.value, ast.Name) and node.value.id.isupper() else ""
            used.setdefault(name, set()).add(node.attr)
    used[""] = used.get("", set()) - {"split"}  # of texts
    return used


def _reachable(value: object, seen: set[int]) -> Iterator[re.Pattern[Any]]:
    """The expressions in a value of a module: itself, or in a table."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _reachable(one, seen)
    elif isinstance(value, tuple | list | set | frozenset):
        for one in value:
            yield from _reachable(one, seen)
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from _reachable(getattr(value, one.name, None), seen)


def _calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Each call that is given an expression as text, with the function around it."""
    inside = {id(node): one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) for node in ast.walk(one)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of_re = isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.func.attr in {*USES, "compile"}
            if of_re or (node.func.attr == "Meta" and any(one.arg == "pattern" for one in node.keywords)):
                yield inside.get(id(node), ""), node


def _written(call: ast.Call, module: ModuleType) -> tuple[re.Pattern[Any], set[str]]:
    """The expression in a call, and how it is used. Raises NameError unless it is made of constants."""
    assert isinstance(call.func, ast.Attribute)
    given = {one.arg: one.value for one in call.keywords}
    use, count = call.func.attr, {"sub": 4, "subn": 4, "split": 3, "compile": 1}.get(call.func.attr, 2)
    text = _value(given["pattern"] if use == "Meta" else call.args[0], module)
    flags = given.get("flags") or (
        call.args[count] if len(call.args) > count else call.args[1] if use == "compile" and call.args[1:] else None
    )
    return re.compile(text, _value(flags, module) if flags else 0), {"Meta": {"search"}, "compile": set()}.get(use, {use})


def _value(node: ast.expr, module: ModuleType) -> Any:
    return eval(compile(ast.Expression(node), "expression", "eval"), dict(vars(module)))  # noqa: S307 - our own source


def _in_schema(schema: object, use: str = "fullmatch") -> Iterator[tuple[str, str]]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"], use
        for key, value in schema.items():
            yield from _in_schema(value, "search" if key == "not" else "fullmatch")


def cost(pattern: re.Pattern[Any], use: str, text: str, times: int = 1) -> float:
    """Seconds of processor time for one character; infinite if a search does not end within `PATIENCE_S`."""
    of_bytes = isinstance(pattern.pattern, bytes)
    searched: Any = text.encode() if of_bytes else text
    arguments = (b"" if of_bytes else "", searched) if use in {"sub", "subn"} else (searched,)
    method, least = getattr(pattern, use), float("inf")
    try:
        for _ in range(times):
            signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE_S)
            start = time.thread_time()
            found = method(*arguments)
            if use == "finditer":
                deque(found, 0)
            least = min(least, time.thread_time() - start)
    except TimeoutError:
        return float("inf")
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return least / len(text)


def _end(*_: object) -> None:
    raise TimeoutError


signal.signal(signal.SIGVTALRM, _end)


def plain_cost() -> float:
    """Seconds for a character of a plain search, now, on this machine."""
    return cost(re.compile(r"\w\d"), "search", "a" * 50_000, 3)


def excess(pattern: re.Pattern[Any], uses: set[str], plain: float) -> str:
    """What is wrong with an expression; empty if nothing."""
    looks = []
    for use, recipe in product(sorted(uses), sorted(recipes(pattern))):
        looks.append((cost(pattern, use, recipe.text(SMALL)), use, recipe))
        if looks[-1][0] == float("inf"):
            return f"{use}() does not end with {recipe!r}"
    slowest = heapq.nlargest(SLOWEST, looks)
    return next((wrong for _, use, recipe in slowest if (wrong := _second_look(pattern, use, recipe, plain))), "")


def _second_look(pattern: re.Pattern[Any], use: str, recipe: Recipe, plain: float, times: int = 1) -> str:
    quarter = cost(pattern, use, recipe.text(SIZE // 4), times)
    whole = cost(pattern, use, recipe.text(SIZE), times)
    growth = 4 * whole / quarter if 0 < quarter < float("inf") else quarter
    if (growth > LINEAR or whole > HOPELESS * plain) and times == 1:
        return _second_look(pattern, use, recipe, plain, 3)
    if growth <= LINEAR and whole <= HOPELESS * plain:
        return ""
    shown = f"{recipe.before[:40]!r}, then {recipe.turn[:40]!r} many times, then {recipe.after[:40]!r}"
    return f"{use}() takes {whole * 1e6:.2f} µs for a character, {growth:.1f} times as long for 4 times the text: {shown}"


@pytest.fixture(autouse=True)
def _undisturbed() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_every_expression_is_collected() -> None:
    expressions, unknown = collected()
    assert not unknown, "an expression is made of variables. Make it of constants at the top of its module, so that this test finds it"
    assert len(expressions) > 200


def test_no_expression_escapes_by_another_way() -> None:
    """Other names for `re`, or other modules that make expressions of texts."""
    escaping = [
        f"{path.relative_to(APP)}, line {node.lineno}"
        for path, _, tree in modules()
        for node in ast.walk(tree)
        if (isinstance(node, ast.ImportFrom) and node.module in {"re", "regex", "glob"})
        or (isinstance(node, ast.Import) and any(one.name in {"regex", "glob"} or (one.name == "re" and one.asname) for one in node.names))
    ]
    assert not escaping


def test_every_expression_is_linear() -> None:
    plain = plain_cost()
    wrong = [(sorted(one.where), one.pattern.pattern, found) for one in collected()[0] if (found := excess(one.pattern, one.uses, plain))]
    assert not wrong


@pytest.mark.parametrize(
    ("text", "use"),
    [
        (r"\bselect\s+(distinct\s+)?top\s*\(?\s*\d", "search"),
        (r"^\s*\{[%#].*$", "sub"),
        (r"eyJ[\w-]{8,}\.[\w-]{8,}", "sub"),
        (r"-----BEGIN -----.*?-----END -----", "sub"),
        (r"(?<![\w-])dbt-([a-z-]+)(?:\[[^\]\n]*\])?\s*==", "finditer"),
        (r"(\w+):$", "search"),
        (r"(?:[a-z0-9]+[._-]*)*x", "fullmatch"),
        (r"(\d+)\.(\d+)", "search"),
        (r"\{#.*?#\}", "finditer"),
        (r"(?P<major>0|[1-9]\d*)-?(?P<rest>\d*[a-z]*)x", "fullmatch"),
    ],
)
def test_a_quadratic_expression_is_noticed(text: str, use: str) -> None:
    assert excess(re.compile(text, re.MULTILINE), {use}, plain_cost())

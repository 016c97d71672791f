"""Python files as syntax trees, for the tests that read our own source: each file is parsed once, and walked once."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def nodes(path: Path) -> Sequence[ast.AST]:
    """Every node of a file."""
    return tuple(ast.walk(parsed(path)))


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and text of every string that is not a docstring."""
    documentation = {id(node.value) for node in nodes(path) if isinstance(node, ast.Expr)}
    for node in nodes(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value

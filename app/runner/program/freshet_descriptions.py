"""Renders descriptions as dbt does, but those without Jinja, or with nothing but doc blocks, without a template.

Before anything is replaced, it is checked: if dbt is not as expected, it stays unchanged.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dbt.context import docs
from dbt.parser import manifest as parser

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbt.contracts.graph.manifest import Manifest

DOC = re.compile(r"""\{\{ {0,9}doc\( {0,9}(?:'([^'"\\{}\r\n]*)'|"([^'"\\{}\r\n]*)") {0,9}\) {0,9}\}\}""")
"""A doc block, as most write it: https://docs.getdbt.com/reference/dbt-jinja-functions/doc."""
RENDERING = {
    "_process_docs_for_node": {"_get_doc_blocks", "description", "package_name", "doc_blocks", "get_rendered", "columns", "items"},
    "_process_docs_for_source": {
        *("_get_doc_blocks", "description", "package_name", "doc_blocks", "get_rendered", "columns", "values", "source_description"),
    },
    "_process_docs_for_macro": {"get_rendered", "description", "arguments"},
}
"""dbt's functions that render descriptions, and all that they use."""
NAMING = {
    *("parse", "hasattr", "body", "nodes", "isinstance", "Call", "node", "name", "args", "value", "len", "metadata", "project_name"),
    *("resolve_doc", "append", "unique_id"),
}
"""What dbt's function uses that lists the doc blocks of a description."""
MAKING = {"DocsRuntimeContext", "to_dict"}
"""… that makes a context for them."""
PROBES = ("{{ doc('a') }}", 'b {{doc("a")}} c', "\n{{ doc( 'a' )}}{{ doc('a')}} . ")


class DocContext(dict):
    """dbt's context for the descriptions of one node, which is empty until a template needs it."""

    def __init__(self, make: Callable, *args: Any) -> None:
        super().__init__()
        self._make, self._args = make, args
        self._doc = None  # type: Callable | None

    def fill(self) -> dict:
        """Make all of it, once."""
        if not self:
            self.update(self._make(*self._args))
        return self

    def doc(self, name: str) -> str:
        """Return the contents of a doc block. Raises dbt's error if there is none."""
        if self._doc is None:
            self._doc = docs.DocsRuntimeContext(*self._args).doc
        return self._doc(name)


def install() -> None:
    """Replace dbt's functions."""
    functions = [getattr(parser, name, None) for name in RENDERING]
    known = all(hasattr(function, "__code__") and set(function.__code__.co_names) <= RENDERING[function.__name__] for function in functions)
    make = getattr(parser, "generate_runtime_docs_context", None)
    if not known or make is None or getattr(make, "freshet", False):
        return
    quick = set(make.__code__.co_names) <= MAKING and _renders_as_expected(parser.get_rendered)

    def context(config: object, target: object, *more: object) -> dict:
        texts = _texts(target)
        if texts is not None and not any(map(_may_have_template, texts)):
            return {}
        return DocContext(make, config, target, *more) if quick and texts is not None else make(config, target, *more)

    context.freshet = True
    parser.generate_runtime_docs_context = context
    if quick:
        parser.get_rendered = _rendering(parser.get_rendered)
    find = getattr(parser, "_get_doc_blocks", None)
    if find is not None:
        parser._get_doc_blocks = _finding(find)  # noqa: SLF001 - dbt's


def _renders_as_expected(render: Callable) -> bool:
    with suppress(Exception):
        given = {"doc": "<{}>\n".format}
        return all(render(text, given) == _joined(text, given["doc"]) for text in PROBES)
    return False


def _rendering(inner: Callable) -> Callable:
    def get_rendered(text: Any, context: dict, *more: object, **options: object) -> Any:
        if not isinstance(context, DocContext) or not _may_have_template(text):
            return inner(text, context, *more, **options)
        with suppress(Exception):  # dbt says what is wrong
            found = _joined(text, context.doc)
            if found is not None:
                return found
        return inner(text, context.fill(), *more, **options)

    return get_rendered


def _finding(inner: Callable) -> Callable:
    known = set(inner.__code__.co_names) <= NAMING

    def _get_doc_blocks(text: Any, manifest: Manifest, package: str) -> list:
        if not _may_have_template(text):
            return []
        parts = _parts(text) if known and manifest.metadata.project_name else None
        if parts is None:
            return inner(text, manifest, package)
        blocks = [manifest.resolve_doc(name, None, manifest.metadata.project_name, package) for name in parts[1::2]]
        return [block.unique_id for block in blocks if block]

    return _get_doc_blocks


def _joined(text: Any, doc: Callable) -> str | None:
    """What a text becomes; None if it needs a template."""
    parts = _parts(text)
    if parts is None:
        return None
    parts[1::2] = [doc(name) for name in parts[1::2]]
    return "".join(parts) if all(type(part) is str for part in parts) else None


def _parts(text: Any) -> list | None:
    """Texts and, between them, the names of doc blocks; None if there is anything else. Jinja changes ends of lines."""
    if type(text) is not str or "\r" in text or text.endswith("\n"):
        return None
    parts = DOC.split(text)
    if any("{" in part or "}" in part for part in parts[::3]):
        return None
    return [part for part in parts if part is not None]


def _texts(target: object) -> list | None:
    """The descriptions of a node, a source or a macro; None for anything else."""
    columns, arguments = getattr(target, "columns", None), getattr(target, "arguments", None)
    if isinstance(columns, dict):
        parts = list(columns.values())
    elif isinstance(arguments, list):
        parts = arguments
    else:
        return None
    return [getattr(part, "description", None) for part in (target, *parts)] + [getattr(target, "source_description", None)]


def _may_have_template(text: object) -> bool:
    return text is not None and (type(text) is not str or "{" in text)

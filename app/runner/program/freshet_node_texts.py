"""Finds in the texts of nodes and macros what no record can show: names put together at run time, and times. Independent of dbt."""

from __future__ import annotations

import re

OF_ONE_RUN = re.compile(
    r"\b(?:run_started_at|invocation_id|invocation_args_dict|thread_id|dbt_metadata_envs|selected_resources|random|lipsum)\b"
)
"""Names in Jinja whose values differ from run to run. The clock is an attribute: `freshet_node_attributes` notices who reads it."""
ANY_NAME = re.compile(
    r"(?<![\"'])\bcontext\b(?![\"'])(?!\s*\[\s*(?:\"(?!context|render)[^\"\\]*\"|'(?!context|render)[^'\\]*')\s*\])"
    r"(?!\s*\.\s*(?!context\b|copy\b|get\b|items\b|keys\b|pop|render\b|setdefault\b|update\b|values\b)\w)"
    r"(?!\s*\.\s*get\s*\(\s*(?:\"(?!context|render)[^\"\\]*\"|'(?!context|render)[^'\\]*')\s*[,)])"
    r"|(?<![\"'.\w])render\b(?!\s*\(\s*(?:\"[^\"\\]*\"|'[^'\\]*')\s*\))"
)
"""What may look for anything, also these names, by a name that is put together at run time."""
COMPUTED = re.compile(
    r"\b(?:context|builtins|render|adapter_macro)\b"
    r"|\bdispatch\b(?!\s*\(\s*(?:macro_name\s*=\s*)?(?:\"[^\"\\]*\"|'[^'\\]*')\s*[,)])"
)
"""What may look for a macro by such a name."""
JINJA = (("{{", "}}"), ("{%", "%}"))
QUOTES = ("'", '"')
METHODS = ("get", "items", "keys", "values", "setdefault", "pop")
MAX_CHANGED_NAMES = 200


def differs_between_runs(text: str) -> bool:
    """Whether the Jinja in a text names a value of one run, or may look for one.

    >>> differs_between_runs("select now() from {{ ref('a') }}"), differs_between_runs("{{ run_started_at }}")
    (False, True)
    >>> differs_between_runs("{{ context['a'] }} {{ this.render() }}"), differs_between_runs("{{ context['a' ~ 'b'] }}")
    (False, True)
    """
    named = any(pattern.search(text) is not None for pattern in (OF_ONE_RUN, ANY_NAME))
    return named and any(OF_ONE_RUN.search(part) or ANY_NAME.search(part) for part in _jinja(text))


def looks_up_computed_names(text: str, packages: tuple) -> bool:
    """Whether the Jinja in a text may look for macros by computed names, also in one of the `packages`.

    >>> looks_up_computed_names("{{ context['a']() }}", ()), looks_up_computed_names("{{ adapter.dispatch('a')() }}", ())
    (True, False)
    >>> looks_up_computed_names("{{ utils[name]() }}", ("utils",)), looks_up_computed_names("{{ utils.a() }}", ("utils",))
    (True, False)
    """
    return any(COMPUTED.search(part) is not None or _is_searched(part, packages) for part in _jinja(text))


def within(*values: object) -> str:
    """Return all texts in values, also those in lists and mappings, each on lines of its own.

    >>> within({"a": ["b"]}, None).split()
    ['a', 'b']
    """
    found, seen, waiting = [], set(), list(values)  # type: list[str], set[int], list[object]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            waiting += [*value.values(), *reversed(list(value))] if isinstance(value, dict) else value
    return "\n".join(found)


def of_hooks(node: object) -> str:
    """Return the texts of a node's hooks, which may come from the project's configuration."""
    config = getattr(node, "config", None)
    return "\n".join(str(hook.sql) for name in ("pre_hook", "post_hook") for hook in getattr(config, name, None) or ())


def names_to_find(unique_ids: set) -> list | None:
    """Return the texts of which one occurs wherever one of these macros can be looked up by its name; None if there are too many.

    A dispatched macro is looked up by what follows the adapter in its name.

    >>> sorted(names_to_find({"macro.shop.default__cents", "macro.shop.dollars"}))
    ['cents', 'default__cents', 'dollars']
    """
    if len(unique_ids) > MAX_CHANGED_NAMES:
        return None
    found = {}  # type: dict[str, None]
    for unique_id in unique_ids:
        name = unique_id.split(".")[-1]
        parts = name.split("__")
        found.update({"__".join(parts[number:]): None for number in range(len(parts)) if "__".join(parts[number:])})
    return list(found)


def mentions(text: str, names: list) -> bool:
    """Whether one of the names is anywhere in the text."""
    return any(name in text for name in names)


def _is_searched(part: str, packages: tuple) -> bool:
    """Whether a package is used as a mapping of its macros, not only by the name of one, or as a text."""
    for package in packages:
        at = part.find(package)
        while at >= 0:
            end = at + len(package)
            before, after = part[at - 1 : at], part[end : end + 20].lstrip()
            quoted = before in QUOTES and after[:1] in QUOTES
            other_word = before.isalnum() or before == "_" or part[end : end + 1].isalnum() or part[end : end + 1] == "_"
            of_macro = after.startswith(".") and not after[1:].lstrip().startswith(METHODS)
            if not (quoted or other_word or of_macro):
                return True
            at = part.find(package, end)
    return False


def _jinja(text: str) -> list:
    """The parts of a text between the signs of Jinja, with everything up to the next sign where a quotation mark is open."""
    found = []
    for begin, end in JINJA:
        at = text.find(begin)
        while at >= 0:
            until, marks, looked = text.find(end, at), [0, 0], at
            while until >= 0:
                marks = [marks[number] + text.count(mark, looked, until) for number, mark in enumerate(QUOTES)]
                if not any(count % 2 for count in marks):
                    break
                looked, until = until, text.find(end, until + len(end))
            found.append(text[at : None if until < 0 else until])
            at = -1 if until < 0 else text.find(begin, until)
    return found

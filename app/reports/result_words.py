"""Words for the results of dbt's own runs."""

from __future__ import annotations

from collections.abc import Mapping

from app.lineage.run_results import Verdict, verdict

_OF_SOURCES: Mapping[str, str] = {"pass": "fresh", "warn": "late", "error": "stale", "runtime error": "freshness unknown"}
_WORDS: Mapping[Verdict, str] = {"passed": "passed", "warned": "warned", "failed": "failed", "skipped": "skipped"}


def word(unique_id: str, status: str) -> str:
    """One result in a word or two.

    >>> word("source.shop.erp.orders", "error"), word("test.shop.not_null.a1", "fail")
    ('stale', 'failed')
    """
    of_source = _OF_SOURCES.get(status) if unique_id.startswith("source.") else None
    return of_source or _WORDS[verdict(status)]


def trouble(unique_id: str, status: str) -> str | None:
    """What is to be said where a node is drawn; None: all is well.

    >>> trouble("model.shop.orders", "error"), trouble("model.shop.orders", "success")
    ('last run failed', None)
    """
    if verdict(status) not in {"failed", "warned"}:
        return None
    return word(unique_id, status) if unique_id.startswith("source.") else f"last run {word(unique_id, status)}"


def trouble_of_tests(failed: int, warned: int) -> str | None:
    """The same of the tests on a node.

    >>> trouble_of_tests(2, 1), trouble_of_tests(0, 1)
    ('2 tests failed', '1 test warned')
    """
    number, what = (failed, "failed") if failed else (warned, "warned")
    return f"{number} {'test' if number == 1 else 'tests'} {what}" if number else None

"""Masks secrets in the texts of one columns document: its SQL was rendered with the values of `env_var` and `var`, which may be secrets.

A container may have written anything, so all of it together has a limit of processor time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from app.lineage.column_document import MAX_NAME, MAX_REASON
from app.reports import redaction

MAX_CPU_S = 30.0
"""For one document. SQL as people write it takes a second per 50 MiB."""
CUT_AT = 400
"""Characters: the program in the image cuts reasons at this length, or at 500."""
LEFT_OUT = f"Left out: masking secrets in what the project left took more than {MAX_CPU_S:g} seconds."


class OutOfTimeError(Exception):
    """There is no processor time left for a document."""


class DocumentRedaction:
    """Implements `column_document.TextRedaction`. Use it in one thread. `secrets`: as `redaction.secret_values` finds them."""

    def __init__(self, secrets: Iterable[str], cpu_s: float = MAX_CPU_S) -> None:
        # Reasons have one space where a message has several, or a line end.
        self._secrets = {*secrets}
        self._spaced = self._secrets | {" ".join(secret.split()) for secret in self._secrets}
        self._end_s = time.thread_time() + cpu_s

    def reason(self, text: str) -> str:
        """At most `MAX_REASON` characters, masked and without control characters."""
        try:
            self._tick()
        except OutOfTimeError:
            return LEFT_OUT
        return redaction.redact_short(text, self._spaced, MAX_REASON, CUT_AT)

    def code(self, sql: str) -> tuple[str | None, str | None]:
        """The masked SQL, or None and the reason."""
        try:
            return redaction.redact_code(sql, self._secrets, self._tick), None
        except OutOfTimeError:
            return None, LEFT_OUT

    def name(self, text: str) -> str:
        """At most `MAX_NAME` characters of the name of a table, which may be a URL."""
        return (self.code(text)[0] or LEFT_OUT)[:MAX_NAME]

    def _tick(self) -> None:
        if time.thread_time() > self._end_s:
            raise OutOfTimeError

"""Checks a share of partial parses: the same input is parsed in full, without a state, and both manifests have to be equal.

That happens in this process while it has nothing else to do, with what little of the host is left, and gives way to the next extraction.
What waits here is lost with the process.

A difference counts after a second full parse that equals the first: some projects are parsed in another way each time. Then the
connection's parse states are distrusted, and the commit is extracted again as by a re-run, without a state: its lineage and its check run
become the right ones.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from typing import Any, Literal

from app.core import log, metrics
from app.core.errors import DbtError, FreshetError, GoneError
from app.core.models.annotations import Annotation
from app.core.models.extractions import Extraction, Stage
from app.core.spool import FinishedSpool
from app.lineage.manifest_comparison import ManifestDifferences
from app.pipeline import triggers
from app.pipeline.leases import VERIFICATION_ATTEMPTS, VERIFICATIONS_WAITING
from app.pipeline.ports import ParseStateCache, StateScope
from app.pipeline.refresh import CarriedLineage, Commit, NewLineage, Tools, refresh
from app.store import Store
from app.store.lineages import KnownInput

MAX_WAITING_BYTES = 256 << 20
"""Of the manifests that wait, on disk."""
TRIGGER = "verification"

Outcome = Literal["same", "different", "varies", "other_input", "failed", "interrupted", "dropped"]

logger = log.get(__name__)


@dataclass(slots=True)
class PartialParse:
    """The manifest of an extraction that a parse state had a part in, and what it was made of."""

    extraction: Extraction
    commit: Commit
    scope: StateScope
    project_dir: str
    input_hash: bytes
    image: str
    manifest: FinishedSpool
    attempts: int = 0

    @property
    def owner(self) -> int:
        """The installation."""
        return self.extraction.repository.installation_id


class _OtherInputError(Exception):
    """The same commit would be read in another way now: a package moved on, or the image was built anew."""


class Verifier:
    """Keeps a share of partial parses, and checks one at a time. Without `states`, none."""

    def __init__(self, store: Store, tools: Tools, states: ParseStateCache | None = None, share: float = 0.0) -> None:
        self._store, self._tools, self._states = store, tools, states
        self._share = share
        self._waiting: list[PartialParse] = []
        """The oldest first."""
        self._running: asyncio.Task[bool] | None = None

    @asynccontextmanager
    async def sampling(self, extraction: Extraction, commit: Commit, made: NewLineage | CarriedLineage) -> AsyncIterator[None]:
        """Have an extraction checked later, with the probability that was set, if what is done in the context succeeds."""
        parse = await self._sample(extraction, commit, made)
        try:
            yield
        except BaseException:
            if parse is not None:
                parse.manifest.close()
            raise
        if parse is not None:
            self._add(parse)

    async def _sample(self, extraction: Extraction, commit: Commit, made: NewLineage | CarriedLineage) -> PartialParse | None:
        if isinstance(made, CarriedLineage) or not made.parsed.states_of or commit.state is None or extraction.of_fork:
            return None
        if self._states is None or random.random() >= self._share or made.parsed.spool.size_bytes > MAX_WAITING_BYTES:  # noqa: S311 - a sample
            return None
        try:
            manifest = await made.parsed.spool.finished()
        except FreshetError as error:  # nobody waits for this
            logger.info("partial parse not kept for verification", reason=str(error))
            return None
        again = replace(commit, branch=None, state=None, unhurried=True)
        return PartialParse(extraction, again, commit.state, made.layout.project_dir, made.input_hash, made.parsed.image, manifest)

    def _add(self, parse: PartialParse) -> None:
        """Let it wait, in place of an earlier one of its connection."""
        for one in [one for one in self._waiting if one.extraction.connection_id == parse.extraction.connection_id]:
            self._drop(one)
        self._waiting.append(parse)
        while len(self._waiting) > VERIFICATIONS_WAITING or sum(one.manifest.size_bytes for one in self._waiting) > MAX_WAITING_BYTES:
            counts = Counter(one.owner for one in self._waiting)
            self._drop(next(one for one in self._waiting if counts[one.owner] == max(counts.values())))

    def begin(self, ended: Callable[[], None]) -> None:
        """Nothing else waits: check the next one, unless one is being checked. `ended` is called after it."""
        if self._running is not None or not self._waiting:
            return
        parse = self._waiting.pop(0)
        self._running = asyncio.create_task(self._run(parse), name="verification")
        self._running.add_done_callback(lambda task: self._end(task, parse, ended))

    def give_way(self) -> None:
        """Extractions need everything: stop the check, and begin it again later."""
        if self._running is not None:
            self._running.cancel()

    async def stop(self) -> None:
        """End the check, and forget what waits."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        for one in self._waiting:
            one.manifest.close()
        self._waiting.clear()

    def _drop(self, parse: PartialParse) -> None:
        self._waiting.remove(parse)
        parse.manifest.close()
        _count("dropped")

    async def _run(self, parse: PartialParse) -> bool:
        """Check one; whether it has to begin again."""
        extraction = parse.extraction
        ids = {log.EXTRACTION: extraction.id, log.REPOSITORY: extraction.repository.full_name}
        with log.bound(**ids, **{log.INSTALLATION: extraction.repository.installation_id}):
            outcome = await self._outcome(parse)
        _count(outcome)
        return outcome == "interrupted" and parse.attempts < VERIFICATION_ATTEMPTS

    def _end(self, task: asyncio.Task[bool], parse: PartialParse, ended: Callable[[], None]) -> None:
        self._running = None
        if task.cancelled() or task.result():  # cancelled: it had not begun yet
            self._waiting.insert(0, parse)
        else:
            parse.manifest.close()
        ended()

    async def _outcome(self, parse: PartialParse) -> Outcome:
        """Check one, whatever happens. Giving way is an outcome too."""
        parse.attempts += 1
        try:
            return await self._check(parse)
        except asyncio.CancelledError:
            return "interrupted"
        except _OtherInputError:
            return "other_input"
        except FreshetError as error:
            logger.info("verification failed", reason=str(error))
        except Exception:  # nobody waits for this
            logger.exception("verification crashed")
        return "failed"

    async def _check(self, parse: PartialParse) -> Outcome:
        async with self._full_parse(parse) as first:
            found = await self._compare(parse, first, parse.manifest)
            if not found:
                return "same"
            async with self._full_parse(parse) as second:
                varies = await self._vary(parse, first, second)
            if varies:
                logger.info("the project is not parsed the same twice, so its partial parse cannot be verified", differences=found.named)
                return "varies"
        await self._correct(parse, found)
        return "different"

    @asynccontextmanager
    async def _full_parse(self, parse: PartialParse) -> AsyncIterator[NewLineage | DbtError]:
        """The same input, without a state; or that dbt refuses it. Its columns are not waited for."""
        try:
            made = await refresh(parse.commit, self._tools, _Unrecorded(parse))
        except DbtError as error:
            yield error
            return
        assert isinstance(made, NewLineage)  # noqa: S101 - no input is known
        try:
            if made.parsed.columns is not None:
                made.parsed.columns.close()
            yield made
        finally:
            made.close()

    async def _compare(self, parse: PartialParse, full: NewLineage | DbtError, other: FinishedSpool) -> ManifestDifferences:
        if isinstance(full, DbtError):
            return ManifestDifferences(("dbt refuses the project",), 1)
        return await self._tools.decoders.differences(full.parsed.spool, other, parse.commit.label, parse.image)

    async def _vary(self, parse: PartialParse, first: NewLineage | DbtError, second: NewLineage | DbtError) -> bool:
        """Whether two full parses differ."""
        if isinstance(second, DbtError):
            return not isinstance(first, DbtError)
        with closing(await second.parsed.spool.finished()) as other:
            return bool(await self._compare(parse, first, other))

    async def _correct(self, parse: PartialParse, found: ManifestDifferences) -> None:
        """Distrust the states, and extract the commit again, and the one that the connection's lineage is of now."""
        extraction = parse.extraction
        logger.error(
            "a partial parse differs from a full one: the parse states of the connection are discarded, and the commit is extracted again",
            connection_id=extraction.connection_id,
            sha=extraction.sha,
            differences=found.named,
            count=found.count,
        )
        assert self._states is not None  # noqa: S101 - else nothing is sampled
        await self._states.distrust(parse.scope)
        await self._store.lineages.forget_input(extraction.connection_id, parse.input_hash)
        await self._extract_again(extraction)
        connection = await self._store.connections.get(extraction.connection_id)
        if connection is not None and extraction.followed and connection.lineage_sha not in (None, extraction.sha):
            current = await self._store.extractions.search(connection.id, sha=connection.lineage_sha, limit=1)
            for one in current.extractions:
                await self._extract_again(one)

    async def _extract_again(self, extraction: Extraction) -> None:
        try:
            await triggers.extract_again(self._store, extraction, TRIGGER)
        except GoneError as error:
            logger.info("not extracted again", reason=str(error))


class _Unrecorded:
    """The progress of a parse that nobody sees (`refresh.Progress`)."""

    def __init__(self, parse: PartialParse) -> None:
        self._parse = parse

    async def enter(self, stage: Stage) -> None: ...

    async def choose_project_dir(self, projects: Sequence[str]) -> str | None:
        del projects
        return self._parse.project_dir

    async def find_known_input(self, input_hash: bytes) -> KnownInput | None:
        """Raises _OtherInputError."""
        if input_hash != self._parse.input_hash:
            raise _OtherInputError
        return None

    def record(self, **facts: Any) -> None: ...

    def record_log(self, log: str) -> None: ...

    async def show_log(self, log: str) -> None: ...

    def annotate(self, annotations: Sequence[Annotation]) -> None: ...


def _count(outcome: Outcome) -> None:
    metrics.VERIFICATIONS.labels(outcome).inc()

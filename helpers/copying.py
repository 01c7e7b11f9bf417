"""Copy tables on the snapshot in binary: the stock psql reads, blocks are hashed as they pass.

psql keeps the row-by-row work in C. A large table has a psql of its own and reaches us through a
pipe; small ones share a psql that writes their files, since each start costs some 10 ms.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import processes
from .binary import Source
from .clients import Client
from .errors import BackupError
from .postgres import Facts, Target
from .processes import Completed, Group
from .sinks import Sink
from .streams import BLOCK, DataFacts

SMALL = 1 << 20
"""Tables up to this many bytes on the server share a psql."""

BATCH = 100
"""So many small tables at most, so that every worker gets some."""

WORKER_LOCK_SECONDS = 5
"""How long a worker waits for a table that the leader has locked already: if it must wait,
somebody has asked for an exclusive lock since, and only the leader itself can still read it."""

_COUNT = re.compile(r"^COPY (\d+)$", re.MULTILINE)
_SETTINGS = (
    "search_path = ''",
    "statement_timeout = 0",
    "idle_in_transaction_session_timeout = 0",
    f"lock_timeout = '{WORKER_LOCK_SECONDS}s'",
    "row_security = off",
    "synchronize_seqscans = off",
)


@dataclass(frozen=True)
class Work:
    """A table to copy: its bytes on the server, and the file for it, .gz added if compressed."""

    oid: int
    source: Source
    size: int
    path: Path
    compression: str


@dataclass(frozen=True)
class Copied:
    """A copied table: its file, and what is in it."""

    path: Path
    facts: DataFacts


@dataclass(frozen=True)
class Reader:
    """How a worker reaches the snapshot."""

    client: Client
    target: Target
    facts: Facts
    snapshot: str

    @property
    def argv(self) -> list[str]:
        """Its psql's command line."""
        return [
            self.client.tool("psql"),
            "--no-psqlrc",
            "--no-password",
            "--set=ON_ERROR_STOP=1",
            f"--dbname={self.target.conninfo}",
        ]

    @property
    def env(self) -> dict[str, str]:
        """Its psql's environment: text comes in the server's encoding, as pg_dump writes it."""
        return {**self.target.env, "PGCLIENTENCODING": self.facts.encoding}

    def script(self, statements: Iterable[str]) -> str:
        """What its psql does: enter the snapshot, then the statements."""
        settings = [f"SET {setting};" for setting in _SETTINGS]
        if self.facts.major >= 17:
            settings.append("SET transaction_timeout = 0;")
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
        lines = [*settings, begin, f"SET TRANSACTION SNAPSHOT '{self.snapshot}';", *statements]
        return "\n".join(lines) + "\n"


class Copier:
    """Copies tables in threads of its own; what no worker could lock is left to the leader."""

    def __init__(
        self,
        reader: Reader,
        advance: Callable[[int, int], None],
        failure: Callable[[Completed], BackupError],
    ) -> None:
        self.copied: dict[int, Copied] = {}
        self.left: list[Work] = []
        self._reader = reader
        self._advance = advance
        self._failure = failure
        self._group = Group()
        self._lock = threading.Lock()

    @contextmanager
    def running(self, works: Sequence[Work], jobs: int) -> Iterator[None]:
        """Copy while the body runs, and wait for the end; any error ends every worker."""
        with ThreadPoolExecutor(jobs) as pool:
            try:
                futures = [pool.submit(self._large, work) for work in _large(works)]
                futures += [pool.submit(self._small, batch) for batch in _batches(works)]
                yield
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self._group.end()
                raise

    def keep(self, work: Work, sink: Sink, rows: int) -> None:
        """Count a table as copied."""
        facts = sink.finish(rows)
        with self._lock:
            self.copied[work.oid] = Copied(sink.path, facts)
        self._advance(1, 0)

    def _large(self, work: Work) -> None:
        """One table through a pipe."""

        def script(pipe: str) -> str:
            return self._reader.script([f"{work.source.copy_out} \\g '{pipe}'"])

        with closing(Sink(work.path, work.compression)) as sink:
            done = self._psql(script, self._counted(sink), work.path.parent)
            if self._is_whole([work], done):
                self.keep(work, sink, int(_COUNT.findall(done.output)[0]))
            else:
                sink.discard()

    def _small(self, works: Sequence[Work]) -> None:
        """Several tables into files, each of which is then read back."""
        place = works[0].path.parent
        statements = [f"{work.source.copy_out} \\g '{work.oid}.copy'" for work in works]
        done = self._psql(lambda _: self._reader.script(statements), _nothing, place)
        whole = self._is_whole(works, done)
        for work, rows in zip(works, _COUNT.findall(done.output), strict=whole):
            copy = place / f"{work.oid}.copy"
            with closing(Sink(work.path, work.compression)) as sink, copy.open("rb") as data:
                take = self._counted(sink)
                while block := data.read(BLOCK):
                    take(block)
                self.keep(work, sink, int(rows))
            copy.unlink()

    def _counted(self, sink: Sink) -> Callable[[bytes], None]:
        """The sink, with what passes shown as progress."""

        def take(block: bytes) -> None:
            sink.write(block)
            self._advance(0, len(block))

        return take

    def _psql(
        self, script: Callable[[str], str], sink: Callable[[bytes], None], place: Path
    ) -> Completed:
        return processes.pump(
            self._reader.argv,
            script,
            sink,
            env=self._reader.env,
            group=self._group,
            directory=place,
        )

    def _is_whole(self, works: Sequence[Work], done: Completed) -> bool:
        """Whether every table was copied; those that could not be locked are left to the leader."""
        counted = len(_COUNT.findall(done.output))
        if not done.returncode and counted == len(works):
            return True
        if "lock timeout" not in done.errors:
            raise self._failure(done)
        with self._lock:
            self.left += works[counted:]
        return False


def _nothing(_data: bytes) -> None:
    """A batch writes no data to its pipe."""


def _large(works: Sequence[Work]) -> list[Work]:
    """The largest first, so that none is left to run alone at the end."""
    large = [work for work in works if work.size > SMALL]
    return sorted(large, key=lambda work: -work.size)


def _batches(works: Sequence[Work]) -> list[Sequence[Work]]:
    small = [work for work in works if work.size <= SMALL]
    return [small[start : start + BATCH] for start in range(0, len(small), BATCH)]

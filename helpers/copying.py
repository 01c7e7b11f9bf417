"""Copy tables on the snapshot in binary: the stock psql reads, blocks are hashed as they pass.

psql keeps the row-by-row work in C. Each table has one of its own, whose start costs some 10 ms:
too much for thousands of small tables, which are left to pg_dump.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import processes, threads
from .binary import Source
from .catalog import Facts, Target
from .clients import Client
from .errors import BackupError
from .processes import Completed, Group
from .sinks import Sink
from .streams import DataFacts

WORKER_LOCK_SECONDS = 5
"""How long a worker waits for a table that the leader has locked already: if it must wait,
somebody has asked for an exclusive lock since, and only the leader itself can still read it."""

_LOCK_NOT_AVAILABLE = "55P03"
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
            "--set=VERBOSITY=verbose",  # with SQLSTATE, in whatever language the server speaks
            f"--dbname={self.target.conninfo}",
        ]

    @property
    def env(self) -> dict[str, str]:
        """Its psql's environment: text comes in the server's encoding, as pg_dump writes it."""
        return {**self.target.env, "PGCLIENTENCODING": self.facts.encoding}

    def script(self, statement: str) -> str:
        """What its psql does: enter the snapshot, then the statement."""
        settings = [f"SET {setting};" for setting in _SETTINGS]
        if self.facts.major >= 17:
            settings.append("SET transaction_timeout = 0;")
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
        lines = [*settings, begin, f"SET TRANSACTION SNAPSHOT '{self.snapshot}';", statement]
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
        # the largest first, so that none is left to run alone at the end
        ordered = sorted(works, key=lambda work: -work.size)
        with threads.mapped(self._copy, ordered, jobs, give_up=self._group.end) as copies:
            yield
            for _ in copies:
                pass

    def keep(self, work: Work, sink: Sink, rows: int) -> None:
        """Count a table as copied."""
        facts = sink.finish(rows)
        with self._lock:
            self.copied[work.oid] = Copied(sink.path, facts)
        self._advance(1, 0)

    def _copy(self, work: Work) -> None:
        """One table by a psql of its own, through a pipe."""
        with closing(Sink(work.path, work.compression)) as sink:

            def take(block: bytes) -> None:
                sink.write(block)
                self._advance(0, len(block))

            done = processes.pump(
                self._reader.argv,
                lambda pipe: self._reader.script(f"{work.source.copy_out} \\g '{pipe}'"),
                take,
                env=self._reader.env,
                group=self._group,
            )
            counted = _COUNT.findall(done.output)
            if not done.returncode and len(counted) == 1:
                self.keep(work, sink, int(counted[0]))
            elif _LOCK_NOT_AVAILABLE in done.errors:
                sink.discard()
                with self._lock:
                    self.left.append(work)
            else:
                raise self._failure(done)

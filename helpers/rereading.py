"""Read the tables of a restored database as the backup read them, and hash their streams."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from . import processes, threads
from .catalog import Target
from .clients import Client
from .errors import ToolError
from .manifest import TablePart
from .packing import BLOCK
from .postgres import Session
from .processes import Group
from .sqltext import quoted

LARGE = 4 << 20
"""Tables of as many bytes are read by a psql each, several at once; its start costs some 10 ms."""

_COUNT = re.compile(r"^COPY (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Stream:
    """A table's rows as COPY gives them: how many, in how many bytes, and their SHA-256."""

    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Reader:
    """How to read a restored database: `settings` are those of the source's text."""

    client: Client
    target: Target
    encoding: str
    settings: Mapping[str, str]

    def streams(
        self,
        session: Session,
        tables: Sequence[TablePart],
        jobs: int,
        advance: Callable[[int, int], None],
    ) -> dict[int, Stream | str]:
        """The stream of each table by its oid, or why it cannot be read."""
        found: dict[int, Stream | str] = {}
        small = [table for table in tables if table.bytes < LARGE]
        large = [table for table in tables if table.bytes >= LARGE]
        done = [0, 0]

        def keep(table: TablePart, stream: Stream | str) -> None:
            found[table.oid] = stream
            done[0] += 1
            done[1] += table.bytes
            advance(done[0], done[1])

        session.execute("".join(f"SET {line};" for line in self._settings()))
        for table in small:
            keep(table, self._by_session(session, table))
        group = Group()

        def read(table: TablePart) -> Stream | str:
            return self._by_psql(table, group)

        with threads.mapped(read, large, jobs, give_up=group.end) as read_by_psql:
            for table, stream in zip(large, read_by_psql, strict=True):
                keep(table, stream)
        return found

    def blocks(self, session: Session, table: TablePart) -> Iterator[bytes]:
        """The stream of one table once more; ToolError if it cannot be read."""
        with tempfile.TemporaryFile() as held:
            self._copy(session, table, held.write)
            held.seek(0)
            while block := held.read(BLOCK):
                yield block

    def _by_session(self, session: Session, table: TablePart) -> Stream | str:
        digest, size = hashlib.sha256(), 0

        def take(block: bytes) -> int:
            nonlocal size
            digest.update(block)
            size += len(block)
            return size

        try:
            rows = self._copy(session, table, take)
        except ToolError as error:
            return error.what
        return Stream(rows, size, digest.hexdigest())

    def _copy(self, session: Session, table: TablePart, take: Callable[[bytes], int]) -> int:
        session.execute("BEGIN READ ONLY")
        try:
            return session.copy_out(
                _statement(table, self.encoding), self.encoding, lambda block: _ignore(take(block))
            )
        finally:
            session.execute("ROLLBACK")

    def _by_psql(self, table: TablePart, group: Group) -> Stream | str:
        digest, size = hashlib.sha256(), 0

        def take(block: bytes) -> None:
            nonlocal size
            digest.update(block)
            size += len(block)

        lines = [f"SET {line};" for line in self._settings()]
        statement = _statement(table, self.encoding)
        done = processes.pump(
            [
                self.client.tool("psql"),
                "--no-psqlrc",
                "--no-password",
                "--set=ON_ERROR_STOP=1",
                f"--dbname={self.target.conninfo}",
            ],
            lambda pipe: "\n".join([*lines, f"{statement} \\g '{pipe}'"]) + "\n",
            take,
            env={**self.target.env, "PGCLIENTENCODING": self.encoding},
            group=group,
        )
        counted = _COUNT.findall(done.output)
        if done.returncode or len(counted) != 1:
            return " ".join(done.errors.split()) or f"psql ended with {done.returncode}"
        return Stream(int(counted[0]), size, digest.hexdigest())

    def _settings(self) -> list[str]:
        """What pg_dump sets, and what the text depends on besides."""
        own = [
            f"{name} = '{value.replace(chr(39), chr(39) * 2)}'"
            for name, value in self.settings.items()
            if re.fullmatch(r"\w+", name)
        ]
        return [
            "search_path = ''",
            "synchronize_seqscans = off",
            "row_security = off",
            "datestyle = ISO",
            "intervalstyle = postgres",
            "extra_float_digits = 3",
            *own,
        ]


def _ignore(_: int) -> None:
    """What a file's write answers."""


def _binary(table: TablePart) -> bool:
    return table.format == "binary"


def _statement(table: TablePart, encoding: str) -> str:
    """The COPY that gave the table's stream."""
    columns = ", ".join(_name(c.name, encoding) for c in table.columns if not c.generated)
    name = f"{_name(table.schema_, encoding)}.{_name(table.name, encoding)}"
    options = " (FORMAT binary)" if _binary(table) else ""
    return f"COPY {name} {f'({columns})' if columns else ''} TO STDOUT{options}"


def _name(text: str, encoding: str) -> str:
    """A quoted name; in escapes where the server would not understand it as UTF-8."""
    if text.isascii() or encoding in {"UTF8", "SQL_ASCII"}:
        return quoted(text)
    escaped = "".join(
        c if c.isascii() and c != "\\" else f"\\+{ord(c):06x}" for c in text.replace('"', '""')
    )
    return f'U&"{escaped}"'

"""The data path: one directory archive of a snapshot, written by pg_dump and binary copies."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import binary, pgdump, toc
from .binary import Source
from .catalog import Table
from .copying import Copied, Copier, Reader, Work
from .errors import VerificationError
from .pgdump import EXCLUDE_BYTES, Order
from .postgres import Session
from .progress import Progress
from .sinks import Sink
from .toc import Toc

_ARCHIVE, _COPIES = ".archive", ".copies"


@dataclass(frozen=True)
class Written:
    """The tables that were copied in binary, by oid; `notes` say why others were not."""

    copied: Mapping[int, Copied] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def write(
    session: Session,
    order: Order,
    directory: Path,
    tables: Sequence[Table],
    sizes: Mapping[int, int],
    *,
    progress: Progress,
    binary_from: int | None,
) -> Written:
    """Write the archive of a snapshot into an empty directory.

    pg_dump writes the schema, and the data of every table that is smaller than `binary_from` bytes
    or not known to be safe in binary; of all if that is None, or if its table of contents is not
    understood here. Raises DatabaseError, StorageError, ToolError or OSError.
    """
    advance = _tally(progress)
    large = [t for t in tables if binary_from is not None and sizes.get(t.oid, 0) >= binary_from]
    sources = _taken(session, order, large, sizes)
    notes: tuple[str, ...] = ()
    if sources:
        try:
            return _write_both(
                session, order, directory, tables, sizes=sizes, sources=sources, advance=advance
            )
        except VerificationError as error:
            notes = (f"all data was left to pg_dump {order.client.version}: {error.what}",)
            for left in _ARCHIVE, _COPIES:
                shutil.rmtree(directory / left)
            progress.note(notes[0])
    watch = pgdump.watcher(tables, sizes, order.jobs, advance)
    pgdump.dump(session, order, directory, without_data=(), on_line=watch)
    return Written(notes=notes)


def _write_both(
    session: Session,
    order: Order,
    directory: Path,
    tables: Sequence[Table],
    *,
    sizes: Mapping[int, int],
    sources: Mapping[int, Source],
    advance: Callable[[int, int], None],
) -> Written:
    """Let pg_dump and the copies run side by side; VerificationError if they cannot be joined."""
    taken = [table for table in tables if table.oid in sources]
    rest = [table for table in tables if table.oid not in sources]
    watch = pgdump.watcher(rest, sizes, order.jobs, advance)
    copies = directory / _COPIES
    copies.mkdir()
    works = [
        Work(t.oid, sources[t.oid], sizes[t.oid], copies / f"{t.oid}.dat", order.compression)
        for t in taken
    ]
    reader = Reader(order.client, session.target(), order.facts, order.snapshot)
    copier = Copier(reader, advance, lambda done: pgdump.failure("psql", done, session, directory))
    with copier.running(works, order.jobs):
        # the rest of the tables is mostly none or few: it needs no workers of its own
        alone = replace(order, jobs=order.jobs if rest else 1)
        archive = directory / _ARCHIVE
        pgdump.dump(session, alone, archive, without_data=taken, on_line=watch)
        contents = _understood(archive, works, order.facts.encoding)
    for work in copier.left:
        _copy_by_leader(session, order, work, copier)
    return Written(_join(directory, contents, copier.copied))


def _taken(
    session: Session, order: Order, tables: Sequence[Table], sizes: Mapping[int, int]
) -> dict[int, Source]:
    """The tables to copy in binary: the largest, as many as pg_dump can be told to leave out."""
    plain = [table for table in tables if not table.extension]
    sources = binary.sources(session, order.facts, [table.oid for table in plain])
    room = EXCLUDE_BYTES
    taken = {}
    for table in sorted(plain, key=lambda table: -sizes.get(table.oid, 0)):
        room -= len(pgdump.pattern(table).encode()) + len("--exclude-table-data=") + 9
        if table.oid in sources and room > 0:
            taken[table.oid] = sources[table.oid]
    return taken


def _copy_by_leader(session: Session, order: Order, work: Work, copier: Copier) -> None:
    """Copy a table on the connection that holds its lock, since nobody else can get one."""
    with closing(Sink(work.path, work.compression)) as sink:
        rows = session.copy_out(work.source.copy_out, order.facts.encoding, sink.write)
        copier.keep(work, sink, rows)


def _understood(archive: Path, works: Sequence[Work], encoding: str) -> Toc:
    """pg_dump's table of contents with the copies in it; VerificationError unless it is known."""
    data = (archive / "toc.dat").read_bytes()
    contents = toc.parse(data)
    if toc.build(contents) != data:
        raise toc.malformed("cannot be written again as it was")
    if toc.encoding(contents) != encoding:
        raise toc.malformed(f"is in {toc.encoding(contents)}, the copies in {encoding}")
    return toc.with_data(contents, {work.oid: work.source.copy_in for work in works})


def _join(directory: Path, contents: Toc, copied: Mapping[int, Copied]) -> dict[int, Copied]:
    """Make one archive of pg_dump's and the copies; its table of contents is written last."""
    source = directory / _ARCHIVE
    names = {int(e.oid or 0): str(e.filename) for e in toc.table_data(contents)}
    moved = {}
    for oid, one in copied.items():
        # 1.dat stays 1.dat, 1.dat.gz stays .gz, under the number that the archive knows it by
        place = directory / (names[oid] + one.path.name.removeprefix(f"{oid}.dat"))
        moved[oid] = Copied(one.path.rename(place), one.facts)
    (source / "toc.dat").unlink()
    for path in source.iterdir():
        path.rename(directory / path.name)
    source.rmdir()
    (directory / _COPIES).rmdir()
    (directory / "toc.dat").write_bytes(toc.build(contents))
    return moved


def _tally(progress: Progress) -> Callable[[int, int], None]:
    """Add up what several threads have done."""
    lock = threading.Lock()
    done = [0, 0]

    def advance(tables: int, size: int) -> None:
        with lock:
            done[0] += tables
            done[1] += size
            progress.reach(done[0], done[1])

    return advance

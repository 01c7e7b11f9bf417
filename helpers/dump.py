"""Snapshot in, archive out, with what was in the snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from . import archive, pgdump, probes
from .catalog import Column, Facts, Table
from .clients import Client
from .copying import Copied
from .manifest import GLOBALS, VectorPart
from .pgdump import Order
from .postgres import Session
from .progress import Progress
from .settings import Settings


@dataclass(frozen=True)
class Dumped:
    """What was in the snapshot that now lies in the archive.

    `rows` were counted for the tables that pg_dump wrote, by oid; `copied` are the others.
    """

    facts: Facts
    settings: Mapping[str, str]
    taken: datetime
    tables: tuple[Table, ...]
    columns: Mapping[int, Sequence[Column]]
    rows: Mapping[int, int]
    copied: Mapping[int, Copied]
    extensions: tuple[tuple[str, str, str], ...]
    roles: tuple[str, ...]
    large_objects: int
    vectors: tuple[VectorPart, ...]
    notes: tuple[str, ...]


def dump(
    session: Session, client: Client, settings: Settings, directory: Path, progress: Progress
) -> Dumped:
    """Dump the session's database into an empty directory, and say what was in it.

    Raises DatabaseError (unreachable, refused), StorageError (disk full), ToolError or OSError.
    """
    facts = session.facts()
    with session.snapshot(settings.lock_timeout) as (snapshot, tables):
        taken = datetime.now(UTC)
        data = [table for table in tables if not table.parent]
        sizes = session.sizes(data)
        progress.begin("dump", len(data), sum(sizes.values()))
        order = Order(
            client,
            facts,
            snapshot,
            settings.jobs,
            settings.lock_timeout,
            settings.compression,
        )
        binary_from = settings.binary_from if settings.format == "binary" else None
        written = archive.write(
            session, order, directory, data, sizes, progress=progress, binary_from=binary_from
        )
        return Dumped(
            facts,
            session.text_settings(),
            taken,
            tuple(tables),
            session.columns(data),
            # An extension's are not all dumped, so not counted.
            session.count([t for t in data if t.oid not in written.copied and not t.extension]),
            written.copied,
            session.extensions(),
            session.roles(),
            session.large_objects(),
            probes.take(session, tables),
            (
                *written.notes,
                *pgdump.dump_globals(session, client, directory / GLOBALS),
            ),
        )

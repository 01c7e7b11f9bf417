"""Describe a finished dump: read every file of it, then write manifest, sums and RESTORE.md."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from . import __version__, contents, manifest, packing, streams, threads
from .catalog import Table
from .clients import Client
from .contents import Contents
from .dump import Dumped
from .errors import ToolError
from .manifest import Manifest, TablePart
from .names import Name
from .progress import Progress
from .runbook import restore_md
from .streams import DataFacts, FileFacts


def describe(
    directory: Path,
    name: Name,
    dumped: Dumped,
    client: Client,
    *,
    started: datetime,
    jobs: int,
    progress: Progress,
) -> Manifest:
    """The manifest of what lies in `directory`, its files read with `jobs` threads.

    Raises ToolError unless the archive holds every table of the snapshot with all its rows.
    """
    found = contents.read(directory, client)
    _check_complete(found, dumped)
    _write_runbook(directory, name, dumped, client)
    paths = {oid: packing.found(directory / file) for oid, file in found.files.items()}
    data = {oid: one.facts for oid, one in dumped.copied.items()}
    data |= _read_data({oid: paths[oid] for oid in paths if oid not in data}, jobs, progress)
    _compare_rows(dumped, data)
    tables = tuple(
        _table(table, dumped, paths[table.oid].name, data[table.oid])
        for table in dumped.tables
        if table.oid in paths
    )
    files = _files(directory, {paths[oid].name: facts.file for oid, facts in data.items()})
    return Manifest(
        backup=_backup(name, started),
        database=_database(dumped),
        snapshot=dumped.taken,
        tables=tables,
        sequences=_sequences(found),
        extensions=_extensions(dumped),
        large_objects=dumped.large_objects,
        roles=tuple(sorted({*dumped.roles, *found.owners})),
        files=files,
        totals=_totals(tables, files),
        clients={"pg_dump": client.version},
        vectors=dumped.vectors,
        notes=dumped.notes,
        toc_unknown=found.unknown,
    )


def _write_runbook(directory: Path, name: Name, dumped: Dumped, client: Client) -> None:
    text = restore_md(
        name,
        dumped,
        client,
        has_globals=(directory / manifest.GLOBALS).exists(),
        zstd=any(directory.glob(f"*{packing.ZST}")),
    )
    (directory / manifest.RESTORE).write_text(text, encoding="utf-8")


def write(directory: Path, found: Manifest) -> None:
    """Write manifest.json and SHA256SUMS; raises OSError."""
    text = found.to_json()
    (directory / manifest.FILE).write_text(text, encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    (directory / manifest.SUMS).write_text(found.sums(digest), encoding="utf-8")


def _check_complete(found: Contents, dumped: Dumped) -> None:
    """Raise ToolError unless each table of the snapshot has its data in the archive."""
    lost = [t.qualified for t in dumped.tables if _has_data(t) and t.oid not in found.files]
    if lost:
        raise ToolError(
            f"pg_dump left out the data of {', '.join(lost[:5])}.",
            "Report it with the version of pg_dump; earlier backups are as they were.",
        )


def _has_data(table: Table) -> bool:
    """Whether the archive must hold its data; an extension decides for its own tables."""
    return not table.parent and not table.extension


def _read_data(paths: Mapping[int, Path], jobs: int, progress: Progress) -> dict[int, DataFacts]:
    if paths:
        progress.begin("hash", len(paths), sum(path.stat().st_size for path in paths.values()))
    facts: dict[int, DataFacts] = {}
    size = 0
    with threads.mapped(streams.table_data, paths.values(), jobs) as results:
        for number, (oid, found) in enumerate(zip(paths, results, strict=True), start=1):
            facts[oid] = found
            size += found.file.size
            progress.reach(number, size)
    return facts


def _compare_rows(dumped: Dumped, data: Mapping[int, DataFacts]) -> None:
    """What the server counted in the snapshot must be what lies in the files."""
    for table in dumped.tables:
        counted = dumped.rows.get(table.oid)
        if counted is not None and counted != data[table.oid].rows:
            raise ToolError(
                f"{table.qualified} had {counted:,} rows in the snapshot, "
                f"but {data[table.oid].rows:,} were dumped.",
                "Run the backup again; report it if it stays. Earlier backups are as they were.",
            )


def _table(table: Table, dumped: Dumped, file: str, facts: DataFacts) -> TablePart:
    return TablePart(
        schema_=table.schema,
        name=table.name,
        oid=table.oid,
        rows=facts.rows or 0,
        columns=tuple(
            manifest.ColumnPart(name=column.name, type=column.type, generated=column.generated)
            for column in dumped.columns[table.oid]
        ),
        format="binary" if table.oid in dumped.copied else "text",
        bytes=facts.bytes,
        sha256=facts.sha256,
        file=file,
        partition_of=table.root,
    )


def _files(directory: Path, known: Mapping[str, FileFacts]) -> tuple[manifest.FilePart, ...]:
    """Every file of the archive; what is `known` is not read again."""
    names = sorted(path.name for path in directory.iterdir())
    facts: dict[str, FileFacts] = {
        name: known.get(name) or streams.file_facts(directory / name) for name in names
    }
    return tuple(
        manifest.FilePart(path=name, size=fact.size, sha256=fact.sha256)
        for name, fact in facts.items()
    )


def _backup(name: Name, started: datetime) -> manifest.BackupPart:
    finished = datetime.now(UTC)
    return manifest.BackupPart(
        name=str(name),
        environment=name.environment,
        started=started,
        finished=finished,
        # The clock may have been set meanwhile.
        seconds=max(0.0, round((finished - started).total_seconds(), 3)),
        toolkit_version=__version__,
        host=socket.gethostname(),
    )


def _sequences(found: Contents) -> tuple[manifest.SequencePart, ...]:
    return tuple(
        manifest.SequencePart(schema_=schema, name=sequence, value=value, is_called=called)
        for schema, sequence, value, called in found.sequences
    )


def _extensions(dumped: Dumped) -> tuple[manifest.ExtensionPart, ...]:
    return tuple(
        manifest.ExtensionPart(name=extension, version=version, schema_=schema)
        for extension, version, schema in dumped.extensions
    )


def _database(dumped: Dumped) -> manifest.DatabasePart:
    facts = dumped.facts
    return manifest.DatabasePart(
        name=facts.database,
        server_version=facts.version,
        encoding=facts.encoding,
        collation=facts.collation,
        size=facts.size,
        system_identifier=facts.system_identifier,
        settings=dict(dumped.settings),
    )


def _totals(tables: tuple[TablePart, ...], files: tuple[manifest.FilePart, ...]) -> manifest.Totals:
    return manifest.Totals(
        tables=len(tables),
        rows=sum(table.rows for table in tables),
        data_bytes=sum(table.bytes for table in tables),
        files=len(files),
        file_bytes=sum(part.size for part in files),
    )

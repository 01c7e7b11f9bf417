"""Manifests and backups that tests make up, where no server is needed to make real ones."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from helpers import describe
from helpers.checks import Check, Outcome, Verification
from helpers.manifest import (
    VERIFICATION,
    BackupPart,
    DatabasePart,
    FilePart,
    Manifest,
    SequencePart,
    TablePart,
    Totals,
)
from helpers.names import Name

TIME = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
CONTENT = b"not an archive, but a file of some size"


def table(name: str, rows: int, **changes: Any) -> TablePart:
    """A table of schema public, its data in a file that bears its name."""
    values: dict[str, Any] = {
        "schema_": "public",
        "name": name,
        "oid": int.from_bytes(name.encode()[:4], "big"),
        "rows": rows,
        "columns": (),
        "format": "text",
        "bytes": 10 * rows,
        "sha256": "ab" * 32,
        "file": f"{name}.dat.gz",
        **changes,
    }
    return TablePart(**values)


def manifest(
    *tables: TablePart, name: Name | None = None, files: tuple[FilePart, ...] = ()
) -> Manifest:
    """A manifest whose totals are the sums of its parts."""
    name = name or Name("chat", "test", TIME)
    return Manifest(
        backup=BackupPart(
            name=str(name),
            environment=name.environment,
            started=TIME,
            finished=TIME,
            seconds=1.5,
            toolkit_version="1",
            host="db.example",
        ),
        database=DatabasePart(
            name=name.database,
            server_version="18.0",
            encoding="UTF8",
            collation="C",
            size=8192,
            system_identifier="7400000000000000000",
        ),
        snapshot=TIME,
        tables=tables,
        sequences=(SequencePart(schema_="public", name="ids", value=7, is_called=True),),
        extensions=(),
        large_objects=0,
        roles=("postgres",),
        files=files,
        totals=Totals(
            tables=len(tables),
            rows=sum(part.rows for part in tables),
            data_bytes=sum(part.bytes for part in tables),
            files=len(files),
            file_bytes=sum(part.size for part in files),
        ),
        clients={"pg_dump": "18.0"},
    )


def backup(store: Path, name: Name, outcome: Outcome | None = "passed") -> Path:
    """A backup as list sees it: one file of the right size, and a record unless `outcome` is None.

    It holds no archive, so that verify would call it damaged.
    """
    place = store / str(name)
    place.mkdir()
    (place / "toc.dat").write_bytes(CONTENT)
    part = FilePart(path="toc.dat", size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    describe.write(place, manifest(table("messages", 100), name=name, files=(part,)))
    if outcome:
        digest = hashlib.sha256((place / "manifest.json").read_bytes()).hexdigest()
        found = tuple(Check(depth=depth, outcome=outcome, time=TIME) for depth in (1, 2))
        record = Verification(manifest_sha256=digest, checks=found)
        (place / VERIFICATION).write_bytes(record.to_bytes())
    return place

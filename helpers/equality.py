"""A restored database, but for its rows, against manifest and archive: what differs, by name."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import definitions, packing, postgres, probes, processes, streams, toc
from .catalog import major
from .errors import ToolError
from .findings import Findings
from .manifest import Manifest
from .places import Place, Subject
from .postgres import Session
from .sqltext import quoted
from .toc import Toc

_SHOWN = 5


def columns(session: Session, found: Manifest) -> Findings:
    """The columns of every table, with their types, in their order."""
    rows = session.query(_COLUMNS)
    there = defaultdict[tuple[str, str], list[tuple[str, str, bool]]](list)
    for schema, table, name, kind, generated in rows:
        there[schema, table].append((name, kind, generated))
    return Findings(
        tuple(
            f"table {table.qualified} has other columns than in the backup"
            for table in found.tables
            if there[table.schema_, table.name]
            != [(column.name, column.type, column.generated) for column in table.columns]
        )
    )


def sequences(session: Session, found: Manifest) -> Findings:
    """The value of every sequence."""
    there = {(row[0], row[1]) for row in session.query(_SEQUENCES)}
    problems = []
    for one in found.sequences:
        name = f"{one.schema_}.{one.name}"
        if (one.schema_, one.name) not in there:
            problems.append(f"sequence {name} is missing from the restored database")
            continue
        path = f"{quoted(one.schema_)}.{quoted(one.name)}"
        value, called = session.query(f"SELECT last_value, is_called FROM {path}")[0]  # noqa: S608 - quoted
        if (value, called) != (one.value, one.is_called):
            problems.append(f"sequence {name} stands at {value:,} instead of {one.value:,}")
    return Findings(tuple(problems))


def extensions(session: Session, found: Manifest) -> Findings:
    """Every extension in its schema; versions are the server's own, and only told."""
    there = {name: (version, schema) for name, version, schema in session.extensions()}
    problems, notes = [], []
    for one in found.extensions:
        version, schema = there.get(one.name, ("", ""))
        if not version:
            problems.append(f"extension {one.name} is missing from the restored database")
        elif schema != one.schema_:
            problems.append(f"extension {one.name} is in schema {schema}, not in {one.schema_}")
        elif version != one.version:
            notes.append(f"extension {one.name} is {version} here, and was {one.version}")
    return Findings(tuple(problems), notes=tuple(notes))


def vectors(session: Session, found: Manifest, place: Place) -> Findings:
    """Dimensions, NULLs, NaN and nearest neighbours of every column of vectors.

    By a key of text the sample is another where C stands in for the source's collation.
    """
    asked = [part for part in found.vectors if not place.replaced]
    skipped = len(found.vectors) - len(asked)
    notes = (f"{skipped:,} columns of vectors were not probed",) if skipped else ()
    return Findings(probes.differences(session, asked), notes=notes)


def large_objects(session: Session, subject: Subject) -> Findings:
    """Every large object, byte for byte."""
    files = {
        int(part.path.removeprefix("blob_").split(".")[0]): subject.directory / part.path
        for part in subject.found.files
        if part.path.startswith("blob_")
    }
    there = {int(row[0]) for row in session.query(_LARGE_OBJECTS)}
    problems = [f"large object {oid} is missing" for oid in sorted(files.keys() - there)]
    problems += [f"large object {oid} is not in the backup" for oid in sorted(there - files.keys())]
    for oid in sorted(files.keys() & there):
        if _sha256(streams.content(files[oid])) != _sha256(_pieces(session, oid)):
            problems.append(f"large object {oid} is not that of the backup")
    return Findings(tuple(problems))


def _pieces(session: Session, oid: int) -> Iterator[bytes]:
    offset = 0
    while piece := session.query(_PIECE, oid, offset, packing.BLOCK)[0][0]:
        yield piece
        offset += len(piece)


def _sha256(pieces: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def validity(session: Session, contents: Toc) -> Findings:
    """Every index is valid and ready; constraints are validated unless the source's were not;
    materialized views are filled unless the source's were not.

    An index of a partitioned table is as valid as the archive makes it.
    """
    decode = toc.decoder(contents)
    loosely = "\n".join(
        decode(e.definition) for e in contents.entries if "NOT VALID" in (e.definition or "")
    )
    invalid = [f"index {row[0]} is not valid" for row in session.query(_INVALID)]
    loose = [
        f"constraint {name} of {table} is not validated"
        for table, name in session.query(_UNVALIDATED)
        if name not in loosely
    ]
    filled = {
        f"{decode(e.namespace)}.{decode(e.tag)}"
        for e in contents.entries
        if e.desc == "MATERIALIZED VIEW DATA"
    }
    empty = [
        f"materialized view {name} holds no data"
        for (name,) in session.query(_UNPOPULATED)
        if name in filled
    ]
    return Findings((*invalid, *loose, *empty))


def schema(session: Session, place: Place, subject: Subject, replaced: frozenset[str]) -> Findings:
    """The definition of everything, as pg_dump says it again; ToolError if that fails."""
    contents = subject.contents
    # the constants in a default are written in the session's time zone
    given = subject.found.database.settings.items()
    wanted = {name: value for name, value in given if re.fullmatch(r"[\w/+.@-]+", value)}
    target = postgres.with_settings(session.target(), wanted)
    with tempfile.TemporaryDirectory(prefix="pgbackup-") as directory:
        done = processes.run(
            [
                place.client.tool("pg_dump"),
                "--format=directory",
                f"--file={directory}",
                "--schema-only",
                "--no-password",
                "--no-sync",
                f"--encoding={toc.encoding(contents) or 'UTF8'}",
                f"--dbname={target.conninfo}",
            ],
            env=target.env,
        )
        if done.returncode:
            raise ToolError(
                f"pg_dump could not read the restored schema: {done.errors}", "See what it says."
            )
        again = toc.parse((Path(directory) / "toc.dat").read_bytes())
    same = (_majors(contents), _majors(again))
    compared = definitions.compare(
        contents, again, owners=place.owners, exact=same[0] == same[1], without=replaced
    )
    return Findings(compared.problems, notes=_rewritten(compared.rewritten, place))


def _rewritten(names: Sequence[str], place: Place) -> tuple[str, ...]:
    if not names:
        return ()
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return (
        f"PostgreSQL {place.server_major} writes {len(names):,} definitions otherwise than the "
        f"source did, so that only their names were compared: {', '.join(names[:_SHOWN])}{more}",
    )


def _majors(contents: Toc) -> tuple[int, ...]:
    """The majors of the server and of the pg_dump that wrote an archive."""
    header = contents.header
    return tuple(major(str(text)) for text in (header.server_version, header.dump_version))


_COLUMNS = """
SELECT n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
       a.attgenerated <> ''
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') ORDER BY c.oid, a.attnum
"""
_SEQUENCES = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S'
"""
_LARGE_OBJECTS = "SELECT oid::int8 FROM pg_catalog.pg_largeobject_metadata"
_PIECE = "SELECT pg_catalog.lo_get(%s::oid, %s::int8, %s)"
_INVALID = """
SELECT n.nspname || '.' || c.relname
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'i' AND NOT (i.indisvalid AND i.indisready AND i.indislive) ORDER BY 1
"""
_UNPOPULATED = """
SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND NOT c.relispopulated ORDER BY 1
"""
_UNVALIDATED = """
SELECT coalesce(c.relname, t.typname), k.conname
FROM pg_catalog.pg_constraint k
LEFT JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
LEFT JOIN pg_catalog.pg_type t ON t.oid = k.contypid
WHERE NOT k.convalidated ORDER BY 1, 2
"""

"""The rows of a restored database against the backup: the same bytes, or in another order."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence

from . import multiset, streams
from .errors import ToolError
from .findings import Findings
from .manifest import Manifest, TablePart
from .places import Place, Subject
from .postgres import Session
from .progress import Progress
from .renumbered import Numbering
from .rereading import Reader, Stream

_ZONED = ("with time zone", "timestamptz", "tstz")
_TYPES = "SELECT oid::int8 FROM pg_catalog.pg_type"


def compare(session: Session, place: Place, subject: Subject, progress: Progress) -> Findings:
    """Rows and streams of every table: byte for byte, else the same rows in another order."""
    found = subject.found
    settings, findings = _accepted(session, found)
    reader = Reader(place.client, session.target(), found.database.encoding, settings)
    progress.begin("compare", len(found.tables), found.totals.data_bytes)
    read = reader.streams(session, found.tables, subject.jobs, progress.reach)
    numbering = Numbering([row[0] for row in session.query(_TYPES)])
    moved = defaultdict[str, list[TablePart]](list)
    for table in found.tables:
        stream = read[table.oid]
        if isinstance(stream, str):
            findings += Findings((f"table {table.qualified} cannot be read: {stream}",))
        elif stream != Stream(table.rows, table.bytes, table.sha256) and not _same_but_for_oids(
            session, reader, subject, table, numbering
        ):
            moved[table.partition_of or table.qualified].append(table)
    for name, differing in moved.items():
        whole = [t for t in found.tables if (t.partition_of or t.qualified) == name]
        try:
            moved_only = _same_rows(session, reader, subject, whole)
        except ToolError:
            moved_only = False
        if moved_only:
            findings += Findings(notes=(f"the rows of {name} are the same, in another order",))
        else:
            findings += _differences(found, differing, read)
    return findings


def _accepted(session: Session, found: Manifest) -> tuple[dict[str, str], Findings]:
    """The source's settings that this server takes too."""
    settings, findings = {}, Findings()
    for name, value in found.database.settings.items():
        try:
            session.query("SELECT pg_catalog.set_config(%s, %s, false)", name, value)
            settings[name] = value
        except ToolError:
            findings += Findings(notes=(f"the server has no {name} {value!r}",))
    return settings, findings


def _same_but_for_oids(
    session: Session, reader: Reader, subject: Subject, table: TablePart, numbering: Numbering
) -> bool:
    """Whether a table's binary stream is the same in all but the numbers of types."""
    if table.format != "binary":
        return False
    with tempfile.TemporaryFile() as original, tempfile.TemporaryFile() as copy:
        for block in streams.content(subject.directory / table.file):
            original.write(block)
        for block in reader.blocks(session, table):
            copy.write(block)
        original.flush()
        copy.flush()
        return numbering.same(original, copy)


def _same_rows(
    session: Session, reader: Reader, subject: Subject, whole: Sequence[TablePart]
) -> bool:
    """Whether a table, or all partitions of one together, hold the same rows in another order.

    Rows change partitions where the hash of a value differs between two servers, as an enum's does.
    """
    if len({table.format for table in whole}) > 1:
        return False
    original, copy = multiset.Rows(), multiset.Rows()
    for table in whole:
        binary = table.format == "binary"
        original.add(streams.content(subject.directory / table.file), binary=binary)
        copy.add(reader.blocks(session, table), binary=binary)
    return original == copy


def _differences(
    found: Manifest, differing: Sequence[TablePart], read: Mapping[int, Stream | str]
) -> Findings:
    findings = Findings()
    for table in differing:
        stream = read[table.oid]
        rows = stream.rows if isinstance(stream, Stream) else 0
        if rows != table.rows:
            findings += Findings(
                (f"table {table.qualified} has {rows:,} rows instead of {table.rows:,}",)
            )
        elif _depends_on_zone(found, table):
            findings += Findings(
                unjudged=(
                    f"table {table.qualified} was dumped as text in a time zone that the manifest "
                    "does not say",
                )
            )
        else:
            findings += Findings((f"the rows of {table.qualified} are not those of the backup",))
    return findings


def _depends_on_zone(found: Manifest, table: TablePart) -> bool:
    zoned = any(word in column.type for column in table.columns for word in _ZONED)
    return table.format == "text" and zoned and "TimeZone" not in found.database.settings

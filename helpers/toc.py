"""Read and write toc.dat, the table of contents of a pg_dump directory archive.

The format is pg_backup_archiver.c's (WriteHead, WriteToc, ReadHead, ReadToc): bytes in, values
out, and back to the same bytes. Whatever is malformed raises VerificationError.
"""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from .errors import VerificationError

MAGIC = b"PGDMP"
TAR = 3
"""The format byte of a directory archive: it claims to be tar (pg_backup_directory.c)."""

SUPPORTED = ((1, 14), (1, 15), (1, 16))
"""Archive versions by PostgreSQL: 12 to 15, 16, 17 and later."""

LIMIT = 1 << 30
"""A toc.dat larger than this many bytes is refused unread."""

PRE_DATA, DATA, POST_DATA = 2, 3, 4
"""Sections of an archive (pg_backup.h, teSection)."""

_SETVAL = re.compile(r"setval\('(?:[^']|'')*', (-?\d{1,19}), (true|false)\)")
_CLIENT_ENCODING = re.compile(r"SET client_encoding = '(\w+)'")
_CODECS = {"SQL_ASCII": "utf-8", "EUC_CN": "gb2312", "UHC": "cp949", "KOI8R": "koi8-r"}
"""Python's names of PostgreSQL's encodings, where a pattern does not find them."""


class UnknownArchiveVersion(VerificationError):  # noqa: N818 - not an error where pg_dump takes over
    """An archive of a version whose format is not known here."""


@dataclass(frozen=True)
class Header:
    """What an archive says of itself; `compression` is a level up to 1.14, then an algorithm."""

    version: tuple[int, int, int]
    int_size: int
    offset_size: int
    format: int
    compression: int
    created: tuple[int, ...]
    database: str | None
    server_version: str | None
    dump_version: str | None


@dataclass(frozen=True)
class Entry:
    """One object; None is a NULL string, which differs from an empty one."""

    dump_id: int
    had_dumper: int
    catalog_oid: str | None
    oid: str | None
    tag: str | None
    desc: str | None
    section: int
    definition: str | None
    drop_statement: str | None
    copy_statement: str | None
    namespace: str | None
    tablespace: str | None
    table_am: str | None
    relkind: int
    owner: str | None
    with_oids: str | None
    dependencies: tuple[str, ...]
    filename: str | None


@dataclass(frozen=True)
class Toc:
    """A whole table of contents."""

    header: Header
    entries: tuple[Entry, ...]


def parse(data: bytes) -> Toc:
    """The table of contents in `data`; VerificationError if it is not one to its last byte."""
    reader = _Reader(data)
    header = _read_header(reader)
    # An entry takes more bytes than this, so that a huge count cannot ask for memory.
    count = reader.integer()
    if not 0 <= count <= len(data) // header.int_size:
        raise _malformed(f"counts {count} entries")
    entries = tuple(_read_entry(reader, header.version) for _ in range(count))
    if reader.position != len(data):
        raise _malformed("goes on after its last entry")
    return Toc(header, entries)


def build(toc: Toc) -> bytes:
    """The bytes of a table of contents: what parse read them from."""
    header = toc.header
    writer = _Writer(header.int_size)
    writer.raw(MAGIC + bytes((*header.version, header.int_size, header.offset_size, header.format)))
    if header.version >= (1, 15):
        writer.raw(bytes((header.compression,)))
    else:
        writer.integer(header.compression)
    for number in header.created:
        writer.integer(number)
    for text in (header.database, header.server_version, header.dump_version):
        writer.string(text)
    writer.integer(len(toc.entries))
    for entry in toc.entries:
        _write_entry(writer, entry, header.version)
    return writer.bytes()


def table_data(toc: Toc) -> Iterator[Entry]:
    """The entries that hold a table's rows."""
    return (entry for entry in toc.entries if entry.desc == "TABLE DATA")


def encoding(toc: Toc) -> str | None:
    """The encoding that the archive's text is in, as PostgreSQL calls it; None if it is unsaid."""
    said = next((e.definition for e in toc.entries if e.desc == "ENCODING"), None)
    match = _CLIENT_ENCODING.search(said or "")
    return match[1] if match else None


def codec(toc: Toc) -> str | None:
    """Python's name of the encoding that the archive is in; None if Python does not know it."""
    name = encoding(toc) or "UTF8"
    try:
        return codecs.lookup(_CODECS.get(name) or re.sub(r"^WIN(?=\d)", "cp", name)).name
    except LookupError:
        return None


def decoder(toc: Toc) -> Callable[[str | None], str]:
    """What makes a name in the archive readable; bytes that are no text are escaped."""
    name = codec(toc) or "ascii"

    def decode(text: str | None) -> str:
        return (text or "").encode("utf-8", "surrogateescape").decode(name, "backslashreplace")

    return decode


def sequence_values(toc: Toc) -> Iterator[tuple[str, str, int, bool]]:
    """Schema, name, value and is_called of each sequence, as the archive restores it."""
    decode = decoder(toc)
    for entry in toc.entries:
        if entry.desc == "SEQUENCE SET":
            match = _SETVAL.search(entry.definition or "")
            if not match:
                raise _malformed(f"sets no value of sequence {entry.tag}")
            schema, name = decode(entry.namespace), decode(entry.tag)
            yield schema, name, int(match[1]), match[2] == "true"


def with_data(toc: Toc, statements: Mapping[int, str]) -> Toc:
    """The same archive with a data entry for each table whose oid has a COPY statement.

    They stand where a serial restore needs them, behind every table and before every index, and
    the indexes wait for them since each depends on its table alone (pg_backup_archiver.c:
    buildTocEntryArrays, repoint_table_dependencies). VerificationError if a table is missing.
    """
    numbers = [entry.dump_id for entry in toc.entries]
    # Some dependencies name objects without an entry, whose numbers must not be taken either.
    numbers += [int(number) for entry in toc.entries for number in entry.dependencies]
    free = itertools.count(max(numbers, default=0) + 1)
    added = [
        _data_entry(entry, statements[int(entry.oid or 0)], next(free))
        for entry in toc.entries
        if entry.desc == "TABLE" and int(entry.oid or 0) in statements
    ]
    if len(added) != len(statements):
        raise _malformed("lacks a table that was copied")
    sections = [entry.section for entry in toc.entries]
    place = sections.index(POST_DATA) if POST_DATA in sections else len(sections)
    if PRE_DATA in sections[place:]:
        raise _malformed("has its sections in an order that is not known here")
    return replace(toc, entries=(*toc.entries[:place], *added, *toc.entries[place:]))


def _data_entry(table: Entry, statement: str, number: int) -> Entry:
    """What pg_dump itself would write (pg_dump.c: dumpTableData), but for the statement."""
    return replace(
        table,
        dump_id=number,
        had_dumper=1,
        catalog_oid="0",
        desc="TABLE DATA",
        section=DATA,
        definition=None,
        drop_statement=None,
        copy_statement=statement,
        tablespace=None,
        table_am=None,
        relkind=0,
        dependencies=(str(table.dump_id),),
        filename=f"{number}.dat",
    )


def owners(toc: Toc) -> set[str]:
    """The roles that own the archive's objects."""
    return set(map(decoder(toc), {entry.owner for entry in toc.entries if entry.owner}))


def _read_header(reader: _Reader) -> Header:
    if reader.raw(len(MAGIC)) != MAGIC:
        raise _malformed("does not begin as an archive does")
    major, minor, revision, int_size, offset_size, kind = reader.raw(6)
    if (major, minor) not in SUPPORTED:
        raise UnknownArchiveVersion(
            f"toc.dat has archive version {major}.{minor}, which is not known here.",
            "Use a newer version of this toolkit, or pg_restore --list.",
        )
    if kind != TAR or int_size != 4:
        raise _malformed("is not that of a directory archive")
    reader.int_size = int_size
    compression = reader.raw(1)[0] if minor >= 15 else reader.integer()
    created = tuple(reader.integer() for _ in range(7))
    texts = (reader.string(), reader.string(), reader.string())
    version = (major, minor, revision)
    return Header(version, int_size, offset_size, kind, compression, created, *texts)


def _read_entry(reader: _Reader, version: tuple[int, int, int]) -> Entry:
    dump_id, had_dumper = reader.integer(), reader.integer()
    catalog_oid, oid, tag, desc = (reader.string() for _ in range(4))
    section = reader.integer()
    definition, drop, copy, namespace, tablespace, table_am = (reader.string() for _ in range(6))
    relkind = reader.integer() if version >= (1, 16) else 0
    owner, with_oids = reader.string(), reader.string()
    dependencies = []
    while (dependency := reader.string()) is not None:
        dependencies.append(dependency)
    return Entry(
        dump_id=dump_id,
        had_dumper=had_dumper,
        catalog_oid=catalog_oid,
        oid=oid,
        tag=tag,
        desc=desc,
        section=section,
        definition=definition,
        drop_statement=drop,
        copy_statement=copy,
        namespace=namespace,
        tablespace=tablespace,
        table_am=table_am,
        relkind=relkind,
        owner=owner,
        with_oids=with_oids,
        dependencies=tuple(dependencies),
        filename=reader.string(),
    )


def _write_entry(writer: _Writer, entry: Entry, version: tuple[int, int, int]) -> None:
    writer.integer(entry.dump_id)
    writer.integer(entry.had_dumper)
    for text in (entry.catalog_oid, entry.oid, entry.tag, entry.desc):
        writer.string(text)
    writer.integer(entry.section)
    for text in (entry.definition, entry.drop_statement, entry.copy_statement):
        writer.string(text)
    for text in (entry.namespace, entry.tablespace, entry.table_am):
        writer.string(text)
    if version >= (1, 16):
        writer.integer(entry.relkind)
    for text in (entry.owner, entry.with_oids, *entry.dependencies, None, entry.filename):
        writer.string(text)


class _Reader:
    """A position in the bytes; every step past their end is malformed."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0
        self.int_size = 4

    def raw(self, length: int) -> bytes:
        end = self.position + length
        if end > len(self._data):
            raise _malformed("ends in the middle")
        piece, self.position = self._data[self.position : end], end
        return piece

    def integer(self) -> int:
        """A sign byte, then the magnitude, least significant byte first."""
        sign, *digits = self.raw(1 + self.int_size)
        if sign > 1:
            raise _malformed("holds a number with no sign")
        magnitude = int.from_bytes(bytes(digits), "little")
        if sign and not magnitude:
            raise _malformed("holds a negative zero")
        return -magnitude if sign else magnitude

    def string(self) -> str | None:
        length = self.integer()
        if length < -1:
            raise _malformed("holds a string of negative length")
        return None if length == -1 else self.raw(length).decode("utf-8", "surrogateescape")


class _Writer:
    """The reader's opposite."""

    def __init__(self, int_size: int) -> None:
        self._pieces: list[bytes] = []
        self._int_size = int_size

    def raw(self, data: bytes) -> None:
        self._pieces.append(data)

    def integer(self, number: int) -> None:
        self.raw(bytes((number < 0,)) + abs(number).to_bytes(self._int_size, "little"))

    def string(self, text: str | None) -> None:
        if text is None:
            self.integer(-1)
        else:
            data = text.encode("utf-8", "surrogateescape")
            self.integer(len(data))
            self.raw(data)

    def bytes(self) -> bytes:
        return b"".join(self._pieces)


def _malformed(how: str) -> VerificationError:
    return VerificationError(
        f"toc.dat {how}.", "Do not restore from this backup; take another and check the disk."
    )

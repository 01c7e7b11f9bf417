"""The bytes of toc.dat, the table of contents of a pg_dump directory archive.

The format is pg_backup_archiver.c's (WriteHead, WriteToc, ReadHead, ReadToc): bytes in, values
out, and back to the same bytes. Whatever is malformed raises VerificationError.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import VerificationError

MAGIC = b"PGDMP"
TAR = 3
"""The format byte of a directory archive: it claims to be tar (pg_backup_directory.c)."""

SUPPORTED = ((1, 14), (1, 15), (1, 16))
"""Archive versions by PostgreSQL: 12 to 15, 16, 17 and later."""

_INT_MAX = 2**31 - 1
_OID_MAX = 2**32 - 1
_DIGITS = re.compile(r"[0-9]{1,10}")


class UnknownArchiveVersion(VerificationError):  # noqa: N818 - not an error where pg_dump takes over
    """An archive of a version whose format is not known here."""


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Entry:
    """One object, in the order of the file; None is a NULL string, not an empty one."""

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


@dataclass(frozen=True, slots=True)
class Toc:
    """A whole table of contents."""

    header: Header
    entries: tuple[Entry, ...]


def parse(data: bytes) -> Toc:
    """The table of contents in `data`; VerificationError if it is not one to its last byte."""
    reader = _Reader(data)
    header = _read_header(reader)
    count = reader.integer()
    if count < 0:
        raise malformed(f"counts {count} entries")
    # A huge count asks for no memory: the bytes end first.
    entries = tuple(_read_entry(reader, header.version) for _ in range(count))
    if reader.position != len(data):
        raise malformed("goes on after its last entry")
    if len({entry.dump_id for entry in entries}) != count:
        raise malformed("gives two entries the same number")
    return Toc(header, entries)


def build(toc: Toc) -> bytes:
    """The bytes of a table of contents: what parse read them from."""
    header = toc.header
    writer = _Writer()
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
    return b"".join(writer.pieces)


def malformed(how: str) -> VerificationError:
    """The error of a toc.dat that is not one; `how` follows the name."""
    return VerificationError(
        f"toc.dat {how}.", "Do not restore from this backup; take another and check the disk."
    )


def _read_header(reader: _Reader) -> Header:
    if reader.raw(len(MAGIC)) != MAGIC:
        raise malformed("does not begin as an archive does")
    major, minor, revision, int_size, offset_size, kind = reader.raw(6)
    if (major, minor) not in SUPPORTED:
        raise UnknownArchiveVersion(
            f"toc.dat has archive version {major}.{minor}, which is not known here.",
            "Use a newer version of this toolkit, or pg_restore --list.",
        )
    if kind != TAR or int_size != 4:
        raise malformed("is not that of a directory archive")
    compression = reader.raw(1)[0] if minor >= 15 else reader.integer()
    created = tuple(reader.integer() for _ in range(7))
    texts = (reader.string(), reader.string(), reader.string())
    version = (major, minor, revision)
    return Header(version, int_size, offset_size, kind, compression, created, *texts)


def _read_entry(reader: _Reader, version: tuple[int, int, int]) -> Entry:
    entry = Entry(
        dump_id=reader.integer(),
        had_dumper=reader.integer(),
        catalog_oid=reader.string(),
        oid=reader.string(),
        tag=reader.string(),
        desc=reader.string(),
        section=reader.integer(),
        definition=reader.string(),
        drop_statement=reader.string(),
        copy_statement=reader.string(),
        namespace=reader.string(),
        tablespace=reader.string(),
        table_am=reader.string(),
        relkind=reader.integer() if version >= (1, 16) else 0,
        owner=reader.string(),
        with_oids=reader.string(),
        dependencies=tuple(iter(reader.string, None)),
        filename=reader.string(),
    )
    # pg_restore stops at the first, and reads the others as numbers or crashes (ReadToc).
    if entry.dump_id < 1:
        raise malformed(f"numbers an entry {entry.dump_id}")
    if entry.desc is None or entry.with_oids is None:
        raise malformed("lacks what every entry has")
    for text, most in (entry.catalog_oid, _OID_MAX), (entry.oid, _OID_MAX):
        _check_number(text, most)
    for text in entry.dependencies:
        _check_number(text, _INT_MAX)
    return entry


def _check_number(text: str | None, most: int) -> None:
    if not _DIGITS.fullmatch(text or "") or int(text or "") > most:
        raise malformed("holds a text where a number belongs")


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
        self._length = len(data)
        self.position = 0

    def raw(self, length: int) -> bytes:
        end = self.position + length
        if end > self._length:
            raise malformed("ends in the middle")
        piece, self.position = self._data[self.position : end], end
        return piece

    def integer(self) -> int:
        """A sign byte, then the magnitude, least significant byte first."""
        start, self.position = self.position, self.position + 5
        if self.position > self._length:
            raise malformed("ends in the middle")
        sign = self._data[start]
        magnitude = int.from_bytes(self._data[start + 1 : self.position], "little")
        if sign > 1 or magnitude > _INT_MAX:
            raise malformed("holds a number that is none")
        if sign and not magnitude:
            raise malformed("holds a negative zero")
        return -magnitude if sign else magnitude

    def string(self) -> str | None:
        length = self.integer()
        if length < -1:
            raise malformed("holds a string of negative length")
        if length == -1:
            return None
        piece = self.raw(length)
        # pg_restore would read no further than that: what it sees is not what is checked here.
        if b"\0" in piece:
            raise malformed("holds a zero byte in a string")
        return piece.decode("utf-8", "surrogateescape")


class _Writer:
    """The reader's opposite."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def raw(self, data: bytes) -> None:
        self.pieces.append(data)

    def integer(self, number: int) -> None:
        if abs(number) > _INT_MAX:
            raise malformed("would need a number too large for it")
        self.raw(bytes((number < 0,)) + abs(number).to_bytes(4, "little"))

    def string(self, text: str | None) -> None:
        if text is None:
            self.integer(-1)
        else:
            data = text.encode("utf-8", "surrogateescape")
            self.integer(len(data))
            self.raw(data)

"""What the table of contents of a pg_dump directory archive says, and tables added to it."""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from .tocfile import (
    SUPPORTED,
    TAR,
    Entry,
    Header,
    Toc,
    UnknownArchiveVersion,
    build,
    malformed,
    parse,
)

__all__ = (
    "LIMIT",
    "SUPPORTED",
    "TAR",
    "Entry",
    "Header",
    "Toc",
    "UnknownArchiveVersion",
    "build",
    "codec",
    "decoder",
    "encoding",
    "malformed",
    "owners",
    "parse",
    "sequence_values",
    "table_data",
    "with_data",
)

LIMIT = 1 << 30
"""A toc.dat larger than this many bytes is refused unread."""

PRE_DATA, DATA, POST_DATA = 2, 3, 4
"""Sections of an archive (pg_backup.h, teSection)."""

# One repeated character, not a repeated group: that would take 140 bytes for each of a hostile
# name.
_SETVAL = re.compile(
    r"SELECT pg_catalog\.setval\('.*', (-?[0-9]{1,19}), (true|false)\);\s*", re.DOTALL
)
_CLIENT_ENCODING = re.compile(r"SET client_encoding = '(\w+)'")
_CODECS = {
    "SQL_ASCII": "utf-8",
    "EUC_CN": "gb2312",
    "UHC": "cp949",
    "KOI8R": "koi8-r",
    "KOI8U": "koi8-u",
}
"""Python's names of PostgreSQL's encodings, where they are others."""

_SAME_NAME = re.compile(
    r"UTF8|LATIN\d+|ISO_8859_\d|cp\d+|EUC_[A-Z]+(_2004)?|SJIS|SHIFT_JIS_2004|BIG5|GBK|GB18030|JOHAB",
    re.ASCII,
)
"""No other name is looked up: some codecs of Python's are not of text, and decode nothing."""


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
    name = re.sub(r"^WIN(?=\d)", "cp", encoding(toc) or "UTF8")
    if name not in _CODECS and not _SAME_NAME.fullmatch(name):
        return None
    try:
        return codecs.lookup(_CODECS.get(name, name)).name
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
            match = _SETVAL.fullmatch(entry.definition or "")
            if not match:
                raise malformed(f"sets no value of sequence {entry.tag}")
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
        raise malformed("lacks a table that was copied")
    sections = [entry.section for entry in toc.entries]
    place = sections.index(POST_DATA) if POST_DATA in sections else len(sections)
    if PRE_DATA in sections[place:]:
        raise malformed("has its sections in an order that is not known here")
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
